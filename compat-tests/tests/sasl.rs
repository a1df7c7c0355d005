//! Clients that log in by SASL with DIGEST-MD5, beside the reference with the same login configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::{judged, on_both, side_by_side};
use compat_tests::programs::{self, JVM};
use compat_tests::results::Case;
use compat_tests::sasl::{
    OF_CLIENT, PROVIDER, Response, SASL, challenge, client_login, closed, login, shown, step,
};
use compat_tests::seat::Seat;
use compat_tests::server::{Kind, Options, Server, Started};
use compat_tests::wire::{Body, Client, op};
use compat_tests::{native, versions};

const JAAS: &str = r#"// the users of these tests
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super="adminsecret" user_bob="bobsecret"
    "user_josé"="päss" "user_Ωm"="Ωpw" "user_bob@X.COM"="xs" user_quo="a\"b\\c";
};
"#;
/// A canary: nothing that is printed or logged may hold it.
const SECRETS: [&str; 4] = ["bobsecret", "adminsecret", "päss", "othersecret"];

fn file(directory: &Path, text: &str) -> Result<PathBuf> {
    let path = directory.join("jaas.conf");
    fs::write(&path, text).context("write a login configuration")?;
    Ok(path)
}

fn options(jaas: &Path) -> Options {
    Options::default()
        .tick_time_ms(500)
        .property("java.security.auth.login.config", jaas.to_str().expect("a path of text"))
}

fn available() -> Result<bool> {
    artifacts::available(&["java", "mvn"])
}

/// Runs a script on each of two servers that are configured so, and looks for secrets in their logs.
fn check(
    name: &str,
    what: &str,
    configure: impl Fn(Options) -> Options + Sync,
    script: impl Fn(&mut Server) -> Result<String> + Sync,
) -> Result<()> {
    let home = tempfile::tempdir().context("a directory")?;
    let options = configure(options(&file(home.path(), JAAS)?));
    side_by_side(&Case::new(name, "logins by DIGEST-MD5", what), &options, |server| {
        let printed = script(server)?;
        if server.kind() == Kind::Oxkeeper {
            let log = server.log();
            for secret in SECRETS {
                ensure!(!log.contains(secret) && !printed.contains(secret), "{secret} is shown:\n{log}");
            }
        }
        Ok(printed)
    })
}

fn connect(server: &Server) -> Result<Client> {
    Client::connect(server.addr(), 10_000)
}

/// Who the server says that this is: scheme and name, sorted, as the reference keeps them in a set.
fn who(client: &mut Client) -> String {
    let Ok(reply) = client.call(90, op::WHO_AM_I, &Body::new()) else { return "closed".into() };
    let mut texts = Vec::new();
    let mut rest = reply.body.get(4..).unwrap_or_default();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let Some((text, tail)) = tail.split_at_checked(u32::from_be_bytes(*length) as usize) else { break };
        texts.push(String::from_utf8_lossy(text).into_owned());
        rest = tail;
    }
    let mut pairs: Vec<_> = texts.chunks(2).map(|pair| pair.join(":")).collect();
    pairs.sort();
    format!("{} {}", reply.err, pairs.join(" "))
}

