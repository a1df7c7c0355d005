//! Answers, counters and exit codes in which Oxkeeper once differed from the reference, each beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::artifacts;
use compat_tests::compare::{judged, on_both, side_by_side};
use compat_tests::results::Case;
use compat_tests::server::{Kind, Options, Server, Started};
use compat_tests::wire::{Body, Client, Reply, op};

const QUOTA_EXCEEDED: i32 = -125;
const CLASSES: &str = "org.apache.zookeeper.server.auth";

fn case(name: &str, what: &str) -> Case {
    Case::new(&format!("answers-{name}"), "answers and exit codes", what)
}

fn runs() -> Result<bool> {
    artifacts::available(&["java", "mvn"])
}

fn connect(server: &Server) -> Result<Client> {
    Client::connect(server.addr(), 20_000)
}

/// What a client can tell of a reply, without the zxid.
fn shown(reply: &Result<Reply>) -> String {
    match reply {
        Ok(reply) => format!("err {} body {}", reply.err, reply.body.escape_ascii()),
        Err(_) => "closed without a reply".to_owned(),
    }
}

/// Lines of `mntr` that begin with one of these, in order.
fn mntr(server: &Server, names: &[&str]) -> Result<String> {
    let mntr = server.ask("mntr")?;
    let mut lines: Vec<&str> =
        mntr.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect();
    lines.sort_unstable();
    Ok(format!("{}\n", lines.join("\n")))
}

/// How a start went: the exit code of a server that ended, and what it said.
fn start(kind: Kind, options: &Options) -> Result<(String, String)> {
    Ok(match Server::try_start(kind, options)? {
        Started::Serves(_) => ("serves".to_owned(), String::new()),
        Started::Ended(code, log) => (format!("ended with {code:?}"), log),
    })
}

/// E1. `quota_exceeded_error_per_namespace` was declared and never counted.
#[test]
fn refused_writes_are_counted_by_namespace() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    let options = Options::default().property("zookeeper.enforceQuota", "true");
    side_by_side(&case("quota", "quota errors counted by namespace"), &options, |server| {
        let mut client = connect(server)?;
        for (path, data) in [
            ("/ns", "x"),
            ("/ns/deep", "x"),
            ("/zookeeper/quota/ns", ""),
            ("/zookeeper/quota/ns/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3"),
            ("/zookeeper/quota/ns/zookeeper_stats", "count=2,bytes=2"),
            ("/ns/a", "x"),
        ] {
            let created = client.call(1, op::CREATE, &Body::create(path, data.as_bytes(), 0))?;
            ensure!(created.err == 0, "{path}: {created:?}");
        }
        let mut transcript = String::new();
        for (code, body) in [
            (op::CREATE, Body::create("/ns/b", b"x", 0)),
            (op::CREATE, Body::create("/ns/deep/b", b"x", 0)),
            (op::SET_DATA, Body::set_data("/ns/a", &[b'x'; 100], -1)),
        ] {
            let refused = client.call(2, code, &body)?;
            ensure!(refused.err == QUOTA_EXCEEDED, "{refused:?}");
            transcript.push_str(&mntr(server, &["zk_ns_quota", "zk_quota"])?);
        }
        Ok(transcript)
    })
}

/// E2. A log was replayed whatever `jute.maxbuffer` said, into a snapshot that was then refused.
#[test]
fn a_log_is_read_with_the_limits_of_the_configuration() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    on_both(&case("maxbuffer", "a log with a record above jute.maxbuffer"), |kind| {
        let home = tempfile::tempdir().context("a directory")?;
        let options = Options::default().data_dir(home.path());
        let mut server = Server::start(kind, &options)?;
        let created = connect(&server)?.call(1, op::CREATE, &Body::create("/big", &[b'x'; 5000], 0))?;
        ensure!(created.err == 0, "{created:?}");
        server.kill()?;
        let (small, log) = start(kind, &options.clone().property("jute.maxbuffer", "100"))?;
        if kind == Kind::Oxkeeper {
            ensure!(log.contains("jute.maxbuffer"), "the message does not name the setting:\n{log}");
        }
        let (enough, _) = start(kind, &options.property("jute.maxbuffer", "5000"))?;
        Ok(format!("with 100: {small}\nwith 5000: {enough}\n"))
    })
}

