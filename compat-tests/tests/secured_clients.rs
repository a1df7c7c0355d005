//! Clients that prove who they are, beside the reference with the same files: the shell by a login configuration and over
//! TLS, Curator and go-zookeeper over TLS with a certificate, the C client over TLS and by SASL.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::certificates::{Certificates, PASSWORD};
use compat_tests::compare::on_both;
use compat_tests::results::Case;
use compat_tests::sasl::{OF_CLIENT, PROVIDER, client_login};
use compat_tests::server::{Kind, Options, Server, free_port};
use compat_tests::shell::Shell;
use compat_tests::{bundles, c_client, native, programs, versions};

const JAAS: &str = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n \
                    user_super=\"adminsecret\" user_bob=\"bobsecret\"; };\n";
const SECRETS: [&str; 3] = [PASSWORD, "bobsecret", "adminsecret"];

fn available() -> Result<bool> {
    artifacts::available(&["java", "javac", "mvn", "openssl", "keytool"])
}

/// The files of a test, and the options of a server that takes certificates on one port and logins on both.
struct Files {
    certificates: Certificates,
}

impl Files {
    fn new() -> Result<Self> {
        let certificates = Certificates::new()?;
        fs::write(certificates.dir().join("jaas.conf"), JAAS).context("write a login configuration")?;
        Ok(Self { certificates })
    }

    fn dir(&self) -> &Path {
        self.certificates.dir()
    }

    fn options(&self, port: u16) -> Options {
        self.certificates
            .client_port(port, "server.p12", "trust.p12")
            .tick_time_ms(1500)
            .property(PROVIDER.0, PROVIDER.1)
            .property("java.security.auth.login.config", &self.certificates.path("jaas.conf"))
            .property("zookeeper.extendedTypesEnabled", "true")
            .property("znode.container.checkIntervalMs", "3600000")
    }

    /// What makes a Java client speak TLS: keys and values without the prefix of a flag.
    fn tls(&self, keys: Option<&str>) -> Vec<String> {
        let mut settings = vec![
            "zookeeper.client.secure=true".to_owned(),
            "zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty".to_owned(),
        ];
        let stores = [("keyStore", keys), ("trustStore", Some("trust.jks"))];
        for (which, name) in stores.into_iter().filter_map(|(which, name)| Some((which, name?))) {
            settings.push(format!("zookeeper.ssl.{which}.location={}", self.certificates.path(name)));
            settings.push(format!("zookeeper.ssl.{which}.password={PASSWORD}"));
        }
        settings
    }

    /// A certificate and its key, as OpenSSL and Go take them: authority, certificate, key.
    fn pem(&self, authority: &str, name: &str) -> [String; 3] {
        [format!("{authority}.pem"), format!("{name}.crt"), format!("{name}.key")]
            .map(|file| self.certificates.path(&file))
    }

    /// The same script at a server of each kind, which has a TLS port. No secret may be in what Oxkeeper says.
    fn check(&self, case: &Case, script: impl Fn(&mut Server, u16) -> Result<String> + Sync) -> Result<()> {
        on_both(case, |kind| {
            let port = free_port()?;
            let mut server = Server::start(kind, &self.options(port))?;
            let printed = script(&mut server, port);
            let log = server.log();
            for secret in SECRETS {
                ensure!(kind != Kind::Oxkeeper || !log.contains(secret), "{secret} is in the log");
            }
            printed.with_context(|| format!("{kind}, whose log ends:\n{}", programs::tail(&log, 40)))
        })
    }
}

fn flags(settings: &[String]) -> Vec<String> {
    settings.iter().map(|setting| format!("-D{setting}")).collect()
}

/// What a shell answers to each of these lines.
fn session(title: &str, address: &str, flags: &[String], more: &[&str], lines: &[&str]) -> Result<String> {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let arguments: Vec<_> = ["-waitforconnection"].iter().chain(more).copied().collect();
    let mut shell = Shell::start(address, &flags, &arguments)?;
    let mut said = format!("== {title}\n");
    shell.run("printwatches off", 0)?;
    for line in lines {
        let (mut answers, _) = shell.run(line, 0)?;
        if *line == "whoami" {
            answers.sort();
        }
        said.push_str(&format!("> {line}\n{}\n", answers.join("\n")));
    }
    shell.write("quit")?;
    shell.end()?;
    Ok(said)
}

