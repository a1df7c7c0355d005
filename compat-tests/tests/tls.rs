//! TLS on client ports, on both servers: who gets in with which certificate, who they are then, and what each store and
//! each setting comes to.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::certificates::{Certificates, PASSWORD};
use compat_tests::compare::{judged, on_both};
use compat_tests::programs;
use compat_tests::results::Case;
use compat_tests::server::{Kind, Options, Server, Started, free_port};
use compat_tests::versions;

/// The name in `super.p12`, as a configuration file writes it.
const SUPER: &str = "X509AuthenticationProvider.superUser=CN=root,OU=Ops\\\\, night,C=DE";

fn available() -> Result<bool> {
    artifacts::available(&["java", "javac", "mvn", "openssl", "keytool"])
}

/// A server with a TLS port of its own.
fn options(certificates: &Certificates, port: u16, keys: &str, trust: &str) -> Options {
    certificates.client_port(port, keys, trust).line(SUPER)
}

fn java(server: &Server, port: u16, certificates: &Certificates, sections: &[&str]) -> Result<String> {
    let (plain, secure) = (server.addr().port().to_string(), port.to_string());
    let dir = certificates.dir().display().to_string();
    let mut args = vec![plain.as_str(), &secure, &dir, PASSWORD];
    args.extend(sections);
    programs::java(REFERENCE, "tls", "Tls", &[], &args)
}

/// The same clients at both servers. No password may be in what a server says.
fn check(
    name: &str,
    what: &str,
    with: impl Fn(Options, Kind) -> Options + Sync,
    stores: (&str, &str),
    sections: &[&str],
) -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let case = Case::new(
        &format!("tls-{name}"),
        &format!("Apache's Java client {REFERENCE}, and Java's sockets"),
        what,
    );
    on_both(&case, |kind| {
        let port = free_port()?;
        let server = Server::start(kind, &with(options(&certificates, port, stores.0, stores.1), kind))?;
        let came = java(&server, port, &certificates, sections);
        let log = server.log();
        ensure!(
            kind != Kind::Oxkeeper || !log.contains(PASSWORD),
            "the password of the stores is in the log"
        );
        came.with_context(|| format!("{kind}, whose log ends:\n{}", programs::tail(&log, 40)))
    })
}

#[test]
fn certificates_are_needed_unless_it_is_said_otherwise() -> Result<()> {
    let versions = |options: Options, _| options.line("ssl.enabledProtocols=TLSv1.2,TLSv1.3");
    let sections = &["clients", "stores", "probes", "plain", "words"];
    check(
        "need",
        "clients with each kind of certificate, x509 identities and ACLs; of whose clients the words of each port speak",
        versions,
        ("server.jks", "trust.jks"),
        sections,
    )
}

#[test]
fn certificates_that_are_wanted_may_be_missing_and_one_port_speaks_both() -> Result<()> {
    let wanted =
        |options: Options, _| options.line("ssl.clientAuth=want").line("client.portUnification=true");
    let sections = &["probes", "unified", "stores"];
    check(
        "want",
        "certificates wanted; TLS and plain text on one port",
        wanted,
        ("server.pem", "ca.pem"),
        sections,
    )
}

#[test]
fn certificates_are_not_asked_for_where_none_are_wanted() -> Result<()> {
    let none = |options: Options, _| options.line("ssl.clientAuth=none");
    check("none", "no certificates asked for", none, ("server.p12", "trust.p12"), &["probes", "stores"])
}

