//! HBase 2.6: a master and region servers as processes of their own, on a local file system, with
//! their coordination in either server.
//!
//! A table is filled, split and spread; the server is stopped, killed and started again; a region
//! server is killed and its region must move. No row may be lost.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::results::Case;
use compat_tests::security::Security;
use compat_tests::server::{Kind, Server, free_port};
use compat_tests::systems::{Form, Look, Process, lists, logs, must_guard, on_the_servers, server_of, until};
use compat_tests::{artifacts, bundles, kdc, programs, versions};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
const SESSION_MS: u32 = 8000;

/// What lets Hadoop of today run on a current Java.
const OPENED: [&str; 5] = [
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
];

struct Cluster {
    server: Server,
    security: Security,
    dir: TempDir,
    class_path: String,
    master: Option<Process>,
    regions: Vec<Process>,
    transcript: String,
}

impl Cluster {
    fn new(kind: Kind, security: Security) -> Result<Self> {
        let server = server_of(kind, &security)?;
        let dir = tempfile::Builder::new().prefix("oxkeeper-hbase-").tempdir().context("make a directory")?;
        let class_path = bundles::class_path("hbase")?;
        let (regions, transcript) = (Vec::new(), String::new());
        Ok(Self { server, security, dir, class_path, master: None, regions, transcript })
    }

    fn look(&self) -> Result<Look> {
        self.security.look(self.server.addr())
    }

    fn start_processes(&mut self, size: usize) -> Result<()> {
        self.master = Some(self.process("master", "org.apache.hadoop.hbase.master.HMaster")?);
        for id in 1..=size {
            let main = "org.apache.hadoop.hbase.regionserver.HRegionServer";
            let region = self.process(&format!("region{id}"), main)?;
            self.regions.push(region);
        }
        let mut look = self.look()?;
        until("the servers' nodes", LIMIT, || {
            self.must_run()?;
            Ok(look.children("/hbase/rs")?.filter(|names| names.len() == size))
        })
        .map(drop)
    }

    fn must_run(&mut self) -> Result<()> {
        self.master.iter_mut().chain(&mut self.regions).try_for_each(Process::must_run)
    }

    /// Writes a configuration for one process and names it.
    fn configuration(&self, name: &str) -> Result<std::path::PathBuf> {
        let (ip, port) = (self.server.addr().ip().to_string(), self.server.addr().port().to_string());
        let home = self.dir.path();
        let (own, info) = (free_port()?.to_string(), "-1".to_owned());
        let session = SESSION_MS.to_string();
        let settings = [
            ("hbase.rootdir", format!("file://{}/root", home.display())),
            ("hbase.tmp.dir", format!("{}/tmp-{name}", home.display())),
            ("hbase.cluster.distributed", "true".to_owned()),
            ("hbase.zookeeper.quorum", ip),
            ("hbase.zookeeper.property.clientPort", port),
            ("zookeeper.session.timeout", session),
            ("hbase.unsafe.stream.capability.enforce", "false".to_owned()),
            ("hbase.wal.provider", "filesystem".to_owned()),
            ("hbase.master.port", own.clone()),
            ("hbase.master.info.port", info.clone()),
            ("hbase.master.ipc.address", "127.0.0.1".to_owned()),
            ("hbase.master.hostname", "localhost".to_owned()),
            ("hbase.regionserver.port", own),
            ("hbase.regionserver.info.port", info),
            ("hbase.regionserver.ipc.address", "127.0.0.1".to_owned()),
            ("hbase.regionserver.hostname", "localhost".to_owned()),
            ("hbase.regionserver.handler.count", "8".to_owned()),
            ("hbase.master.wait.on.regionservers.mintostart", "1".to_owned()),
            ("hbase.procedure.store.region.enforce.hsync", "false".to_owned()),
        ];
        let dir = home.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let secured = self.security_settings();
        // Hadoop reads a file of its own.
        write_settings(&dir.join("core-site.xml"), &secured)?;
        let path = dir.join("hbase-site.xml");
        write_settings(&path, &[settings.to_vec(), secured].concat())?;
        Ok(path)
    }

    /// What makes master, region servers and clients log in, to the server and to each other.
    fn security_settings(&self) -> Vec<(&'static str, String)> {
        let Security::Kerberos(realm) = &self.security else { return Vec::new() };
        let (principal, keytab) = (realm.principal().to_owned(), realm.keytab().display().to_string());
        vec![
            ("hadoop.security.authentication", "kerberos".to_owned()),
            ("hbase.security.authentication", "kerberos".to_owned()),
            ("hbase.master.kerberos.principal", principal.clone()),
            ("hbase.master.keytab.file", keytab.clone()),
            ("hbase.regionserver.kerberos.principal", principal.clone()),
            ("hbase.regionserver.keytab.file", keytab.clone()),
            ("hbase.client.keytab.principal", principal),
            ("hbase.client.keytab.file", keytab),
        ]
    }

