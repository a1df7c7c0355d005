//! A canary in every place that holds a secret: nothing that the server says, writes or answers may hold one.
//!
//! The stores of TLS have the password [`PASSWORD`], which is a canary too.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::certificates::{Certificates, PASSWORD};
use compat_tests::sasl::{SASL, challenge, login, step};
use compat_tests::server::{Kind, Options, Server, Started, free_port};
use compat_tests::systems::until;
use compat_tests::wire::{Body, Client, Reply, op};

/// What every secret of these tests begins with.
const CANARY: &str = "canary";
/// The same, as bytes are shown that were not known to be text.
const AS_NUMBERS: &str = "99, 97, 110, 97, 114, 121";
const AS_HEX: &str = "63616e617279";
const SET_ACL: i32 = 7;
/// The word that sets the trace mask, and behind it the one that is in force: a server waits for one.
const STMK: &str = "stmk\0\0\0\0\0\0\x01\x32";
/// Every four-letter word of the reference.
const WORDS: [&str; 19] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr",
    "stat", STMK, "wchc", "wchp", "wchs", "lsnp",
];
const LOGIN: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

fn jaas() -> String {
    format!(
        "Server {{\n  {LOGIN} required\n  user_super=\"canary-super\" user_bob=\"canary-bob\";\n}};\n\
         QuorumServer {{\n  {LOGIN} required\n  user_peer=\"canary-peer\";\n}};\n\
         QuorumLearner {{\n  {LOGIN} required\n  username=\"peer\" password=\"canary-peer\";\n}};\n"
    )
}

fn write(home: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = home.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Everything that was heard, and the first place that tells a secret.
#[derive(Default)]
struct Heard {
    hashes: Vec<String>,
    places: usize,
}

impl Heard {
    /// Fails if `text` holds a canary or the hash of one.
    fn hear(&mut self, place: &str, text: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(text);
        self.places += 1;
        for secret in self.hashes.iter().map(String::as_str).chain([CANARY, AS_NUMBERS, AS_HEX]) {
            ensure!(!text.contains(secret), "{place} tells {secret}:\n{text}");
        }
        Ok(())
    }

    fn reply(&mut self, place: &str, reply: Result<Reply>) -> Result<()> {
        reply.map_or(Ok(()), |reply| self.hear(place, &reply.body))
    }
}

/// Right and wrong logins of every kind, each on a connection of its own.
fn log_in(server: &Server, heard: &mut Heard) -> Result<()> {
    let connect = || Client::connect(server.addr(), 10_000);
    for (scheme, credentials) in [
        ("digest", "bob:canary-digest"),
        ("digest", "super:canary-no-super"),
        ("digest", "canary-without-a-colon"),
        ("key", "canary-key"),
        ("x509", "canary-x509"),
        ("sasl", "canary-sasl"),
        ("scheme\nforged line", "canary-unknown"),
    ] {
        let mut client = connect()?;
        let answer = client.call(1, op::AUTH, &Body::auth(scheme, credentials.as_bytes()));
        heard.reply("the answer to an auth packet", answer)?;
        if scheme == "digest" && credentials.contains("bob:") {
            let _created = client.call(2, op::CREATE, &Body::create("/mine", b"", 0))?;
            let mine = Body::new().string("/mine").int(1).int(31).string("auth").string("").int(-1);
            let answer = client.call(3, SET_ACL, &mine)?;
            ensure!(answer.err == 0, "setACL: code {}", answer.err);
            let watched = Body::path_and_watch("/mine", true);
            ensure!(client.call(4, op::GET_DATA, &watched)?.err == 0, "the owner may read");
            heard.reply("the answer of whoAmI", client.call(5, op::WHO_AM_I, &Body::new()))?;
            // To whom the node does not belong.
            let mut other = connect()?;
            heard.reply("getACL", other.call(1, op::GET_ACL, &Body::new().string("/mine")))?;
            heard.reply("getData", other.call(2, op::GET_DATA, &watched))?;
            words(server, heard)?;
        }
    }
    login(&mut connect()?, "bob", "canary-bob")?;
    login(&mut connect()?, "super", "canary-super-too")?;
    ensure!(login(&mut connect()?, "bob", "canary-wrong").is_err(), "a wrong password logs in");
    ensure!(
        login(&mut connect()?, "unknown\r\nforged user", "canary-wrong").is_err(),
        "an unknown user logs in"
    );
    for token in ["canary-token", "username=\"bob\",response=canary,nonce=\"canary\""] {
        let mut client = connect()?;
        challenge(&mut client)?;
        heard.reply("the answer to a SASL token", step(&mut client, 2, Some(token.as_bytes())))?;
    }
    let mut client = connect()?;
    heard
        .reply("the answer to a SASL frame", client.call(1, SASL, &Body::new().int(100).string("canary")))?;
    Ok(())
}

fn words(server: &Server, heard: &mut Heard) -> Result<()> {
    for word in WORDS {
        heard.hear(word, server.ask(word)?.as_bytes())?;
    }
    Ok(())
}

/// The answer of the metrics port.
fn metrics(port: u16) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the metrics port")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    ensure!(text.len() > 1000, "no metrics came");
    Ok(text)
}

