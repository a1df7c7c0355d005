//! Client libraries and a system that know nothing of the replacement: kazoo, Apache's Java client, Kafka.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts::REFERENCE;
use compat_tests::ensemble::PATIENCE;
use compat_tests::kafka::Cluster;
use compat_tests::programs;
use compat_tests::systems::{Form, Node, Process, form, until};
use compat_tests::wire::{Body, Client, op};
use tempfile::TempDir;

/// What Kafka asks for unless it is told otherwise.
const KAFKA_SESSION_MS: u32 = 18_000;
const BROKERS: usize = 2;
/// Records a second.
const PACE: u64 = 50;
/// More than are ever sent.
const RECORDS: u64 = 1_000_000;
/// The node whose creation tells the clients that it is over: they learn it by a watch that was set before the first step.
const OVER: &str = "/steady-over";
const NODE_EXISTS: i32 = -110;

/// How the client libraries come in, and who they are then.
#[derive(Debug)]
pub(crate) struct Access {
    /// Where, and in which way, the library connects.
    pub(crate) servers: Vec<SocketAddr>,
    /// Java system properties of Apache's client.
    pub(crate) java: Vec<String>,
    /// More arguments of kazoo's client, as JSON.
    pub(crate) kazoo: String,
    /// Ids that they have there, each with its scheme: who else may not write what they write.
    pub(crate) ids: Vec<String>,
}

impl Access {
    /// As everybody may.
    pub(crate) fn open(servers: &[SocketAddr]) -> Self {
        let ids = vec!["world:anyone".to_owned()];
        Self { servers: servers.to_vec(), java: Vec::new(), kazoo: "{}".to_owned(), ids }
    }
}

/// Clients that run.
pub(crate) struct Clients {
    servers: Vec<SocketAddr>,
    libraries: Vec<Process>,
    kafka: Option<Kafka>,
    _home: TempDir,
}

struct Kafka {
    cluster: Cluster,
    producer: Process,
    acknowledged: PathBuf,
    registrations: Vec<Node>,
    controller: (usize, u64),
}

impl Clients {
    /// Starts them and waits until each is at work; Kafka too, if it is to be.
    pub(crate) fn start(servers: &[SocketAddr], access: &Access, has_kafka: bool) -> Result<Self> {
        let known: Vec<String> = access.servers.iter().map(SocketAddr::to_string).collect();
        let known = known.join(",");
        let ids = access.ids.iter().map(String::as_str);
        let properties: Vec<&str> = access.java.iter().map(String::as_str).collect();
        let of_java: Vec<&str> =
            [known.as_str(), "/steady-java", OVER].into_iter().chain(ids.clone()).collect();
        let of_kazoo: Vec<&str> =
            [known.as_str(), "/steady-kazoo", OVER, access.kazoo.as_str()].into_iter().chain(ids).collect();
        let java = programs::java_command(REFERENCE, "steady", "Steady", &properties, &of_java)?;
        let python = programs::python_command("steady.py", &of_kazoo)?;
        let home =
            tempfile::Builder::new().prefix("oxkeeper-steady-").tempdir().context("make a directory")?;
        let mut libraries = Vec::new();
        for (name, mut command) in [("java", java), ("kazoo", python)] {
            libraries.push(Process::start(name, home.path(), &mut command)?);
        }
        for library in &mut libraries {
            until("a client is connected", PATIENCE, || Ok(library.log().contains("ready").then_some(())))
                .with_context(|| library.log_tail())?;
        }
        let has_kafka = has_kafka && form()? != Form::Off;
        let kafka = if has_kafka { Some(Kafka::start(servers)?) } else { None };
        Ok(Self { servers: servers.to_vec(), libraries, kafka, _home: home })
    }