    fn java(&self, name: &str, heap: &str, main: &str) -> Result<Command> {
        let configuration = self.configuration(name)?;
        let dir = configuration.parent().context("a file without a directory")?;
        let class_path = format!("{}:{}", dir.display(), self.class_path);
        let mut java = Command::new("java");
        java.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]).args(OPENED);
        java.args(self.security.flags());
        java.args(["-cp", &class_path, main]);
        Ok(java)
    }

    fn process(&self, name: &str, main: &str) -> Result<Process> {
        let mut java = self.java(name, "-Xmx512m", main)?;
        Process::start(name, self.dir.path(), java.arg("start"))
    }

    fn say(&mut self, line: &str) {
        eprintln!("{}: {line}", self.server.kind());
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    fn ask(&mut self, args: &[&str]) -> Result<String> {
        let site = self.configuration("client")?;
        let mut java = self.java("client", "-Xmx256m", "Tables")?;
        programs::output(java.arg(site).args(args)).with_context(|| format!("task {args:?}"))
    }

    fn task(&mut self, args: &[&str]) -> Result<()> {
        let printed = self.ask(args)?;
        self.say(printed.trim_end());
        Ok(())
    }

    /// The server goes away and comes back; master and region servers keep their sessions.
    fn server_returns(&mut self, kill: bool) -> Result<()> {
        let registered = |cluster: &Self| -> Result<_> {
            let mut look = cluster.look()?;
            let names = look.children("/hbase/rs")?.context("/hbase/rs")?;
            let mut nodes = vec![look.node("/hbase/master")?.context("/hbase/master")?];
            for name in names {
                nodes.push(look.node(&format!("/hbase/rs/{name}"))?.context("a region server")?);
            }
            Ok(nodes)
        };
        let before = registered(self)?;
        if kill {
            self.server.kill()?;
            self.server.launch()?;
        } else {
            self.server.restart()?;
        }
        std::thread::sleep(Duration::from_millis(u64::from(SESSION_MS) + 3000));
        self.must_run()?;
        ensure!(registered(self)? == before, "master or region servers registered anew");
        self.say(&format!("server {}: every session was kept", if kill { "killed" } else { "restarted" }));
        Ok(())
    }
}

fn write_settings(path: &Path, settings: &[(&str, String)]) -> Result<()> {
    let mut text = String::from("<configuration>\n");
    for (key, value) in settings {
        text.push_str(&format!("<property><name>{key}</name><value>{value}</value></property>\n"));
    }
    text.push_str("</configuration>\n");
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn run(kind: Kind, form: Form, security: Security) -> Result<String> {
    let began = Instant::now();
    let mut cluster = Cluster::new(kind, security)?;
    let result = live_through(&mut cluster, form);
    eprintln!("{kind}: HBase took {:?}", began.elapsed());
    result.with_context(|| logs(&cluster.server, cluster.master.iter().chain(&cluster.regions)))?;
    Security::must_be_secret(&cluster.server)?;
    Ok(cluster.transcript)
}

fn live_through(cluster: &mut Cluster, form: Form) -> Result<()> {
    let (rows, rounds) = if form == Form::Long { (20_000, 3) } else { (2000, 1) };
    cluster.start_processes(2)?;
    cluster.task(&["ready", "2"])?;
    cluster.task(&["create"])?;
    cluster.task(&["put", "0", &rows.to_string()])?;
    cluster.task(&["split", &(rows / 2).to_string()])?;
    cluster.task(&["spread"])?;
    for _ in 0..rounds {
        cluster.server_returns(false)?;
        cluster.server_returns(true)?;
    }
    cluster.task(&["put", &rows.to_string(), &rows.to_string()])?;
    let total = (2 * rows).to_string();
    cluster.task(&["scan", &total])?;

    let dump = cluster.ask(&["dump"])?;
    // What the shell's `zk_dump` shows: HBase's own nodes, and the server's answer to `stat`.
    ensure!(dump.contains("Active master address:"), "no master in the dump:\n{dump}");
    ensure!(dump.contains("Zookeeper version: "), "no server statistics in the dump:\n{dump}");
    let mode = format!("Mode: {}", cluster.server.mode()?);
    ensure!(dump.contains(&mode), "no {mode} in the dump:\n{dump}");
    cluster.say("zk_dump reads the server's statistics");

    if !matches!(cluster.security, Security::Open) {
        let lists = lists(&cluster.security, cluster.server.addr(), "/hbase", &[])?;
        cluster.say(&lists);
        must_guard(&cluster.security, &lists, "/hbase/rs", &[])?;
    }
    cluster.regions[0].kill()?;
    cluster.regions.remove(0);
    let mut look = cluster.look()?;
    until("the dead region server's node to go", LIMIT, || {
        Ok(look.children("/hbase/rs")?.filter(|names| names.len() == 1))
    })?;
    drop(look);
    cluster.task(&["moved"])?;
    cluster.task(&["scan", &total])?;
    ensure!(!cluster.transcript.contains("LOST"), "rows are lost");
    cluster.task(&["drop"])?;
    cluster.must_run()
}

fn check(name: &str, least: Form, means: &str, security: impl Fn() -> Result<Security>) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let who = format!("HBase {}", versions::maven("hbase", "hbase-server")?);
    let what = format!(
        "{means}put, split, spread, scan while the server is stopped and killed, a region server killed, \
         zk_dump: no row lost, sessions kept, regions moved"
    );
    on_the_servers(&Case::new(name, &who, &what), least, |kind, form| run(kind, form, security()?))
}

#[test]
fn hbase_keeps_its_rows_and_moves_its_regions() -> Result<()> {
    check("hbase", Form::Brief, "", || Ok(Security::Open))
}

#[test]
fn hbase_logs_in_by_kerberos_and_guards_its_nodes() -> Result<()> {
    if !kdc::available()? {
        return Ok(());
    }
    let means = "Kerberos between all processes and to the server, lists of the sasl scheme: ";
    check("hbase-kerberos", Form::Short, means, || Security::kerberos("hbase"))
}