/// What comes of every response, right and wrong, on a connection of its own.
fn responses(server: &Server, out: &mut Vec<String>) -> Result<()> {
    let bob = || Response::of("bob", "bobsecret");
    for (label, response) in [
        ("right", bob()),
        ("wrong password", Response::of("bob", "wrong")),
        ("nobody", Response::of("nobody", "wrong")),
        ("latin-1", Response::of("josé", "päss")),
        ("latin-1 hashed as utf-8", Response::of("josé", "päss").hashed_as_utf8("josé", "päss")),
        ("latin-1 sent", Response::of("josé", "päss").name(b"jos\xe9").without("charset")),
        ("utf-8", Response::of("Ωm", "Ωpw")),
        ("escapes in the file", Response::of("quo", "a\"b\\c")),
        ("quoted in the message", bob().name(br"b\ob")),
        ("wrong realm", bob().with("realm", "\"other\"")),
        ("no realm", bob().without("realm")),
        ("two realms", bob().behind(",realm=\"zk-sasl-md5\"")),
        ("wrong nonce", bob().with("nonce", "\"other\"")),
        ("no nonce", bob().without("nonce")),
        ("no cnonce", bob().without("cnonce")),
        ("another cnonce", bob().with("cnonce", "\"other\"")),
        ("two cnonces", bob().behind(",cnonce=\"abc\"")),
        ("nc 2", bob().with("nc", "00000002")),
        ("nonce-count 1", bob().with("nonce-count", "1")),
        ("nonce-count 2", bob().with("nonce-count", "2")),
        ("no qop", bob().without("qop")),
        ("integrity", bob().with("qop", "auth-int")),
        ("service in other letters", bob().uri("ZooKeeper/zk-sasl-MD5")),
        ("other service", bob().uri("zookeeper/other")),
        ("no service", bob().without("digest-uri")),
        ("wrong charset", bob().with("charset", "latin-1")),
        ("no charset", bob().without("charset")),
        ("no user", bob().without("username")),
        ("no response", bob().without("response")),
        ("long response", bob().with("response", "00000000000000000000000000000000000000")),
        ("unknown directives", bob().behind(",else=\"x\",else=y")),
        ("stray commas", bob().behind(" , ,,")),
        ("no value", bob().behind(",else=")),
        ("open quote", bob().behind(",else=\"x")),
        ("as oneself", bob().authzid("bob")),
        ("as another", bob().authzid("admin")),
        ("as nobody", bob().authzid("")),
        ("name with a realm", Response::of("bob@X.COM", "xs")),
        ("super", Response::of("super", "adminsecret")),
        ("super by the property", Response::of("super", "othersecret")),
        ("nearly too long", bob().behind(&format!(",x=\"{}\"", "y".repeat(3700)))),
        ("too long", bob().behind(&format!(",x=\"{}\"", "y".repeat(4100)))),
    ] {
        let mut client = connect(server)?;
        let challenge = challenge(&mut client)?;
        let reply = step(&mut client, 2, Some(&response.to(&challenge)?));
        out.push(format!("{label}: {}, {}", shown(reply), who(&mut client)));
    }
    Ok(())
}

/// Exchanges that do not go as they should.
fn orders(server: &Server, out: &mut Vec<String>) -> Result<()> {
    let bob = Response::of("bob", "bobsecret");
    let mut client = connect(server)?;
    out.push(format!("no token: {}", shown(step(&mut client, 1, None))));
    let mut client = connect(server)?;
    out.push(format!("malformed: {}", shown(client.call(1, SASL, &Body::new().int(100)))));
    for (label, token) in [("said first", &b"hello"[..]), ("said at length", &[b'x'; 4097])] {
        let mut client = connect(server)?;
        out.push(format!("{label}: {}", shown(step(&mut client, 1, Some(token)))));
    }
    for (label, token) in [("empty", &b""[..]), ("garbage", b"\xff\0garbage")] {
        let mut client = connect(server)?;
        challenge(&mut client)?;
        out.push(format!("{label}: {}, {}", shown(step(&mut client, 2, Some(token))), who(&mut client)));
    }
    let mut client = connect(server)?;
    let right = bob.to(&challenge(&mut client)?)?;
    out.push(format!("once: {}", shown(step(&mut client, 2, Some(&right)))));
    out.push(format!("twice: {}, {}", shown(step(&mut client, 3, Some(&right))), who(&mut client)));
    let mut client = connect(server)?;
    login(&mut client, "bob", "bobsecret")?;
    out.push(format!("again: {}, {}", shown(step(&mut client, 3, Some(b""))), who(&mut client)));
    let mut client = connect(server)?;
    challenge(&mut client)?;
    out.push(format!("replayed: {}, {}", shown(step(&mut client, 2, Some(&right))), who(&mut client)));
    let mut client = connect(server)?;
    let one = challenge(&mut client)?;
    out.push(format!("wrong: {}", shown(step(&mut client, 2, Some(&Response::of("bob", "x").to(&one)?)))));
    if let Ok(reply) = step(&mut client, 3, Some(&bob.to(&one)?)) {
        out.push(format!("then right: {}, {}", shown(Ok(reply)), who(&mut client)));
    }
    let mut client = connect(server)?;
    challenge(&mut client)?;
    out.push(format!("half way: {}", who(&mut client)));
    let mut client = connect(server)?;
    out.push(format!("credentials: {}", shown(client.call(-4, op::AUTH, &Body::auth("sasl", b"bob")))));
    Ok(())
}