/// How the shell ends that cannot get in: its status, and what it says first.
fn refused(title: &str, address: &str, flags: &[String], more: &[&str]) -> Result<String> {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let arguments: Vec<_> = ["-timeout", "4000"].iter().chain(more).copied().collect();
    let (status, lines) = Shell::start(address, &flags, &arguments)?.end()?;
    // Another thread of the shell may print between these words and the exception.
    let bare = lines.iter().map(|line| line.trim_start_matches("Exception in thread \"main\" "));
    let first: Vec<_> = bare.filter(|line| line.contains("KeeperErrorCode")).collect();
    Ok(format!("== {title}\n{status}: {first:?}\n"))
}

/// What comes of questions that are asked at the same time, in their order: who is refused tries for seconds.
fn at_once<T: Send>(
    questions: impl IntoIterator<Item = T>,
    ask: impl Fn(T) -> Result<String> + Sync,
) -> Result<String> {
    std::thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> =
            questions.into_iter().map(|question| scope.spawn(move || ask(question))).collect();
        let heard =
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a question panicked")));
        heard.collect()
    })
}

#[test]
fn the_shell_logs_in_and_speaks_tls() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let files = Files::new()?;
    let login = |user: &str, password: &str| -> Result<Vec<String>> {
        let file = client_login(files.dir(), &format!("{user}-{password}"), user, password)?;
        Ok([&OF_CLIENT[..], &[file.as_str()]].concat().into_iter().map(str::to_owned).collect())
    };
    let (bob, wrong, root) =
        (login("bob", "bobsecret")?, login("bob", "wrong")?, login("super", "adminsecret")?);
    let tls = flags(&files.tls(Some("client.p12")));
    let both = [bob.clone(), tls.clone()].concat();
    let client = files.dir().join("client.properties");
    fs::write(&client, files.tls(Some("client.jks")).join("\n")).context("write a client's configuration")?;
    let client = client.to_str().context("a path of text")?;
    let case = Case::new(
        "secured-shell",
        &format!("zkCli.sh {REFERENCE}"),
        "by a login configuration, over TLS by flags and by -client-configuration, and both",
    );
    files.check(&case, |server, port| {
        let (plain, secure) = (server.connect_string(), format!("127.0.0.1:{port}"));
        let own = [
            "whoami",
            "create /bob x sasl:bob:cdrwa",
            "getAcl /bob",
            "get /bob",
            "addauth digest me:pw",
            "whoami",
            "setAcl /bob sasl:alice:r",
            "get /bob",
            "getAcl /bob",
        ];
        let mut said = session("bob", &plain, &bob, &[], &own)?;
        ensure!(said.contains("sasl: bob"), "bob is not known:\n{said}");
        said += &session("nobody", &plain, &[], &[], &["whoami", "get /bob", "getAcl /bob"])?;
        said +=
            &session("super", &plain, &root, &[], &["get /bob", "setAcl /bob sasl:bob:r", "delete /bob"])?;
        let own = ["whoami", "create /own x auth::cdrwa", "getAcl /own", "get /own"];
        let over = session("TLS", &secure, &tls, &[], &own)?;
        ensure!(over.contains("x509: "), "the certificate is not known:\n{over}");
        said += &over;
        said +=
            &session("a file", &secure, &[], &["-client-configuration", client], &["whoami", "get /own"])?;
        said += &session("both", &secure, &both, &[], &["whoami", "create /both x auth::r", "getAcl /both"])?;
        said += &session("without", &plain, &[], &[], &["get /own", "get /both"])?;
        let (none, stranger) = (flags(&files.tls(None)), flags(&files.tls(Some("stranger.p12"))));
        let waiting = &["-waitforconnection", "ls", "/"][..];
        let refusals = [
            ("a wrong password", &plain, &wrong, &["ls", "/"][..]),
            ("no certificate", &secure, &none, waiting),
            ("a stranger", &secure, &stranger, waiting),
        ];
        // Not at once: what such a shell says of its connection may come into the line of its end when it has to hurry.
        for (title, address, flags, more) in refusals {
            said += &refused(title, address, flags, more)?;
        }
        Ok(said)
    })
}

