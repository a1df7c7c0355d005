//! A service of Kerberos and its clients, as the tests of logins by it use them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::artifacts::{self, REFERENCE};
use crate::kdc::{self, Kdc, REALM};
use crate::programs;
use crate::server::{Options, Server};

/// The name of the service that clients log in to.
pub const SERVICE: &str = "zookeeper/localhost";
const PROVIDER: &str = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

/// Whether Java and a key distribution centre are here. If not, the test says so, and fails under `CI=true`.
pub fn is_possible() -> Result<bool> {
    Ok(artifacts::available(&["java", "javac", "mvn"])? && kdc::available()?)
}

/// A server whose clients log in by Kerberos, with these further flags of a JVM.
pub fn options(kdc: &Kdc, login: &Path, flags: &[(&str, &str)]) -> Options {
    let base = Options::default()
        .tick_time_ms(1000)
        .line(PROVIDER)
        .flag("java.security.krb5.conf", &kdc.krb5_conf().display().to_string())
        .flag("java.security.auth.login.config", &login.display().to_string());
    flags.iter().fold(base, |options, (key, value)| options.flag(key, value))
}

/// What a Java program says that logs in with a section `Client` and asks for this service.
pub fn client(kdc: &Kdc, login: &Path, service: &str, main: &str, args: &[&str]) -> Result<String> {
    let properties = [
        "-Dzookeeper.sasl.client=true".to_owned(),
        format!("-Djava.security.krb5.conf={}", kdc.krb5_conf().display()),
        format!("-Djava.security.auth.login.config={}", login.display()),
        format!("-Dzookeeper.server.principal={service}"),
    ];
    let properties: Vec<_> = properties.iter().map(String::as_str).collect();
    programs::java(REFERENCE, "kerberos", main, &properties, args)
}

/// A key distribution centre with the service, and two clients' login configurations.
#[derive(Debug)]
pub struct Realm {
    /// The centre.
    pub kdc: Kdc,
    /// The service's login configuration.
    pub server: PathBuf,
    /// Each client's principal, and its login configuration.
    pub clients: Vec<(&'static str, PathBuf)>,
    /// A login configuration with a section for each of them.
    all_clients: PathBuf,
}

impl Realm {
    /// A realm that was not there before.
    pub fn new() -> Result<Self> {
        Self::of(Kdc::start()?)
    }

    /// The same at a centre that runs.
    pub fn of(kdc: Kdc) -> Result<Self> {
        let keytab = kdc.with_keytab(SERVICE, "server.keytab")?;
        let server = kdc.jaas("server.jaas", "Server", &format!("{SERVICE}@{REALM}"), &keytab)?;
        let (mut clients, mut sections) = (Vec::new(), String::new());
        for (index, principal) in ["alice", "hbase/rs1.example.com"].into_iter().enumerate() {
            let keytab = kdc.with_keytab(principal, &format!("client{index}.keytab"))?;
            let own = kdc.jaas("section.jaas", &section(index), principal, &keytab)?;
            sections += &fs::read_to_string(&own).with_context(|| format!("read {}", own.display()))?;
            clients
                .push((principal, kdc.jaas(&format!("client{index}.jaas"), "Client", principal, &keytab)?));
        }
        let all_clients = kdc.path().join("clients.jaas");
        fs::write(&all_clients, sections).with_context(|| format!("write {}", all_clients.display()))?;
        Ok(Self { kdc, server, clients, all_clients })
    }

    /// Each client logs in, and says who it is: one after the other, of one program.
    pub fn logins(&self, server: &Server, said: &mut String) -> Result<()> {
        let address = server.connect_string();
        let nodes: Vec<_> =
            (0..self.clients.len()).map(|index| (format!("/node{index}"), section(index))).collect();
        let pairs = nodes.iter().flat_map(|(node, section)| [node.as_str(), section.as_str()]);
        let args: Vec<_> = std::iter::once(address.as_str()).chain(pairs).collect();
        let shown = client(&self.kdc, &self.all_clients, SERVICE, "KerberosLogin", &args)?;
        let came = shown.matches("state SaslAuthenticated").count();
        ensure!(came == self.clients.len(), "{came} of {:?} are logged in:\n{shown}", self.clients);
        said.push_str(&shown);
        Ok(())
    }
}

/// The section of the login configuration of all clients that is one client's.
fn section(index: usize) -> String {
    format!("Client{index}")
}

/// Oxkeeper's log tells of each login that was refused in one line, which names its connection; these reasons are among
/// them.
pub fn told_once_each(log: &str, refused: usize, reasons: &[&str]) -> Result<()> {
    let lines: Vec<_> = log.lines().filter(|line| line.contains("SASL authentication failed: ")).collect();
    ensure!(lines.len() == refused, "{refused} were refused, and {} lines say so:\n{log}", lines.len());
    let peers: BTreeSet<_> =
        lines.iter().filter_map(|line| line.split_once("peer=")?.1.split_whitespace().next()).collect();
    ensure!(peers.len() == refused, "not every line names its peer:\n{}", lines.join("\n"));
    for reason in reasons {
        ensure!(
            lines.iter().any(|line| line.contains(reason)),
            "no line tells {reason:?}:\n{}",
            lines.join("\n")
        );
    }
    Ok(())
}