/// Lists that name ids of the scheme, by a client without one and by one that has proven to be bob.
fn lists(server: &Server, out: &mut Vec<String>) -> Result<()> {
    for is_bob in [false, true] {
        let mut client = connect(server)?;
        if is_bob {
            login(&mut client, "bob", "bobsecret")?;
        }
        let ids = ["bob", "alice", "anyx", "", "a@b@c", "a/b/c", "a/b@X", "super"];
        for (at, (scheme, id)) in ids.map(|id| ("sasl", id)).into_iter().chain([("auth", "")]).enumerate() {
            let path = format!("/lists-{is_bob}-{at}");
            let create = Body::new().string(&path).buffer(b"x").acl(scheme, id).int(0);
            let Ok(reply) = client.call(10, op::CREATE, &create) else { continue };
            out.push(format!("create {scheme}:{id}: {}", reply.err));
            for (user, password) in
                [("", ""), ("bob", "bobsecret"), ("super", "adminsecret"), ("quo", "a\"b\\c")]
            {
                let mut reader = connect(server)?;
                if !user.is_empty() {
                    login(&mut reader, user, password)?;
                }
                let read = reader.call(11, op::GET_DATA, &Body::path_and_watch(&path, false));
                let list = reader.call(12, op::GET_ACL, &Body::new().string(&path));
                let [read, list] = [read, list].map(|reply| reply.map(|reply| reply.err).ok());
                out.push(format!("  {user:?} reads {read:?} list {list:?}"));
            }
        }
    }
    Ok(())
}

fn everything(server: &mut Server) -> Result<String> {
    let mut out = Vec::new();
    let mut first = connect(server)?;
    let created = first.call(1, op::CREATE, &Body::create("/first", b"", 0));
    out.push(format!("without an id: {:?}", created.as_ref().map(|reply| reply.err).ok()));
    if created.is_ok_and(|reply| reply.err != 0) {
        closed(&mut first)?;
    }
    responses(server, &mut out)?;
    orders(server, &mut out)?;
    lists(server, &mut out)?;
    Ok(out.join("\n"))
}

#[test]
fn every_response_order_and_list() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    check(
        "sasl-wire",
        "responses right and wrong, odd orders, lists",
        |options| {
            options
                .property(PROVIDER.0, PROVIDER.1)
                .property("zookeeper.superUser.1", "quo")
                .property("zookeeper.letAnySaslUserDoX", "anyx")
        },
        everything,
    )
}

#[test]
fn clients_whose_login_failed_may_stay_and_the_scheme_has_no_provider() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    check(
        "sasl-allowed",
        "logins that fail and go on, without a provider, with a super password",
        |options| {
            options
                .property("zookeeper.allowSaslFailedClients", "true")
                .property("zookeeper.superUser", "bob")
                .property("zookeeper.SASLAuthenticationProvider.superPassword", "othersecret")
        },
        |server| {
            let mut out = Vec::new();
            let created = connect(server)?.call(1, op::CREATE, &Body::create("/first", b"", 0))?;
            out.push(format!("{}", created.err));
            responses(server, &mut out)?;
            orders(server, &mut out)?;
            Ok(out.join("\n"))
        },
    )
}