#[test]
fn curator_over_tls() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let files = Files::new()?;
    let who = format!("Curator {}", versions::maven("curator", "curator-recipes")?);
    let case = Case::new(
        "secured-curator",
        &who,
        "over TLS with a certificate: who it is, fluent interface, locks, caches",
    );
    let flags = flags(&files.tls(Some("client.p12")));
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    files.check(&case, |_, port| {
        let address = format!("127.0.0.1:{port}");
        let said =
            bundles::run("curator", "Main", &flags, &[&address, "secured", "framework", "locks", "caches"])?;
        ensure!(said.contains("x509="), "the certificate is not known:\n{said}");
        Ok(said)
    })
}

#[test]
fn go_zookeeper_over_tls() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let who = format!("go-zookeeper {}", versions::go()?);
    if !native::present(&who, &["go"], &[])? {
        return Ok(());
    }
    let files = Files::new()?;
    let case = Case::new(
        "secured-go",
        &who,
        "over crypto/tls with a certificate: every operation, session through a restart; certificates that are refused",
    );
    files.check(&case, |server, port| {
        let (plain, secure) = (server.connect_string(), format!("127.0.0.1:{port}"));
        let pem = files.pem("ca", "client");
        let how = [pem[0].as_str(), &pem[1], &pem[2], &plain];
        let mut said = native::run_through_a_restart_at(server, native::go()?, &secure, &how)?;
        let shown = [("ca", "client"), ("ca", "stranger"), ("ca", "expired"), ("other", "client")];
        let shown =
            shown.map(|(authority, name)| (format!("{authority}, {name}"), files.pem(authority, name)));
        let none = ("no certificate".to_owned(), [pem[0].clone(), String::new(), String::new()]);
        said += &at_once(shown.into_iter().chain([none]), |(title, pem)| {
            let how = [pem[0].as_str(), &pem[1], &pem[2], &plain];
            Ok(format!("{title}: {}", native::probe(native::go()?, &secure, &how)?))
        })?;
        ensure!(said.contains("ca, client: gets in"), "{said}");
        Ok(said)
    })
}

#[test]
fn the_c_client_over_tls() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let Some((who, program)) = c_client::secured()? else { return Ok(()) };
    let files = Files::new()?;
    let case = Case::new(
        "secured-c-tls",
        &who,
        "over TLS: every operation, session through a restart; certificates that are refused",
    );
    files.check(&case, |server, port| {
        let secure = format!("127.0.0.1:{port}");
        let certificate = files.pem("ca", "client").join(",");
        let client = || Command::new(&program);
        let mut said = native::run_through_a_restart_at(server, client(), &secure, &["ssl", &certificate])?;
        ensure!(said.contains("x509:"), "the certificate is not known:\n{said}");
        let shown =
            [("ca", "client"), ("ca", "super"), ("ca", "stranger"), ("ca", "expired"), ("other", "client")];
        said += &at_once(shown, |(authority, name)| {
            let came = native::probe(client(), &secure, &["ssl", &files.pem(authority, name).join(",")])?;
            Ok(format!("{authority}, {name}: {came}"))
        })?;
        ensure!(said.contains("ca, client: gets in"), "{said}");
        Ok(said)
    })
}

#[test]
fn the_c_client_logs_in() -> Result<()> {
    if !available()? {
        return Ok(());
    }
    let Some((who, program)) = c_client::secured()? else { return Ok(()) };
    let files = Files::new()?;
    let case = Case::new(
        "secured-c-sasl",
        &who,
        "by DIGEST-MD5: every operation, session and login through a restart; passwords that are refused",
    );
    let password = |text: &str| -> Result<String> {
        let path = files.dir().join(format!("password-{text}"));
        fs::write(&path, text).context("write a password")?;
        Ok(path.to_str().context("a path of text")?.to_owned())
    };
    let (right, wrong, root) = (password("bobsecret")?, password("nosecret")?, password("adminsecret")?);
    files.check(&case, |server, _| {
        let plain = server.connect_string();
        let client = || Command::new(&program);
        let how = |user, password| ["sasl", "DIGEST-MD5", "zk-sasl-md5", user, password];
        let mut said = native::run_through_a_restart_at(server, client(), &plain, &how("bob", &right))?;
        ensure!(said.contains("sasl:bob"), "bob is not known:\n{said}");
        for (user, password) in [("bob", &right), ("bob", &wrong), ("nobody", &right), ("super", &root)] {
            let came = native::probe(client(), &plain, &how(user, password))?;
            said.push_str(&format!("{user} {}: {came}", password == &right));
        }
        ensure!(said.contains("bob true: gets in"), "{said}");
        Ok(said)
    })
}
