//! SolrCloud 9: nodes as processes of their own, coordinated by either server.
//!
//! Solr leans on what the other systems hardly touch: a new leader for each shard by ephemeral
//! sequence nodes, a work queue of its own in the tree, the state of each replica changed by
//! transactions, and a page that reads the server's four-letter words and configuration node.
//! Documents are added while the server is stopped, killed and started and while a node is killed;
//! none that was acknowledged may be lost.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::results::Case;
use compat_tests::security::{PASSWORD, READER_PASSWORD, Security, USER};
use compat_tests::server::{Kind, Server, free_port};
use compat_tests::systems::{
    Form, Look, Node, Process, lists, logs, must_guard, on_the_servers, server_of, until,
};
use compat_tests::{artifacts, bundles, programs, versions};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(90);
/// The `zkClientTimeout` of `solr.xml`.
const SESSION: Duration = Duration::from_secs(8);
const JVM: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

struct Cluster {
    server: Server,
    security: Security,
    dir: TempDir,
    class_path: String,
    ports: Vec<u16>,
    nodes: Vec<Option<Process>>,
    transcript: String,
}

impl Cluster {
    fn new(kind: Kind, size: usize, security: Security) -> Result<Self> {
        let server = server_of(kind, &security)?;
        let dir = tempfile::Builder::new().prefix("oxkeeper-solr-").tempdir().context("make a directory")?;
        let class_path = bundles::class_path("solr")?;
        let ports = (0..size).map(|_| free_port()).collect::<Result<Vec<u16>>>()?;
        Ok(Self { server, security, dir, class_path, ports, nodes: Vec::new(), transcript: String::new() })
    }

    fn start_nodes(&mut self) -> Result<()> {
        for index in 0..self.ports.len() {
            self.nodes.push(None);
            self.start_node(index)?;
            // The first makes what they share.
            self.live_node(index)?;
        }
        Ok(())
    }