/// E3. Only four of the JDK's hashes were known under `digestAlg`.
#[test]
fn digests_are_made_with_every_hash_of_the_jdk() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    const KEY: &str = "zookeeper.DigestAuthenticationProvider.digestAlg";
    on_both(&case("digest-alg", "digestAlg"), |kind| {
        let mut transcript = String::new();
        for name in ["MD5", "SHA3-256", "sha512/224"] {
            let server = Server::start(kind, &Options::default().property(KEY, name))?;
            let mut client = connect(&server)?;
            transcript.push_str(name);
            for (code, body) in [
                (op::AUTH, Body::auth("digest", b"user:password")),
                (op::CREATE, Body::new().string("/mine").buffer(b"").acl("auth", "").int(0)),
                (op::GET_ACL, Body::new().string("/mine")),
            ] {
                let mut reply = client.call(1, code, &body)?;
                reply.body.truncate(reply.body.len().saturating_sub(68)); // the stat has times
                transcript.push_str(&format!("; {}", shown(&Ok(reply))));
            }
            transcript.push('\n');
        }
        let (outcome, log) = start(kind, &Options::default().property(KEY, "SHA-257"))?;
        ensure!(log.contains("SHA-257"), "the name is not in the message:\n{log}");
        Ok(format!("{transcript}an unknown one: {outcome}\n"))
    })
}

/// E4. The reference's example of a provider that looks at the tree was not there.
#[test]
fn the_key_provider_passes_multiples_of_the_key() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    let class = format!("{CLASSES}.KeyAuthenticationProvider");
    let options = Options::default().property("zookeeper.authProvider.1", &class);
    side_by_side(&case("key", "the key scheme"), &options, |server| {
        let mut transcript = String::new();
        let mut say = |label: &str, reply: &Result<Reply>| {
            transcript.push_str(&format!("{label}: {}\n", shown(reply)));
        };
        let mut first = connect(server)?;
        say("without a key", &first.call(1, op::AUTH, &Body::auth("key", b"anything")));
        // In the order of a hash set there.
        let who = first.call(2, op::WHO_AM_I, &Body::new())?;
        let key = who.body.windows(11).any(|bytes| bytes == b"\0\0\0\x03key\0\0\0\0");
        ensure!(key && who.body.starts_with(&[0, 0, 0, 2]), "{who:?}");
        for (label, path, scheme, id) in [
            ("the key", "/key", "auth", ""),
            ("of nobody", "/nobody", "key", "25"),
            ("of all with a key", "/all", "key", ""),
        ] {
            let body = Body::new().string(path).buffer(b"25").acl(scheme, id).int(0);
            say(label, &first.call(3, op::CREATE, &body));
        }
        say("nobody's", &first.call(4, op::GET_DATA, &Body::path_and_watch("/nobody", false)).map(headless));
        for given in ["50", "25", "0", "-25", "26", "x", ""] {
            let mut client = connect(server)?;
            say(given, &client.call(1, op::AUTH, &Body::auth("key", given.as_bytes())));
            say("reads", &client.call(2, op::GET_DATA, &Body::path_and_watch("/all", false)).map(headless));
        }
        let mut null = connect(server)?;
        say("null", &null.call(1, op::AUTH, &Body::new().int(0).string("key").int(-1)));
        let mut stranger = connect(server)?;
        let denied = stranger.call(1, op::GET_DATA, &Body::path_and_watch("/all", false));
        say("a stranger reads", &denied.map(headless));
        say("no key", &first.call(5, op::SET_DATA, &Body::set_data("/key", b"none", -1)).map(headless));
        say("with it", &connect(server)?.call(1, op::AUTH, &Body::auth("key", b"25")));
        Ok(transcript)
    })
}

/// Without what holds times.
fn headless(reply: Reply) -> Reply {
    Reply { body: reply.body.into_iter().take(6).collect(), ..reply }
}

/// E4. A client that means another ensemble was let in.
#[test]
fn the_ensemble_provider_closes_on_another_name() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    let class = format!("{CLASSES}.EnsembleAuthenticationProvider");
    let plain = Options::default().property("zookeeper.authProvider.e", &class);
    let named = plain.clone().property("zookeeper.ensembleAuthName", "east,west");
    for (name, options) in [("without names", plain), ("with names", named)] {
        side_by_side(&case("ensemble", &format!("the ensemble scheme {name}")), &options, |server| {
            let mut transcript = String::new();
            for given in ["east", "west", "north", "", "east,west"] {
                let mut client = connect(server)?;
                let reply = client.call(1, op::AUTH, &Body::auth("ensemble", given.as_bytes()));
                let who = client.call(2, op::WHO_AM_I, &Body::new());
                transcript.push_str(&format!("{given}: {}; {}\n", shown(&reply), shown(&who)));
            }
            let mut client = connect(server)?;
            let body = Body::new().string("/mine").buffer(b"").acl("ensemble", "east").int(0);
            transcript.push_str(&shown(&client.call(1, op::CREATE, &body)));
            transcript.push_str(&mntr(server, &["zk_ensemble_auth"])?);
            client.call(2, op::CREATE, &Body::create("/written", b"", 0))?;
            Ok(transcript)
        })?;
    }
    Ok(())
}