#[test]
fn clients_without_a_login_are_closed_where_it_is_required() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    check(
        "sasl-required",
        "logins that are required",
        |options| {
            options
                .property(PROVIDER.0, PROVIDER.1)
                .property("zookeeper.sessionRequireClientSASLAuth", "true")
                .property("zookeeper.allowSaslFailedClients", "true")
        },
        everything,
    )
}

/// What the leader is told of who a follower's client is.
#[test]
fn ids_are_passed_on_by_followers() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    check(
        "sasl-follower",
        "lists, through a follower",
        |options| options.property(PROVIDER.0, PROVIDER.1).seat(Some(Seat::Follower)),
        |server| {
            let mut out = Vec::new();
            lists(server, &mut out)?;
            Ok(out.join("\n"))
        },
    )
}

#[test]
fn the_java_client_and_the_shell_log_in() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let files = tempfile::tempdir().context("a directory")?;
    let right = client_login(files.path(), "right", "bob", "bobsecret")?;
    let wrong = client_login(files.path(), "wrong", "bob", "wrong")?;
    check(
        "sasl-java",
        "the Java client and the shell",
        |options| options.property(PROVIDER.0, PROVIDER.1),
        |server| {
            let mut out = String::new();
            for (name, file) in [("right", &right), ("wrong", &wrong)] {
                let properties = [OF_CLIENT[0], OF_CLIENT[1], file.as_str()];
                let arguments = [server.connect_string(), name.to_owned()];
                let arguments = arguments.each_ref().map(String::as_str);
                out += &programs::java(REFERENCE, "sasl", "SaslLogin", &properties, &arguments)?;
            }
            let mut shell = Command::new("java");
            shell.args(JVM).args(OF_CLIENT).args([&right, "-Dcompat.log=OFF", "-cp"]);
            shell.arg(artifacts::class_path_without_line_editor(REFERENCE)?);
            shell.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &server.connect_string(), "whoami"]);
            let printed = programs::output_within(&mut shell, Duration::from_secs(60))?;
            let mut lines: Vec<_> = printed.lines().filter(|line| line.contains(": ")).collect();
            lines.retain(|line| line.starts_with("sasl") || line.starts_with("ip"));
            lines.sort_unstable();
            ensure!(lines.iter().any(|line| line.contains("bob")), "{printed}");
            Ok(format!("{out}\n{}", lines.join("\n")))
        },
    )
}

#[test]
fn kazoo_logs_in() -> Result<()> {
    if !artifacts::available(&["java", "mvn", "python3"])? {
        return Ok(());
    }
    let who = versions::kazoo()?;
    check(
        "sasl-kazoo",
        &format!("kazoo {who}"),
        |options| options.property(PROVIDER.0, PROVIDER.1),
        |server| {
            let arguments = [server.connect_string()];
            let logins = ["bob", "bobsecret", "bob", "wrong", "nobody", "x", "super", "adminsecret"];
            let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(logins).collect();
            programs::python("sasl.py", &arguments)
        },
    )
}

/// Debian's C client is built without SASL; this is the library that it would use.
#[test]
fn cyrus_sasl_logs_in() -> Result<()> {
    if !available()? || !native::present("Cyrus SASL", &["gcc"], &["sasl/sasl.h"])? {
        return Ok(());
    }
    check(
        "sasl-cyrus",
        "Cyrus SASL, the library of the C client",
        |options| options.property(PROVIDER.0, PROVIDER.1),
        |server| {
            let mut out = String::new();
            for (user, password) in
                [("bob", "bobsecret"), ("bob", "wrong"), ("nobody", "x"), ("josé", "päss")]
            {
                let mut program = native::cyrus_sasl()?;
                let address = server.addr();
                program.args([&address.ip().to_string(), &address.port().to_string(), user, password]);
                out += &programs::output_within(&mut program, Duration::from_secs(60))?;
            }
            ensure!(out.starts_with("bob: proven on both sides\n"), "{out}");
            let created = connect(server)?.call(1, op::CREATE, &Body::create("/first", b"", 0))?;
            ensure!(created.err == 0, "{}", created.err);
            Ok(out)
        },
    )
}