fn available() -> Result<bool> {
    artifacts::available(&["java", "openssl", "keytool"])
}

/// A server with a canary in every secret that a configuration can have, at trace level.
struct Secured {
    options: Options,
    hashes: Vec<String>,
    secure: u16,
    metrics: u16,
    _files: (Certificates, tempfile::TempDir),
}

impl Secured {
    fn new() -> Result<Self> {
        let (certificates, home) = (Certificates::new()?, tempfile::tempdir()?);
        let hash = |pair: &str| -> Result<String> {
            let output = Command::new(artifacts::oxkeeper()?).args(["hash", pair]).output()?;
            let text = String::from_utf8(output.stdout)?;
            let (_, hash) = text.trim().rsplit_once(':').context("a digest")?;
            Ok(hash.to_owned())
        };
        let hashes =
            vec![hash("bob:canary-digest")?, hash("super:canary-no-super")?, hash("root:canary-root")?];
        let jaas = write(home.path(), "jaas.conf", &jaas())?;
        let (secure, metrics) = (free_port()?, free_port()?);
        let mut options = Options::default();
        for line in [
            format!("secureClientPort={secure}"),
            format!("ssl.keyStore.location={}", certificates.path("server.p12")),
            format!("ssl.keyStore.password={PASSWORD}"),
            format!("ssl.trustStore.location={}", certificates.path("trust.p12")),
            format!("ssl.trustStore.password={PASSWORD}"),
            "ssl.quorum.keyStore.password=canary-quorum".to_owned(),
            "my.own.password=canary-unknown-key".to_owned(),
            "ssl.keystore.pasword=canary-misspelt".to_owned(),
            format!("DigestAuthenticationProvider.superDigest=super:{}", hashes[2]),
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".to_owned(),
            "authProvider.2=org.apache.zookeeper.server.auth.KeyAuthenticationProvider".to_owned(),
            "SASLAuthenticationProvider.superPassword=canary-super-too".to_owned(),
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
                .to_owned(),
            format!("metricsProvider.httpPort={metrics}"),
            "audit.enable=true".to_owned(),
        ] {
            options = options.line(&line);
        }
        let flags = format!(
            "-Djava.security.auth.login.config={} -Dzookeeper.ssl.trustStore.password=canary-flag \
             -Dzookeeper.other.password=canary-unknown-flag",
            jaas.display()
        );
        options.environment = vec![("OXKEEPER_LOG".into(), "trace".into()), ("JVMFLAGS".into(), flags)];
        Ok(Self { options, hashes, secure, metrics, _files: (certificates, home) })
    }
}

