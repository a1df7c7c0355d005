//! A key distribution centre of the MIT library on loopback, with its database in a directory that vanishes with it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::programs::tail;
use crate::server::free_port;
use crate::skip::skip_unless_ci;
use crate::systems::until;
use crate::{artifacts, clock};

/// The realm that it serves.
pub const REALM: &str = "TEST.REALM";

/// The encryption types that keys are made for unless others are asked for.
pub const AES: &str = "aes256-cts-hmac-sha384-192:normal,aes128-cts-hmac-sha256-128:normal,\
                       aes256-cts-hmac-sha1-96:normal,aes128-cts-hmac-sha1-96:normal";

const START_LIMIT: Duration = Duration::from_secs(30);

/// Debian has these programs in `krb5-kdc`, `krb5-admin-server` and `krb5-user`.
const PROGRAMS: [&str; 4] = ["krb5kdc", "kdb5_util", "kadmin.local", "kinit"];

/// Whether a key distribution centre can be started here. If not, the test says so, and fails under `CI=true`.
pub fn available() -> Result<bool> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| program(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let missing = missing.join(", ");
    skip_unless_ci(&format!(
        "no Kerberos on this machine ({missing}): install krb5-kdc, krb5-admin-server and krb5-user"
    ))?;
    Ok(false)
}

/// Where a program is: what administers a machine need not be in the path of who tests.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    found.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// A running key distribution centre. Dropping it ends the process by its id.
#[derive(Debug)]
pub struct Kdc {
    home: TempDir,
    process: Child,
}

impl Kdc {
    /// Makes a database for [`REALM`] and serves it.
    pub fn start() -> Result<Self> {
        Self::start_at(0, "1d")
    }

    /// The same with a clock that is so many seconds ahead, and tickets that end after this time. Both it and whoever
    /// uses [`Self::lenient_conf`] take clocks that are far from theirs.
    pub fn start_at(ahead_s: i64, ticket_life: &str) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("oxkeeper-kdc-").tempdir().context("make a directory")?;
        let port = free_port()?;
        let shown = home.path().display();
        let write = |name: &str, text: String| {
            let path = home.path().join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        let conf = |more: &str| {
            format!(
                "[libdefaults]\n{more} default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
                 dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n[realms]\n {REALM} = {{\n  \
                 kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
            )
        };
        write("krb5.conf", conf(""))?;
        write("lenient.conf", conf(" clockskew = 864000\n"))?;
        write(
            "kdc.conf",
            format!(
                "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n {REALM} = \
                 {{\n  database_name = {shown}/principal\n  key_stash_file = {shown}/stash\n  acl_file = {shown}/acl\n  \
                 supported_enctypes = {}\n  max_life = {ticket_life}\n }}\n[logging]\n kdc = FILE:{shown}/log\n admin_server = FILE:{shown}/log\n",
                AES.replace(',', " ")
            ),
        )?;
        artifacts::run(
            command("kdb5_util", home.path())?.args(["create", "-s", "-P", "master", "-r", REALM]),
        )?;
        let log = File::create(home.path().join("out")).context("create a log")?;
        let mut kdc = command("krb5kdc", home.path())?;
        kdc.env("KRB5_CONFIG", home.path().join("lenient.conf")).envs(clock::ahead(ahead_s)?);
        // In the foreground.
        kdc.arg("-n").stdin(Stdio::null()).stdout(log.try_clone().context("share the log")?).stderr(log);
        let process = kdc.spawn().with_context(|| format!("start {kdc:?}"))?;
        let mut this = Self { home, process };
        until("the key distribution centre listens", START_LIMIT, || {
            if let Some(status) = this.process.try_wait().context("look for its end")? {
                bail!("krb5kdc ended ({status}):\n{}", tail(&this.log(), 20));
            }
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
        })?;
        Ok(this)
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.home.path().join(name)).unwrap_or_default();
        read("out") + &read("log")
    }

    /// The directory with its files, and those of tests.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// The configuration for whoever uses it.
    #[must_use]
    pub fn krb5_conf(&self) -> PathBuf {
        self.home.path().join("krb5.conf")
    }

    /// The same for a client whose clock may be days away.
    #[must_use]
    pub fn lenient_conf(&self) -> PathBuf {
        self.home.path().join("lenient.conf")
    }

    /// Adds a principal with a random key of each of these encryption types.
    pub fn add(&self, principal: &str, encryption: &str) -> Result<()> {
        self.administer(&format!("addprinc -randkey -e {encryption} {principal}"))
    }

    /// Gives a principal new keys, with the next version, and appends them to a keytab, which is made where there is
    /// none; those that it has stay in it.
    pub fn new_keys(&self, principal: &str, encryption: &str, keytab: &str) -> Result<PathBuf> {
        let path = self.home.path().join(keytab);
        self.administer(&format!("ktadd -k {} -e {encryption} {principal}", path.display()))?;
        Ok(path)
    }

    /// A principal that is new, and the keytab of its keys.
    pub fn with_keytab(&self, principal: &str, keytab: &str) -> Result<PathBuf> {
        self.add(principal, AES)?;
        self.new_keys(principal, AES, keytab)
    }

    fn administer(&self, query: &str) -> Result<()> {
        let said = artifacts::run(command("kadmin.local", self.home.path())?.args(["-q", query]))?;
        // It ends well whatever came of the query.
        let is_done = said.contains("created.") || said.contains("added to keytab");
        if !is_done {
            bail!("kadmin.local -q {query:?}: {said}");
        }
        Ok(())
    }

    /// Gets a ticket with a keytab into a cache of its own, by the name that is given back.
    pub fn kinit(&self, principal: &str, keytab: &Path) -> Result<PathBuf> {
        let cache = self.home.path().join(format!("cache-{}", principal.replace('/', "-")));
        let mut kinit = command("kinit", self.home.path())?;
        kinit.arg("-c").arg(&cache).arg("-k").arg("-t").arg(keytab).arg(principal);
        artifacts::run(&mut kinit)?;
        Ok(cache)
    }

    /// A login configuration with one section. Returns its file.
    pub fn jaas(&self, name: &str, section: &str, principal: &str, keytab: &Path) -> Result<PathBuf> {
        let path = self.home.path().join(name);
        let text = format!(
            "{section} {{\n  com.sun.security.auth.module.Krb5LoginModule required\n  useKeyTab=true\n  \
             keyTab=\"{}\"\n  storeKey=true\n  useTicketCache=false\n  principal=\"{principal}\";\n}};\n",
            keytab.display()
        );
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// One of the library's programs, with this database and these files alone.
fn command(name: &str, home: &Path) -> Result<Command> {
    let mut command = Command::new(program(name).with_context(|| format!("{name} is not installed"))?);
    command.env("KRB5_CONFIG", home.join("krb5.conf")).env("KRB5_KDC_PROFILE", home.join("kdc.conf"));
    command.env_remove("KRB5CCNAME").env_remove("KRB5_KTNAME").env("LC_ALL", "C");
    Ok(command)
}

impl Drop for Kdc {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of the key distribution centre ends:\n{}", tail(&self.log(), 40));
        }
    }
}