/// A required scheme without a provider: nobody could be served.
#[test]
fn a_required_scheme_without_a_provider_ends_the_start() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    on_both(&case("required", "a required scheme without a provider"), |kind| {
        let required = Options::default()
            .property("zookeeper.enforce.auth.enabled", "true")
            .property("zookeeper.enforce.auth.schemes", "digest,key");
        let class = format!("{CLASSES}.KeyAuthenticationProvider");
        let provided = required.clone().property("zookeeper.authProvider.1", &class);
        Ok(format!("without: {}\nwith: {}\n", start(kind, &required)?.0, start(kind, &provided)?.0))
    })
}

/// E5. Settings without effect were named when they stood in `zoo.cfg`, and not when they came as flags.
#[test]
fn settings_without_effect_are_named_where_they_come_as_flags() -> Result<()> {
    if judged() != Kind::Oxkeeper {
        return Ok(());
    }
    let flags = "-Xmx1g -Dzookeeper.flushDelay=9 -Dzookeeper.nio.numWorkerThreads=4 -Dfile.encoding=UTF-8";
    let environment = vec![("JVMFLAGS".to_owned(), flags.to_owned())];
    let server = Server::start(Kind::Oxkeeper, &Options { environment, ..Options::default() })?;
    let log = server.log();
    for name in ["flushDelay", "nio.numWorkerThreads"] {
        ensure!(log.contains(name), "{name} is not named:\n{log}");
    }
    ensure!(!log.contains("file.encoding"), "a flag of Java's own is named:\n{log}");
    Ok(())
}

/// E6. An address as Java prints it was not understood.
#[test]
fn an_address_with_a_scope_is_listened_on() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    if !fs::read_to_string("/proc/net/if_inet6").unwrap_or_default().contains(" lo\n") {
        eprintln!("\n*** SKIPPED: this machine has no IPv6 loopback, so nothing was compared ***\n");
        return Ok(());
    }
    let options = Options::default().client_port_address("0:0:0:0:0:0:0:1%lo");
    side_by_side(&case("scope", "clientPortAddress with a scope"), &options, |server| {
        let mut client = connect(server)?;
        let created = client.call(1, op::CREATE, &Body::create("/x", b"", 0));
        Ok(shown(&created))
    })
}

/// E8. After a clean stop a log directory held files without a transaction: 64 MiB in each backup.
#[test]
fn a_clean_stop_leaves_only_what_holds_transactions() -> Result<()> {
    if !runs()? {
        return Ok(());
    }
    on_both(&case("directories", "files after a clean stop"), |kind| {
        let home = tempfile::tempdir().context("a directory")?;
        let (data, logs) = (home.path().join("data"), home.path().join("logs"));
        let options = Options::default().data_dir(&data).line(&format!("dataLogDir={}", logs.display()));
        let mut server = Server::start(kind, &options)?;
        server.stop()?;
        let before = files(&logs)?;
        server.launch()?;
        connect(&server)?.call(1, op::CREATE, &Body::create("/x", b"", 0))?;
        server.stop()?;
        let after = (files(&data)?, files(&logs)?);
        Ok(format!("before the first transaction: {before}\nafter: {} {}\n", after.0, after.1))
    })
}

/// What lies in `version-2` of a directory, but for the lock and the mark of how far the log is durable: they are
/// ours, a few bytes, and no burden to a backup.
fn files(directory: &Path) -> Result<String> {
    let directory = directory.join("version-2");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
        match entry.context("list")?.file_name().into_string() {
            Ok(name) if ["oxkeeper.lock", "oxkeeper.durable"].contains(&name.as_str()) => {
                let bytes = fs::metadata(directory.join(&name)).context("its size")?.len();
                ensure!(bytes <= 4096, "{name} has {bytes} bytes");
            }
            Ok(name) => names.push(name),
            Err(name) => bail!("a file named {name:?}"),
        }
    }
    names.sort();
    Ok(names.join(" "))
}