#[test]
fn new_stores_serve_new_connections_and_sessions_are_resumed() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let port = free_port()?;
    let versions = "ssl.enabledProtocols=TLSv1.2,TLSv1.3";
    let server =
        Server::start(judged(), &options(&certificates, port, "server.p12", "trust.p12").line(versions))?;
    if server.kind() != Kind::Oxkeeper {
        // The reference makes a new context for each connection, and so resumes nothing.
        return Ok(());
    }
    let resumed = java(&server, port, &certificates, &["resumption"])?;
    ensure!(resumed == "TLSv1.2 resumed: true\nTLSv1.3 resumed: true\n", "{resumed}");
    let subject = || java(&server, port, &certificates, &["subject"]);
    ensure!(subject()?.trim() == "CN=server,O=Oxkeeper test", "the first certificate");
    // A store that cannot be used changes nothing.
    let path = certificates.dir().join("server.p12");
    let whole = std::fs::read(&path).context("read the store")?;
    std::fs::write(&path, &whole[..whole.len() / 2]).context("spoil the store")?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.log().contains("what was read before goes on serving") {
        ensure!(Instant::now() < deadline, "the spoiled store was not noticed:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(subject()?.trim() == "CN=server,O=Oxkeeper test", "the first certificate still");
    certificates.renew_server("/CN=renewed")?;
    while !server.log().contains("new connections are served with what they hold now") {
        ensure!(Instant::now() < deadline, "the new store was not noticed:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(subject()?.trim() == "CN=renewed", "the new certificate");
    ensure!(!server.log().contains(PASSWORD), "the password of the stores is in the log");
    Ok(())
}

/// The reference looks for another address than the client's, and refuses both (`docs/tls.md`).
#[test]
fn a_certificate_names_the_address_of_its_client_where_that_is_asked_for() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let came = |kind| -> Result<String> {
        let port = free_port()?;
        let asked = options(&certificates, port, "server.p12", "trust.p12")
            .line("ssl.clientHostnameVerification=true");
        let server = Server::start(kind, &asked)?;
        java(&server, port, &certificates, &["hosts"])
    };
    let ours = came(judged())?;
    let apache = came(Kind::Apache(REFERENCE))?;
    ensure!(apache == "named.p12: end\nclient.p12: end\n", "Apache ZooKeeper: {apache}");
    ensure!(judged() != Kind::Oxkeeper || ours == "named.p12: session\nclient.p12: end\n", "{ours}");
    Ok(())
}

#[test]
fn kazoo_over_tls() -> Result<()> {
    if !available()? || !artifacts::available(&["python3"])? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let case =
        Case::new("tls-kazoo", &format!("kazoo {}", versions::kazoo()?), "a client certificate, and none");
    on_both(&case, |kind| {
        let port = free_port()?;
        let server = Server::start(kind, &options(&certificates, port, "server.p12", "trust.p12"))?;
        let address = format!("127.0.0.1:{port}");
        let came = programs::python("tls.py", &[&address, &certificates.dir().display().to_string()]);
        came.with_context(|| format!("{kind}, whose log ends:\n{}", programs::tail(&server.log(), 40)))
    })
}

#[test]
fn what_cannot_be_honoured_stops_the_start_with_its_key() -> Result<()> {
    if judged() != Kind::Oxkeeper || !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let usual = || options(&certificates, 0, "server.p12", "trust.p12");
    let wrong = |line: &str| usual().line(line);
    for (options, says) in [
        (wrong("ssl.trustStore.password=wrong"), "trust.p12: the password does not open it"),
        (wrong("ssl.keyStore.location=/nowhere.p12"), "ssl.keyStore.location: /nowhere.p12 cannot be read"),
        (
            wrong("ssl.trustStore.location=/nowhere.bcfks"),
            "ssl.trustStore.location: /nowhere.bcfks cannot be read",
        ),
        (wrong("ssl.trustStore.type=PEM"), "no certificate"),
    ] {
        match Server::try_start(Kind::Oxkeeper, &options)? {
            Started::Serves(_) => anyhow::bail!("it serves, and should have said {says:?}"),
            Started::Ended(code, log) => {
                ensure!(code == Some(2) && log.contains(says), "code {code:?}; {says:?} is not in\n{log}");
                ensure!(!log.contains(PASSWORD), "the password of the stores is in the log");
            }
        }
    }
    Ok(())
}

#[test]
fn clients_that_stall_in_the_handshake_leave_others_alone() -> Result<()> {
    if judged() != Kind::Oxkeeper || !available()? {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let port = free_port()?;
    let limited = options(&certificates, port, "server.p12", "trust.p12")
        .line("netty.server.outstandingHandshake.limit=20")
        .line("maxClientCnxns=0");
    let server = Server::start(Kind::Oxkeeper, &limited)?;
    let dial = || TcpStream::connect(("127.0.0.1", port)).context("connect");
    let stalled: Vec<_> = (0..20).map(|_| dial()).collect::<Result<_>>()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.ask("mntr")?.contains("zk_outstanding_tls_handshake\t20") {
        ensure!(Instant::now() < deadline, "twenty handshakes are not counted");
    }
    let mut refused = dial()?;
    refused.set_read_timeout(Some(Duration::from_secs(30))).context("a timeout")?;
    ensure!(refused.read(&mut [0]).unwrap_or(0) == 0, "one more is closed");
    drop(stalled);
    while !server.ask("mntr")?.contains("zk_outstanding_tls_handshake\t0") {
        ensure!(Instant::now() < deadline, "the handshakes of those who left are still counted");
    }
    java(&server, port, &certificates, &["stores"]).map(drop)
}

/// The server's tests read these lines; here the JDK says whether they are still true.
#[test]
fn names_are_what_the_jdk_makes_of_them() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let names = |what: &str| programs::java(REFERENCE, "names", "Names", &[], &[what]);
    let root = artifacts::package_dir().join("../src");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    ensure!(names("accepted")? == read("tree/testdata/x500-names.txt")?, "which texts are names has changed");
    // Later releases decode texts of old types in another way.
    if names("release")?.trim().parse::<u32>().context("the release of Java")? <= 17 {
        ensure!(names("printed")? == read("tls/testdata/names.txt")?, "how names print has changed");
    }
    Ok(())
}