/// ZooKeeper CVE-2026-24308, where values of the configuration were logged; etcd CVE-2021-28235, where a password was
/// in what a debugging page shows.
#[test]
fn no_secret_is_in_logs_words_metrics_or_answers() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let secured = Secured::new()?;
    let mut heard = Heard { hashes: secured.hashes.clone(), places: 0 };
    let mut server = Server::start(Kind::Oxkeeper, &secured.options)?;
    log_in(&server, &mut heard)?;
    // A client that speaks plain text to the port of TLS.
    let mut plain = TcpStream::connect(("127.0.0.1", secured.secure))?;
    plain.write_all(b"canary-in-plain-text, long enough to be taken for a record")?;
    let mut answer = Vec::new();
    let _closed = plain.read_to_end(&mut answer);
    heard.hear("the port of TLS", &answer)?;
    words(&server, &mut heard)?;
    heard.hear("the metrics", &metrics(secured.metrics)?)?;
    server.stop()?;
    let log = server.log();
    ensure!(log.contains("TRACE") || log.contains("DEBUG"), "the log has all it can have");
    ensure!(!log.lines().any(|line| line.starts_with("forged")), "a client wrote a line of its own:\n{log}");
    heard.hear("the log", log.as_bytes())?;
    ensure!(heard.places > 40, "{} places", heard.places);
    Ok(())
}

/// The same for a server that is asked in the midst of logins how it stands (SIGQUIT), and for one that ends there, by a failed
/// assertion (SIGABRT) or by its own fault (SIGSEGV).
#[test]
fn no_secret_is_in_what_a_server_says_that_a_signal_meets_at_its_work() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let mut secured = Secured::new()?;
    secured.options.environment.push(("RUST_BACKTRACE".into(), "full".into()));
    for signal in ["QUIT", "ABRT", "SEGV"] {
        let mut heard = Heard { hashes: secured.hashes.clone(), places: 0 };
        let mut server = Server::start(Kind::Oxkeeper, &secured.options)?;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let logins = std::iter::from_fn(|| log_in(&server, &mut Heard::default()).ok());
                    logins.take_while(|()| !is_over.load(Ordering::Relaxed)).count()
                });
            }
            let logged_in = until("a client has logged in", Duration::from_secs(60), || {
                Ok(server.log().contains("the client has proven to be sasl").then_some(()))
            });
            let said = server.signal(signal).and_then(|()| match signal {
                "QUIT" => until("it has said how it stands", Duration::from_secs(60), || {
                    let both = ["SIGQUIT: this server goes on; ", "SIGQUIT: connections: "];
                    let log = server.log();
                    Ok(both.iter().all(|said| log.contains(said)).then_some(()))
                }),
                _ => Ok(()),
            });
            is_over.store(true, Ordering::Relaxed);
            logged_in.and(said)
        })?;
        ensure!(signal != "QUIT" || server.alive(), "SIGQUIT has ended it");
        server.kill()?;
        let log = server.log();
        heard.hear(&format!("the log of a server that SIG{signal} has met"), log.as_bytes())?;
    }
    Ok(())
}

/// A configuration that is wrong, and what else it names.
struct Wrong {
    lines: String,
    flags: String,
}

fn run(config: &Path, flags: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(artifacts::oxkeeper()?);
    command.args(arguments).arg(config).env("JVMFLAGS", flags).env("OXKEEPER_LOG", "trace");
    command.output().context("run Oxkeeper")
}

