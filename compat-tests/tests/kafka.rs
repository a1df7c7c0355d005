//! Kafka 3.9 in ZooKeeper mode, unmodified, with its metadata in either server.
//!
//! Numbered records are produced while the server is stopped, killed and started again and while
//! the controller is killed. No acknowledged record may be lost, brokers must keep their sessions
//! through the server's absence, and a new controller must be elected.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::results::Case;
use compat_tests::server::{Kind, Server, free_port};
use compat_tests::systems::{Form, Look, Node, Process, logs, on_the_servers, server_of, until};
use compat_tests::{artifacts, bundles, versions};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(90);
const SESSION_MS: u32 = 6000;

struct Cluster {
    server: Server,
    dir: TempDir,
    class_path: String,
    ports: Vec<u16>,
    brokers: Vec<Option<Process>>,
    transcript: String,
}

impl Cluster {
    fn new(kind: Kind, size: usize) -> Result<Self> {
        let server = server_of(kind)?;
        let dir = tempfile::Builder::new().prefix("oxkeeper-kafka-").tempdir().context("make a directory")?;
        let ports = (0..size).map(|_| free_port()).collect::<Result<Vec<u16>>>()?;
        let class_path = bundles::class_path("kafka")?;
        Ok(Self { server, dir, class_path, ports, brokers: Vec::new(), transcript: String::new() })
    }

    fn start_brokers(&mut self) -> Result<()> {
        for id in 1..=self.ports.len() {
            self.brokers.push(None);
            self.start_broker(id)?;
        }
        (1..=self.ports.len()).try_for_each(|id| self.wait_for_broker(id).map(drop))
    }

    fn say(&mut self, line: &str) {
        eprintln!("{}: {line}", self.server.kind());
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    fn bootstrap(&self) -> String {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    fn zookeeper(&self) -> String {
        format!("{}/kafka", self.server.connect_string())
    }

    fn java(&self, heap: &str, main: &str) -> Command {
        let mut java = Command::new("java");
        java.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &self.class_path, main]);
        java
    }

    fn start_broker(&mut self, id: usize) -> Result<()> {
        let home = self.dir.path().join(format!("broker{id}"));
        let replicas = self.ports.len().min(3);
        let config = format!(
            "broker.id={id}\nlisteners=PLAINTEXT://127.0.0.1:{}\nlog.dirs={}\nzookeeper.connect={}\n\
             zookeeper.session.timeout.ms={SESSION_MS}\nzookeeper.connection.timeout.ms=30000\n\
             offsets.topic.num.partitions=2\noffsets.topic.replication.factor={replicas}\n\
             transaction.state.log.replication.factor={replicas}\ngroup.initial.rebalance.delay.ms=0\n\
             num.network.threads=2\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=4194304\n\
             replica.lag.time.max.ms=5000\nunclean.leader.election.enable=false\nauto.create.topics.enable=false\n\
             authorizer.class.name=kafka.security.authorizer.AclAuthorizer\nsuper.users=User:ANONYMOUS\n",
            self.ports[id - 1],
            home.display(),
            self.zookeeper()
        );
        let path = self.dir.path().join(format!("broker{id}.properties"));
        fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
        let mut java = self.java("-Xmx384m", "kafka.Kafka");
        let broker = Process::start(&format!("broker{id}"), self.dir.path(), java.arg(&path))?;
        self.brokers[id - 1] = Some(broker);
        Ok(())
    }

    fn broker(&mut self, id: usize) -> Result<&mut Process> {
        self.brokers[id - 1].as_mut().with_context(|| format!("broker {id} is not running"))
    }

    fn registration(&self, id: usize) -> Result<Option<Node>> {
        Look::at(self.server.addr())?.node(&format!("/kafka/brokers/ids/{id}"))
    }