/// Where the reference believes what it must not, or gives up without an answer.
#[test]
fn what_the_reference_gets_wrong_is_refused() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let home = tempfile::tempdir().context("a directory")?;
    let options = options(&file(home.path(), JAAS)?);
    let said = |kind: Kind| -> Result<Vec<String>> {
        let server = Server::start(kind, &options)?;
        let bob = || Response::of("bob", "bobsecret");
        let responses = [
            Response::of("bob@X.COM", "xs").authzid("admin"),
            bob().with("nonce-count", "many"),
            bob().with("maxbuf", "much"),
        ];
        let mut said = Vec::new();
        for response in responses {
            let mut client = connect(&server)?;
            let challenge = challenge(&mut client)?;
            let reply = step(&mut client, 2, Some(&response.to(&challenge)?));
            said.push(format!("{}, {}", shown(reply), who(&mut client)));
        }
        Ok(said)
    };
    let refused = "-115 at 0, length -1, closed";
    ensure!(said(judged())? == [refused; 3] || judged() != Kind::Oxkeeper, "{:?}", said(judged())?);
    // A user whose name no rule shortens is whoever it asks to be.
    let expected =
        ["0 at 0, rspauth and more, 40 bytes, 0 ip:127.0.0.1 sasl:", "closed, closed", "closed, closed"];
    let reference = said(Kind::Apache(REFERENCE))?;
    ensure!(reference == expected, "the reference has changed: {reference:?}");
    Ok(())
}

/// A file's name and text, what Oxkeeper must say, and the exit code of both.
type Start<'a> = (&'a str, Option<&'a str>, &'a [&'a str], Option<i32>);

#[test]
fn a_login_configuration_that_cannot_be_used_stops_the_start() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let unknown = JAAS.replace("DigestLoginModule", "OtherModule");
    let cases: [Start<'_>; 6] = [
        ("missing file", None, &["cannot be read"], Some(1)),
        ("malformed", Some("Server {\n a.b.C required x=bobsecret y\n};"), &["line 3"], Some(1)),
        ("unknown module", Some(&unknown), &["OtherModule", "section Server"], Some(1)),
        ("other section", Some("Client { a.b.C required; };"), &["has no section Server"], None),
        ("empty section", Some("Server {};"), &["has no section Server"], None),
        ("twice", Some("A { b required; };A { b required; };"), &["there twice"], Some(1)),
    ];
    let case = Case::new("sasl-start", "logins by DIGEST-MD5", "login configurations that cannot be used");
    on_both(&case, |kind| {
        let mut out = Vec::new();
        for (what, text, says, code) in &cases {
            let home = tempfile::tempdir().context("a directory")?;
            let path = home.path().join("jaas.conf");
            if let Some(text) = text {
                fs::write(&path, text).context("write")?;
            }
            let (found, log) = match Server::try_start(kind, &options(&path))? {
                Started::Serves(server) => (None, server.log()),
                Started::Ended(code, log) => (code, log),
            };
            ensure!(found == *code, "{kind}, {what}: {found:?}\n{log}");
            if kind == Kind::Oxkeeper {
                ensure!(says.iter().all(|one| log.contains(one)), "{what}: {log}");
                ensure!(!log.contains("bobsecret"), "{what}: {log}");
            }
            out.push(format!("{what}: {found:?}"));
        }
        Ok(out.join("\n"))
    })
}