/// The same for what is wrong: an error names the place and not the value.
#[test]
fn no_secret_is_in_what_is_said_of_a_wrong_configuration() -> Result<()> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("data");
    let path = |name: &str, text: &str| write(home.path(), name, text).map(|path| path.display().to_string());
    let dynamic = path("dynamic", "server.1=127.0.0.1:1:2;3\nssl.keyStore.password=canary-dynamic\n")?;
    let mut cases = Vec::new();
    for lines in [
        "ssl.keyStore.password=canary\nssl.keyStore.password=canary-again".to_owned(),
        "ssl.keyStore.password=canary-\u{e4}".to_owned(),
        "ssl.keyStore.password=canary\\u12".to_owned(),
        "DigestAuthenticationProvider.superDigest=canary\nDigestAuthenticationProvider.digestAlg=MD17".to_owned(),
        "secureClientPort=0\nssl.keyStore.password=canary".to_owned(),
        "secureClientPort=0\nssl.keyStore.location=/nowhere.p12\nssl.keyStore.password=canary\nssl.clientAuth=none"
            .to_owned(),
        "secureClientPort=0\nssl.keyStore.location=/dev/null\nssl.keyStore.type=JKS\nssl.keyStore.password=canary\n\
         ssl.clientAuth=none"
            .to_owned(),
        "enforce.auth.enabled=true\nSASLAuthenticationProvider.superPassword=canary".to_owned(),
        format!("dynamicConfigFile={dynamic}"),
        "password=canary\nserver.1=nonsense".to_owned(),
        "sslQuorum=true\nssl.quorum.keyStore.password=canary\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2".to_owned(),
    ] {
        cases.push(Wrong { lines, flags: "-Dzookeeper.SASLAuthenticationProvider.superPassword=canary".into() });
    }
    for (number, text) in [
        "Server { a.B required user_bob=\"canary",
        "Server { a.B required user_bob='canary'; };",
        "Server { a.B required user_bob=5canary; };",
        "Server { a.B required user_bob=a;canary b; };",
        "Server { a.B required user_bob=\"x${canary}\"; };",
        "Server { a.B required user_bob=a canary; };",
        "Server { a.B required user_bob=\"canary\"; };",
        "Server { org.apache.zookeeper.server.auth.DigestLoginModule required password=\"canary\"; };",
        "Server { com.sun.security.auth.module.Krb5LoginModule required password=\"canary\"; };",
    ]
    .iter()
    .enumerate()
    {
        let file = path(&format!("jaas{number}"), text)?;
        let flags = format!("-Djava.security.auth.login.config={file}");
        cases.push(Wrong { lines: String::new(), flags });
    }
    let mut heard = Heard::default();
    for Wrong { lines, flags } in &cases {
        let text =
            format!("dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n{lines}\n", data.display());
        let config = write(home.path(), "zoo.cfg", &text)?;
        for arguments in [&["check-config"][..], &["doctor", "--config"][..]] {
            let output = run(&config, flags, arguments)?;
            heard.hear(&format!("{arguments:?} of {lines:?} with {flags}"), &output.stdout)?;
            heard.hear(&format!("{arguments:?} of {lines:?} with {flags}"), &output.stderr)?;
        }
    }
    ensure!(heard.places == 4 * cases.len(), "{} places", heard.places);
    Ok(())
}

/// The same for a start that fails at what only a start looks into.
#[test]
fn no_secret_is_in_what_a_start_says_that_fails() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let (certificates, home) = (Certificates::new()?, tempfile::tempdir()?);
    let wrong = write(home.path(), "password", "canary-in-a-file\n")?.display().to_string();
    let jaas =
        write(home.path(), "jaas", "Server { a.B required user_bob=a;canary b; };")?.display().to_string();
    let stores = |password: &str| {
        Options::default()
            .line("secureClientPort=0")
            .line("ssl.clientAuth=none")
            .line(password)
            .line(&format!("ssl.keyStore.location={}", certificates.path("server.p12")))
    };
    let mut heard = Heard::default();
    for options in [
        stores("ssl.keyStore.password=canary-wrong"),
        stores(&format!("ssl.keyStore.passwordPath={wrong}")),
        Options::default().line(&format!("java.security.auth.login.config={jaas}")),
    ] {
        match Server::try_start(Kind::Oxkeeper, &options)? {
            Started::Serves(_) => anyhow::bail!("it serves with {options:?}"),
            Started::Ended(_, log) => heard.hear("the log", log.as_bytes())?,
        }
    }
    Ok(())
}