    /// Waits for the broker's node, and makes sure that it is this test's broker.
    fn wait_for_broker(&mut self, id: usize) -> Result<Node> {
        let deadline = Instant::now() + LIMIT;
        let port = format!(":{}", self.ports[id - 1]);
        loop {
            self.broker(id)?.must_run()?;
            if let Some(node) = self.registration(id)? {
                ensure!(String::from_utf8_lossy(&node.data).contains(&port), "broker {id} is another's");
                ensure!(node.owner != 0, "broker {id} is registered without a session");
                return Ok(node);
            }
            ensure!(
                Instant::now() < deadline,
                "broker {id} does not register:\n{}",
                self.broker(id)?.log_tail()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The broker that is controller and its epoch.
    fn controller(&self) -> Result<Option<(usize, u64)>> {
        let mut look = Look::at(self.server.addr())?;
        let (Some(node), Some(epoch)) =
            (look.node("/kafka/controller")?, look.node("/kafka/controller_epoch")?)
        else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&node.data).into_owned();
        let id = text.split("\"brokerid\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let id = id.context("/controller without a broker")?.parse().context("the controller's id")?;
        Ok(Some((id, String::from_utf8_lossy(&epoch.data).parse().context("the controller's epoch")?)))
    }

    /// Runs one task of the client program; what it prints goes into the transcript.
    fn task(&mut self, args: &[&str]) -> Result<()> {
        let mut java = self.java("-Xmx256m", "Load");
        java.arg(self.bootstrap()).args(args);
        let printed = compat_tests::programs::output(&mut java)?;
        self.say(printed.trim_end());
        Ok(())
    }

    /// Every broker answers, still in the session it had.
    fn same_sessions(&mut self, before: &[Node], event: &str) -> Result<()> {
        // Longer than a session lives without its client.
        std::thread::sleep(Duration::from_millis(u64::from(SESSION_MS) + 4000));
        for (index, old) in before.iter().enumerate() {
            self.broker(index + 1)?.must_run()?;
            let now = self.registration(index + 1)?.context("the broker's node is gone")?;
            ensure!(
                now == *old,
                "broker {} is registered anew after {event}: {now:?}, was {old:?}",
                index + 1
            );
        }
        self.say(&format!("{event}: every broker kept its session"));
        Ok(())
    }

    /// The server goes away and comes back, twice, while records are produced.
    fn server_restarts(&mut self, rounds: usize) -> Result<()> {
        let before = (1..=self.ports.len()).map(|id| self.wait_for_broker(id)).collect::<Result<Vec<_>>>()?;
        for _ in 0..rounds {
            self.server.restart()?;
            self.same_sessions(&before, "server stopped and started")?;
            self.server.kill()?;
            self.server.launch()?;
            self.same_sessions(&before, "server killed and started")?;
        }
        Ok(())
    }

    fn controller_dies(&mut self) -> Result<()> {
        let (id, epoch) = until("a controller", LIMIT, || self.controller())?;
        self.broker(id)?.kill()?;
        self.brokers[id - 1] = None;
        until("another controller", LIMIT, || {
            Ok(self.controller()?.filter(|(now, then)| *now != id && *then > epoch))
        })?;
        ensure!(self.registration(id)?.is_none(), "the dead broker is still registered");
        self.say("controller killed: another was elected, in a later epoch");
        self.start_broker(id)?;
        self.wait_for_broker(id)?;
        self.task(&["whole", "load"])
    }
}

/// The nodes that two runs must share: without those that come and go.
fn lasting(paths: Vec<String>) -> Vec<String> {
    let passing = [
        "isr_change_notification/",
        "log_dir_event_notification/",
        "/topics/__",
        "/config/changes/",
        "/kafka-acl-changes/",
    ];
    paths.into_iter().filter(|path| !passing.iter().any(|part| path.contains(part))).collect()
}

fn run(kind: Kind, form: Form) -> Result<String> {
    let began = Instant::now();
    let mut cluster = Cluster::new(kind, if form == Form::Long { 3 } else { 2 })?;
    let result = live_through(&mut cluster, form);
    eprintln!("{kind}: Kafka with {} brokers took {:?}", cluster.ports.len(), began.elapsed());
    result.with_context(|| logs(&cluster.server, cluster.brokers.iter().flatten()))?;
    Ok(cluster.transcript)
}

fn live_through(cluster: &mut Cluster, form: Form) -> Result<()> {
    let (count, pace, rounds) = if form == Form::Long { (30_000, 200, 2) } else { (4000, 80, 1) };
    let size = cluster.ports.len();
    cluster.start_brokers()?;
    cluster.task(&["create", "load", "4", &size.to_string()])?;

    let acknowledged: PathBuf = cluster.dir.path().join("acknowledged");
    let mut java = cluster.java("-Xmx256m", "Load");
    java.arg(cluster.bootstrap()).args(["produce", "load", &count.to_string(), &pace.to_string()]);
    let mut producer = Process::start("producer", cluster.dir.path(), java.arg(&acknowledged))?;
    cluster.server_restarts(rounds)?;
    producer.must_run()?;
    cluster.task(&["configure", "load", "retention.ms", "123456789"])?;
    cluster.task(&["create", "passing", "1", "1"])?;
    cluster.task(&["grow", "passing", "3"])?;
    cluster.task(&["acl", "load"])?;
    acl_command(cluster)?;
    for _ in 0..rounds {
        cluster.controller_dies()?;
    }
    cluster.task(&["delete", "passing"])?;
    producer.must_succeed(Duration::from_secs(300))?;
    cluster.say(producer.log().trim_end().lines().last().unwrap_or_default());
    let path = acknowledged.display().to_string();
    cluster.task(&["consume", "load", &path])?;
    ensure!(cluster.transcript.contains(" 0 missing"), "acknowledged records are lost");

    let mut look = Look::at(cluster.server.addr())?;
    let config = look.node("/kafka/config/topics/load")?.context("the topic's configuration")?;
    ensure!(String::from_utf8_lossy(&config.data).contains("123456789"), "the configuration is not stored");
    let nodes = lasting(look.paths("/kafka")?).join("\n");
    drop(look);
    cluster.say(&nodes);
    for id in 1..=size {
        cluster.broker(id)?.must_run()?;
    }
    Ok(())
}

/// Kafka's own tool, writing to the server past the brokers.
fn acl_command(cluster: &mut Cluster) -> Result<()> {
    let connect = format!("zookeeper.connect={}", cluster.zookeeper());
    let mut java = cluster.java("-Xmx128m", "kafka.admin.AclCommand");
    java.args(["--authorizer-properties", &connect, "--add", "--allow-principal", "User:writer"]);
    java.args(["--operation", "Write", "--topic", "load"]);
    compat_tests::programs::output(&mut java)?;
    let stored = Look::at(cluster.server.addr())?.node("/kafka/kafka-acl/Topic/load")?;
    let text = String::from_utf8_lossy(&stored.context("no ACL is stored")?.data).into_owned();
    ensure!(text.contains("User:writer") && text.contains("User:reader"), "an ACL is missing: {text}");
    cluster.say("AclCommand added to what the brokers stored");
    Ok(())
}

#[test]
fn kafka_loses_nothing_and_keeps_its_sessions() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let who = format!("Kafka {} in ZooKeeper mode", versions::maven("kafka", "kafka_2.13")?);
    let what = "acks=all while the server is stopped and killed, configuration, ACLs, the controller killed: \
                no record lost, sessions kept, another controller";
    on_the_servers(&Case::new("kafka", &who, what), run)
}