    fn say(&mut self, line: &str) {
        eprintln!("{}: {line}", self.server.kind());
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    fn look(&self) -> Result<Look> {
        self.security.look(self.server.addr())
    }

    fn zookeeper(&self) -> String {
        format!("{}/solr", self.server.connect_string())
    }

    /// `level` is that of the lines it logs.
    fn java(&self, heap: &str, level: &str) -> Command {
        let mut java = Command::new("java");
        java.arg(heap).args(JVM).arg(format!("-Dlog4j2.level={level}"));
        java.args(self.security.flags());
        if matches!(self.security, Security::Digest) {
            java.args(credentials());
        }
        java.args(["-DcreateZkChroot=true", "-cp", &self.class_path]);
        java
    }

    fn start_node(&mut self, index: usize) -> Result<()> {
        let home = self.dir.path().join(format!("node{index}"));
        fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        let xml = home.join("solr.xml");
        fs::copy(source("solr.xml"), &xml).with_context(|| format!("write {}", xml.display()))?;
        let port = self.ports[index].to_string();
        let mut java = self.java("-Xmx512m", "WARN");
        java.arg(format!("-DhostPort={port}"));
        java.arg("Node").arg(&home).args([&port, &self.zookeeper()]);
        self.nodes[index] = Some(Process::start(&format!("node{index}"), self.dir.path(), &mut java)?);
        Ok(())
    }

    fn must_run(&mut self) -> Result<()> {
        self.nodes.iter_mut().flatten().try_for_each(Process::must_run)
    }

    /// The ephemeral node by which a Solr node of this test, known by its port, says that it lives.
    fn live_node(&mut self, index: usize) -> Result<Node> {
        let path = format!("/solr/live_nodes/127.0.0.1:{}_solr", self.ports[index]);
        let deadline = Instant::now() + LIMIT;
        loop {
            let process = self.nodes[index].as_mut().context("the node is not running")?;
            process.must_run()?;
            if let Some(node) = self.security.look(self.server.addr())?.node(&path)? {
                ensure!(node.owner != 0, "{path} belongs to no session");
                return Ok(node);
            }
            ensure!(Instant::now() < deadline, "node {index} does not register:\n{}", process.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn task(&mut self, args: &[&str]) -> Result<()> {
        let mut java = self.java("-Xmx256m", "OFF");
        java.args(["Books", &self.zookeeper()]).args(args);
        let printed = programs::output(&mut java).with_context(|| format!("task {args:?}"))?;
        self.say(printed.trim_end());
        Ok(())
    }

    /// The server goes away and comes back; the nodes keep their sessions.
    fn server_returns(&mut self, kill: bool) -> Result<()> {
        let live = |cluster: &mut Self| -> Result<Vec<Node>> {
            (0..cluster.nodes.len()).map(|index| cluster.live_node(index)).collect()
        };
        let before = live(self)?;
        if kill {
            self.server.kill()?;
            self.server.launch()?;
        } else {
            self.server.restart()?;
        }
        // Longer than a session lives without its client.
        std::thread::sleep(SESSION + Duration::from_secs(3));
        self.must_run()?;
        ensure!(live(self)? == before, "a node registered anew");
        self.say(&format!("server {}: every session was kept", if kill { "killed" } else { "restarted" }));
        Ok(())
    }

    /// The node that runs the overseer dies: the other takes over its work and its shards.
    fn overseer_dies(&mut self) -> Result<()> {
        let (security, server) = (&self.security, self.server.addr());
        let overseer = || -> Result<Option<String>> {
            let leader = security.look(server)?.node("/solr/overseer_elect/leader")?;
            Ok(leader.map(|node| String::from_utf8_lossy(&node.data).into_owned()))
        };
        let told = until("an overseer", LIMIT, overseer)?;
        let port = |port: &u16| told.contains(&format!(":{port}_solr"));
        let index = self.ports.iter().position(port).with_context(|| format!("the overseer is {told}"))?;
        self.nodes[index].as_mut().context("the overseer is not running")?.kill()?;
        self.nodes[index] = None;
        until("another overseer", LIMIT, || Ok(overseer()?.filter(|now| *now != told)))?;
        self.say("overseer killed: another took over");
        self.task(&["ready", "1"])?;
        self.start_node(index)?;
        self.live_node(index)?;
        self.task(&["ready", "2"])
    }
}

fn source(name: &str) -> PathBuf {
    artifacts::package_dir().join("clients/java/solr").join(name)
}

/// What Solr's manual says of guarding its nodes: a user who may do everything, and one who may read what holds no secrets.
fn credentials() -> Vec<String> {
    let class = |name: &str| format!("org.apache.solr.common.cloud.{name}");
    let settings = [
        ("zkCredentialsInjector", class("VMParamsZkCredentialsInjector")),
        ("zkCredentialsProvider", class("DigestZkCredentialsProvider")),
        ("zkACLProvider", class("DigestZkACLProvider")),
        ("zkDigestUsername", USER.to_owned()),
        ("zkDigestPassword", PASSWORD.to_owned()),
        ("zkDigestReadonlyUsername", "reader".to_owned()),
        ("zkDigestReadonlyPassword", READER_PASSWORD.to_owned()),
    ];
    settings.map(|(key, value)| format!("-D{key}={value}")).to_vec()
}

/// Parts of the paths of nodes that come and go: work to be done, and states that are part of a name.
const PASSING: [&str; 5] =
    ["queue/", "/collection-queue-work/", "/collection-map-", "/async_ids/", "/state.json/"];

fn run(kind: Kind, form: Form, security: Security) -> Result<String> {
    let began = Instant::now();
    let mut cluster = Cluster::new(kind, 2, security)?;
    let result = live_through(&mut cluster, form);
    eprintln!("{kind}: Solr took {:?}", began.elapsed());
    result.with_context(|| logs(&cluster.server, cluster.nodes.iter().flatten()))?;
    Security::must_be_secret(&cluster.server)?;
    Ok(cluster.transcript)
}

fn live_through(cluster: &mut Cluster, form: Form) -> Result<()> {
    let (count, pause_ms, rounds) = if form == Form::Long { (1500, 60, 2) } else { (300, 100, 1) };
    cluster.start_nodes()?;
    cluster.task(&["upload", &source("conf").display().to_string()])?;
    cluster.task(&["create"])?;
    cluster.task(&["status"])?;

    let acknowledged = cluster.dir.path().join("acknowledged").display().to_string();
    let mut java = cluster.java("-Xmx256m", "OFF");
    let (count, pause_ms) = (count.to_string(), pause_ms.to_string());
    java.args(["Books", &cluster.zookeeper(), "produce", "0", &count, &pause_ms, &acknowledged]);
    let mut producer = Process::start("producer", cluster.dir.path(), &mut java)?;
    for _ in 0..rounds {
        cluster.server_returns(false)?;
        cluster.server_returns(true)?;
        cluster.overseer_dies()?;
    }
    producer.must_succeed(Duration::from_secs(200))?;
    cluster.say(producer.log().trim_end().lines().last().unwrap_or_default());
    cluster.task(&["check", &acknowledged])?;
    ensure!(cluster.transcript.contains(" 0 missing"), "acknowledged documents are lost");
    cluster.task(&["manage"])?;
    cluster.task(&["check", &acknowledged])?;
    cluster.task(&["status"])?;
    if !matches!(cluster.security, Security::Open) {
        let lists = lists(&cluster.security, cluster.server.addr(), "/solr", &PASSING)?;
        cluster.say(&lists);
        must_guard(&cluster.security, &lists, "/solr/collections", &[])?;
    }
    cluster.task(&["delete"])?;
    let left = cluster.look()?.children("/solr/collections")?;
    ensure!(left.as_ref().is_some_and(Vec::is_empty), "the collection is still there: {left:?}");
    cluster.must_run()
}

fn check(name: &str, least: Form, means: &str, security: impl Fn() -> Security) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let who = format!("Solr {}", versions::maven("solr", "solr-test-framework")?);
    let what = format!(
        "{means}documents added while the server is stopped and killed and the overseer killed, collection \
         operations, ZooKeeper status page: none lost, sessions kept, leaders elected"
    );
    on_the_servers(&Case::new(name, &who, &what), least, |kind, form| run(kind, form, security()))
}

#[test]
fn solr_loses_nothing_and_finds_new_leaders() -> Result<()> {
    check("solr", Form::Brief, "", || Security::Open)
}

#[test]
fn solr_guards_its_nodes_with_digests_of_passwords() -> Result<()> {
    check("solr-digest", Form::Short, "lists of the digest scheme: ", || Security::Digest)
}
