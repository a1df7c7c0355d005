//! Brokers of Kafka in ZooKeeper mode, unmodified, whose metadata lie in servers of either kind.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::certificates::PASSWORD;
use crate::security::Security;
use crate::server::free_port;
use crate::systems::{Look, Node, Process, lists, must_guard, until};
use crate::{bundles, programs};

/// For what brokers come to by themselves.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Parts of the paths of nodes that come and go.
pub const PASSING: [&str; 5] = [
    "isr_change_notification/",
    "log_dir_event_notification/",
    "/topics/__",
    "/config/changes/",
    "/kafka-acl-changes/",
];

/// A cluster of brokers, numbered from 1, and what it has said so far.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<SocketAddr>,
    session_ms: u32,
    security: Arc<Security>,
    /// Where the brokers connect.
    connect: Vec<SocketAddr>,
    dir: TempDir,
    class_path: String,
    ports: Vec<u16>,
    brokers: Vec<Option<Process>>,
    transcript: String,
}

impl Cluster {
    /// So many brokers that know these servers and ask for sessions of this length. None runs yet.
    pub fn new(servers: &[SocketAddr], size: usize, session_ms: u32) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("oxkeeper-kafka-").tempdir().context("make a directory")?;
        let ports = (0..size).map(|_| free_port()).collect::<Result<Vec<u16>>>()?;
        Ok(Self {
            servers: servers.to_vec(),
            session_ms,
            security: Arc::new(Security::Open),
            connect: servers.to_vec(),
            dir,
            class_path: bundles::class_path("kafka")?,
            ports,
            brokers: (0..size).map(|_| None).collect(),
            transcript: String::new(),
        })
    }

    /// The same, whose brokers prove to the servers who they are, at these addresses, and guard their nodes.
    pub fn secured(mut self, security: &Arc<Security>, connect: &[SocketAddr]) -> Result<Self> {
        self.security = Arc::clone(security);
        self.connect = connect.to_vec();
        let path = self.tls_config();
        fs::write(&path, self.security_settings()).with_context(|| format!("write {}", path.display()))?;
        Ok(self)
    }

    /// What brokers are told besides, which Kafka's tools are told in a file.
    fn security_settings(&self) -> String {
        match &*self.security {
            Security::Open => String::new(),
            Security::Tls(certificates) => format!(
                "zookeeper.set.acl=true\nzookeeper.ssl.client.enable=true\n\
                 zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty\n\
                 zookeeper.ssl.keystore.location={}\nzookeeper.ssl.keystore.password={PASSWORD}\n\
                 zookeeper.ssl.truststore.location={}\nzookeeper.ssl.truststore.password={PASSWORD}\n",
                certificates.path("client.jks"),
                certificates.path("trust.jks"),
            ),
            _ => "zookeeper.set.acl=true\n".to_owned(),
        }
    }

    /// Whether the brokers give their nodes lists of their own.
    #[must_use]
    pub fn guards_nodes(&self) -> bool {
        !matches!(*self.security, Security::Open)
    }

    /// The file that tools of Kafka are given with `--zk-tls-config-file`.
    fn tls_config(&self) -> PathBuf {
        self.dir.path().join("zookeeper-tls.properties")
    }

    /// A command that runs a tool of Kafka which writes to the servers past the brokers; arguments may be added.
    pub fn tool(&self, main: &str) -> Command {
        let mut java = self.java("-Xmx128m", main);
        if matches!(*self.security, Security::Tls(_)) {
            java.arg("--zk-tls-config-file").arg(self.tls_config());
        }
        java
    }

    /// Starts all brokers and waits until each is registered.
    pub fn start_brokers(&mut self) -> Result<()> {
        self.ids().try_for_each(|id| self.start_broker(id))?;
        self.ids().try_for_each(|id| self.wait_for_broker(id).map(drop))
    }

    /// The numbers of all brokers.
    pub fn ids(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.ports.len()
    }

    /// The brokers that run.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.brokers.iter().flatten()
    }

    /// A directory for files of the brokers and their clients.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What was said so far.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Adds a line to the transcript.
    pub fn say(&mut self, line: &str) {
        eprintln!("Kafka: {line}");
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    /// The connect string of clients of Kafka.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// The connect string of the brokers.
    #[must_use]
    pub fn zookeeper(&self) -> String {
        let servers: Vec<String> = self.connect.iter().map(SocketAddr::to_string).collect();
        format!("{}/kafka", servers.join(","))
    }

    /// A command that runs `main` with Kafka's class path; arguments may be added.
    #[must_use]
    pub fn java(&self, heap: &str, main: &str) -> Command {
        let mut java = Command::new("java");
        java.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]).args(self.security.flags());
        java.args(["-cp", &self.class_path, main]);
        java
    }

    /// Starts one broker.
    pub fn start_broker(&mut self, id: usize) -> Result<()> {
        let home = self.dir.path().join(format!("broker{id}"));
        let replicas = self.ports.len().min(3);
        let config = format!(
            "broker.id={id}\nlisteners=PLAINTEXT://127.0.0.1:{}\nlog.dirs={}\nzookeeper.connect={}\n\
             zookeeper.session.timeout.ms={}\nzookeeper.connection.timeout.ms=30000\n\
             offsets.topic.num.partitions=2\noffsets.topic.replication.factor={replicas}\n\
             transaction.state.log.replication.factor={replicas}\ngroup.initial.rebalance.delay.ms=0\n\
             num.network.threads=2\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=4194304\n\
             replica.lag.time.max.ms=5000\nunclean.leader.election.enable=false\nauto.create.topics.enable=false\n\
             authorizer.class.name=kafka.security.authorizer.AclAuthorizer\nsuper.users=User:ANONYMOUS\n{}",
            self.ports[id - 1],
            home.display(),
            self.zookeeper(),
            self.session_ms,
            self.security_settings(),
        );
        let path = self.dir.path().join(format!("broker{id}.properties"));
        fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
        let mut java = self.java("-Xmx384m", "kafka.Kafka");
        let broker = Process::start(&format!("broker{id}"), self.dir.path(), java.arg(&path))?;
        self.brokers[id - 1] = Some(broker);
        Ok(())
    }

    /// Kills one broker with SIGKILL.
    pub fn kill_broker(&mut self, id: usize) -> Result<()> {
        self.broker(id)?.kill()?;
        self.brokers[id - 1] = None;
        Ok(())
    }

    /// Stops all brokers in the way that ends their sessions.
    pub fn stop(&mut self) -> Result<()> {
        for broker in self.processes() {
            broker.terminate()?;
        }
        for broker in self.brokers.iter_mut().flatten() {
            until("a broker ends", LIMIT, || broker.ended())?;
        }
        self.brokers.fill_with(|| None);
        Ok(())
    }

    /// A broker's process.
    pub fn broker(&mut self, id: usize) -> Result<&mut Process> {
        self.brokers[id - 1].as_mut().with_context(|| format!("broker {id} is not running"))
    }

    /// A look at the first of the servers that answers.
    pub fn look(&self) -> Result<Look> {
        let mut last = None;
        for server in &self.servers {
            match self.security.look(*server) {
                Ok(look) => return Ok(look),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("Kafka has no server")?)
    }

    /// The lists of all lasting nodes, as the first server has them.
    pub fn lists(&self) -> Result<String> {
        let server = self.servers.first().context("Kafka has no server")?;
        lists(&self.security, *server, "/kafka", &PASSING)
    }

    /// Fails unless these lists guard the nodes of Kafka; those of consumers before 0.9 are everybody's.
    pub fn must_guard(&self, lists: &str) -> Result<()> {
        must_guard(&self.security, lists, "/kafka/brokers/topics", &["/kafka/consumers"])
    }

    /// The node that tells that a broker is alive, if it is there.
    pub fn registration(&self, id: usize) -> Result<Option<Node>> {
        self.look()?.node(&format!("/kafka/brokers/ids/{id}"))
    }

    /// The nodes of all brokers, each of which must be there.
    pub fn registrations(&mut self) -> Result<Vec<Node>> {
        self.ids().map(|id| self.wait_for_broker(id)).collect()
    }

    /// Waits for the broker's node, and makes sure that it is this cluster's broker.
    pub fn wait_for_broker(&mut self, id: usize) -> Result<Node> {
        let deadline = Instant::now() + LIMIT;
        let port = format!(":{}", self.ports[id - 1]);
        loop {
            self.broker(id)?.must_run()?;
            // A server may be away for the moment.
            let found = self.registration(id);
            if let Ok(Some(node)) = found {
                ensure!(String::from_utf8_lossy(&node.data).contains(&port), "broker {id} is another's");
                ensure!(node.owner != 0, "broker {id} is registered without a session");
                return Ok(node);
            }
            ensure!(
                Instant::now() < deadline,
                "broker {id} does not register ({found:?}):\n{}",
                self.broker(id)?.log_tail()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Every broker runs, still in the session it had.
    pub fn same_sessions(&mut self, before: &[Node], event: &str) -> Result<()> {
        for (id, old) in (1..).zip(before) {
            self.broker(id)?.must_run()?;
            let now = until("the broker's node is read", LIMIT, || self.registration(id).map(Some))?;
            let now = now.context("the broker's node is gone")?;
            ensure!(now == *old, "broker {id} is registered anew after {event}: {now:?}, was {old:?}");
        }
        self.say(&format!("{event}: every broker kept its session"));
        Ok(())
    }

    /// The broker that is controller and its epoch.
    pub fn controller(&self) -> Result<Option<(usize, u64)>> {
        let mut look = self.look()?;
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
    pub fn task(&mut self, args: &[&str]) -> Result<()> {
        let mut java = self.java("-Xmx256m", "Load");
        java.arg(self.bootstrap()).args(args);
        let printed = programs::output(&mut java)?;
        self.say(printed.trim_end());
        Ok(())
    }

    /// Starts to produce numbers from 0, so many a second at most; those that were acknowledged are noted in a file.
    pub fn produce(&self, topic: &str, count: u64, per_second: u64, acknowledged: &Path) -> Result<Process> {
        let mut java = self.java("-Xmx256m", "Load");
        java.arg(self.bootstrap()).args(["produce", topic, &count.to_string(), &per_second.to_string()]);
        Process::start("producer", self.dir.path(), java.arg(acknowledged))
    }
}