    /// Every client runs; Kafka's brokers are in their sessions, and the controller is the same in the same epoch.
    pub(crate) fn must_be_well(&mut self, event: &str) -> Result<()> {
        self.libraries.iter_mut().try_for_each(Process::must_run)?;
        self.kafka.as_mut().map_or(Ok(()), |kafka| kafka.must_be_well(event))
    }

    /// Ends them, and fails unless each ends well with what it wrote and the session that it began with.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.must_be_well("in the end")?;
        if let Some(kafka) = self.kafka.take() {
            kafka.finish()?;
        }
        self.say_that_it_is_over()?;
        for library in &mut self.libraries {
            library.must_succeed(PATIENCE)?;
            let log = library.log();
            let said = log.lines().find(|line| line.contains(" writes, ")).unwrap_or_default();
            println!("{}: {said}", library.name());
            ensure!(said.ends_with("the session is the same"), "{log}");
        }
        Ok(())
    }

    fn say_that_it_is_over(&self) -> Result<()> {
        until("a node is made", PATIENCE, || {
            for server in &self.servers {
                let Ok(mut client) = Client::connect(*server, 30_000) else { continue };
                let made = client.call(1, op::CREATE, &Body::create(OVER, b"", 0))?;
                ensure!([0, NODE_EXISTS].contains(&made.err), "{OVER}: code {}", made.err);
                client.call(2, op::CLOSE_SESSION, &Body::new())?;
                return Ok(Some(()));
            }
            Ok(None)
        })
    }
}

impl Kafka {
    fn start(servers: &[SocketAddr]) -> Result<Self> {
        let mut cluster = Cluster::new(servers, BROKERS, KAFKA_SESSION_MS)?;
        cluster.start_brokers()?;
        cluster.task(&["create", "load", "4", &BROKERS.to_string()])?;
        let acknowledged = cluster.dir().join("acknowledged");
        let producer = cluster.produce("load", RECORDS, PACE, &acknowledged)?;
        until("records are acknowledged", PATIENCE, || {
            Ok(fs::metadata(&acknowledged).is_ok_and(|file| file.len() > 0).then_some(()))
        })
        .with_context(|| producer.log_tail())?;
        let registrations = cluster.registrations()?;
        let controller = until("a controller", PATIENCE, || cluster.controller())?;
        Ok(Self { cluster, producer, acknowledged, registrations, controller })
    }

    fn must_be_well(&mut self, event: &str) -> Result<()> {
        self.producer.must_run()?;
        let registrations = self.registrations.clone();
        self.cluster.same_sessions(&registrations, event)?;
        let controller =
            until("the controller's node is read", PATIENCE, || self.cluster.controller().map(Some))?;
        ensure!(
            controller == Some(self.controller),
            "the controller is {controller:?}, was {:?}",
            self.controller
        );
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let mut over = self.acknowledged.clone().into_os_string();
        over.push(".over");
        fs::write(&over, "").context("tell the producer that it is over")?;
        self.producer.must_succeed(Duration::from_secs(240))?;
        let last = self.producer.log().trim_end().lines().last().unwrap_or_default().to_owned();
        ensure!(last.ends_with(" 0 failed"), "{}", self.producer.log_tail());
        self.cluster.say(&last);
        self.cluster.task(&["consume", "load", &self.acknowledged.display().to_string()])?;
        ensure!(self.cluster.transcript().contains(" 0 missing"), "acknowledged records are lost");
        // What only a controller that is well can do.
        self.cluster.task(&["create", "after", "2", &BROKERS.to_string()])?;
        self.must_not_have_expired()?;
        // Their sessions would expire while the servers are compared.
        self.cluster.stop()
    }

    /// Every broker still runs, and none has lost its session meanwhile.
    fn must_not_have_expired(&mut self) -> Result<()> {
        for id in self.cluster.ids() {
            let broker = self.cluster.broker(id)?;
            broker.must_run()?;
            ensure!(!broker.log().contains("Session expired"), "broker {id}:\n{}", broker.log_tail());
        }
        Ok(())
    }
}
