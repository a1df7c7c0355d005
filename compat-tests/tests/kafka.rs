//! Kafka 3.9 in ZooKeeper mode, unmodified, with its metadata in either server.
//!
//! Numbered records are produced while the server is stopped, killed and started again and while
//! the controller is killed. No acknowledged record may be lost, brokers must keep their sessions
//! through the server's absence, and a new controller must be elected.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::kafka::{Cluster, LIMIT};
use compat_tests::results::Case;
use compat_tests::server::{Kind, Server};
use compat_tests::systems::{Form, Node, logs, on_the_servers, server_of, until};
use compat_tests::{artifacts, versions};

const SESSION_MS: u32 = 6000;

struct Trial {
    server: Server,
    cluster: Cluster,
}

impl Trial {
    fn new(kind: Kind, size: usize) -> Result<Self> {
        let server = server_of(kind)?;
        let cluster = Cluster::new(&[server.addr()], size, SESSION_MS)?;
        Ok(Self { server, cluster })
    }

    /// Every broker is still in the session it had, after a time in which a session without its client would have ended.
    fn same_sessions(&mut self, before: &[Node], event: &str) -> Result<()> {
        std::thread::sleep(Duration::from_millis(u64::from(SESSION_MS) + 4000));
        self.cluster.same_sessions(before, event)
    }

    /// The server goes away and comes back, twice, while records are produced.
    fn server_restarts(&mut self, rounds: usize) -> Result<()> {
        let before = self.cluster.registrations()?;
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
        let cluster = &mut self.cluster;
        let (id, epoch) = until("a controller", LIMIT, || cluster.controller())?;
        cluster.kill_broker(id)?;
        until("another controller", LIMIT, || {
            Ok(cluster.controller()?.filter(|(now, then)| *now != id && *then > epoch))
        })?;
        ensure!(cluster.registration(id)?.is_none(), "the dead broker is still registered");
        cluster.say("controller killed: another was elected, in a later epoch");
        cluster.start_broker(id)?;
        cluster.wait_for_broker(id)?;
        cluster.task(&["whole", "load"])
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
    let size = if form == Form::Long { 3 } else { 2 };
    let mut trial = Trial::new(kind, size)?;
    let result = live_through(&mut trial, form);
    eprintln!("{kind}: Kafka with {size} brokers took {:?}", began.elapsed());
    result.with_context(|| logs(&trial.server, trial.cluster.processes()))?;
    Ok(trial.cluster.transcript().to_owned())
}

fn live_through(trial: &mut Trial, form: Form) -> Result<()> {
    let (count, pace, rounds) = if form == Form::Long { (30_000, 200, 2) } else { (4000, 80, 1) };
    let size = trial.cluster.ids().count().to_string();
    trial.cluster.start_brokers()?;
    trial.cluster.task(&["create", "load", "4", &size])?;

    let acknowledged = trial.cluster.dir().join("acknowledged");
    let mut producer = trial.cluster.produce("load", count, pace, &acknowledged)?;
    trial.server_restarts(rounds)?;
    producer.must_run()?;
    trial.cluster.task(&["configure", "load", "retention.ms", "123456789"])?;
    trial.cluster.task(&["create", "passing", "1", "1"])?;
    trial.cluster.task(&["grow", "passing", "3"])?;
    trial.cluster.task(&["acl", "load"])?;
    acl_command(&mut trial.cluster)?;
    for _ in 0..rounds {
        trial.controller_dies()?;
    }
    let cluster = &mut trial.cluster;
    cluster.task(&["delete", "passing"])?;
    producer.must_succeed(Duration::from_secs(300))?;
    cluster.say(producer.log().trim_end().lines().last().unwrap_or_default());
    cluster.task(&["consume", "load", &acknowledged.display().to_string()])?;
    ensure!(cluster.transcript().contains(" 0 missing"), "acknowledged records are lost");

    let mut look = cluster.look()?;
    let config = look.node("/kafka/config/topics/load")?.context("the topic's configuration")?;
    ensure!(String::from_utf8_lossy(&config.data).contains("123456789"), "the configuration is not stored");
    let nodes = lasting(look.paths("/kafka")?).join("\n");
    drop(look);
    cluster.say(&nodes);
    cluster.ids().try_for_each(|id| cluster.broker(id)?.must_run())
}

/// Kafka's own tool, writing to the server past the brokers.
fn acl_command(cluster: &mut Cluster) -> Result<()> {
    let connect = format!("zookeeper.connect={}", cluster.zookeeper());
    let mut java = cluster.java("-Xmx128m", "kafka.admin.AclCommand");
    java.args(["--authorizer-properties", &connect, "--add", "--allow-principal", "User:writer"]);
    java.args(["--operation", "Write", "--topic", "load"]);
    compat_tests::programs::output(&mut java)?;
    let stored = cluster.look()?.node("/kafka/kafka-acl/Topic/load")?;
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
