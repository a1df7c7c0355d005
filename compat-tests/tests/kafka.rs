//! Kafka 3.9 in ZooKeeper mode, unmodified, with its metadata in either server.
//!
//! Numbered records are produced while the server is stopped, killed and started again and while
//! the controller is killed. No acknowledged record may be lost, brokers must keep their sessions
//! through the server's absence, and a new controller must be elected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::kafka::{Cluster, LIMIT, PASSING};
use compat_tests::results::Case;
use compat_tests::security::Security;
use compat_tests::server::{Kind, Server};
use compat_tests::systems::{Form, Node, logs, on_the_servers, server_of, until};
use compat_tests::{artifacts, programs, versions};

const SESSION_MS: u32 = 6000;

struct Trial {
    server: Server,
    cluster: Cluster,
}

impl Trial {
    fn new(kind: Kind, size: usize, security: &Arc<Security>) -> Result<Self> {
        let server = server_of(kind, security)?;
        let cluster = Cluster::new(&[server.addr()], size, SESSION_MS)?;
        let cluster = cluster.secured(security, &[security.address(&server)?])?;
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

/// How much is done.
struct Scale {
    brokers: usize,
    records: u64,
    per_second: u64,
    /// How often the server goes away and comes back.
    restarts: usize,
    /// How often the controller dies.
    controllers: usize,
}

impl Scale {
    fn of(form: Form, security: &Security) -> Self {
        match (form, security) {
            (Form::Long, _) => {
                Self { brokers: 3, records: 30_000, per_second: 200, restarts: 2, controllers: 2 }
            }
            (Form::Both, _) | (_, Security::Open) => {
                Self { brokers: 2, records: 4000, per_second: 80, restarts: 1, controllers: 1 }
            }
            _ => Self { brokers: 1, records: 2400, per_second: 80, restarts: 1, controllers: 0 },
        }
    }
}

/// The nodes that two runs must share: without those that come and go.
fn lasting(paths: Vec<String>) -> Vec<String> {
    paths.into_iter().filter(|path| !PASSING.iter().any(|part| path.contains(part))).collect()
}

fn run(kind: Kind, form: Form, security: &Arc<Security>) -> Result<String> {
    let began = Instant::now();
    let scale = Scale::of(form, security);
    let mut trial = Trial::new(kind, scale.brokers, security)?;
    let result = live_through(&mut trial, &scale);
    eprintln!("{kind}: Kafka with {} brokers took {:?}", scale.brokers, began.elapsed());
    result.with_context(|| logs(&trial.server, trial.cluster.processes()))?;
    Security::must_be_secret(&trial.server)?;
    Ok(trial.cluster.transcript().to_owned())
}

fn live_through(trial: &mut Trial, scale: &Scale) -> Result<()> {
    trial.cluster.start_brokers()?;
    trial.cluster.task(&["create", "load", "4", &scale.brokers.to_string()])?;

    let acknowledged = trial.cluster.dir().join("acknowledged");
    let mut producer = trial.cluster.produce("load", scale.records, scale.per_second, &acknowledged)?;
    trial.server_restarts(scale.restarts)?;
    producer.must_run()?;
    trial.cluster.task(&["configure", "load", "retention.ms", "123456789"])?;
    trial.cluster.task(&["create", "passing", "1", "1"])?;
    trial.cluster.task(&["grow", "passing", "3"])?;
    trial.cluster.task(&["acl", "load"])?;
    acl_command(&mut trial.cluster)?;
    for _ in 0..scale.controllers {
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
    if cluster.guards_nodes() {
        lists_are_kept(cluster)?;
    }
    cluster.ids().try_for_each(|id| cluster.broker(id)?.must_run())
}

/// Kafka's nodes are guarded; its own tool opens and guards them again, while the brokers run.
fn lists_are_kept(cluster: &mut Cluster) -> Result<()> {
    let guarded = cluster.lists()?;
    cluster.say(&guarded);
    cluster.must_guard(&guarded)?;
    for acl in ["unsecure", "secure"] {
        let mut java = cluster.tool("kafka.admin.ZkSecurityMigrator");
        java.args(["--zookeeper.acl", acl, "--zookeeper.connect", &cluster.zookeeper()]);
        programs::output(&mut java)?;
        let now = cluster.lists()?;
        cluster.say(&format!("ZkSecurityMigrator: {acl}\n{now}"));
        ensure!(cluster.must_guard(&now).is_ok() == (acl == "secure"), "the lists are not {acl}");
    }
    Ok(())
}

/// Kafka's own tool, writing to the server past the brokers.
fn acl_command(cluster: &mut Cluster) -> Result<()> {
    let connect = format!("zookeeper.connect={}", cluster.zookeeper());
    let guards = format!("zookeeper.set.acl={}", cluster.guards_nodes());
    let mut java = cluster.tool("kafka.admin.AclCommand");
    java.args([
        "--authorizer-properties",
        &connect,
        "--authorizer-properties",
        &guards,
        "--add",
        "--allow-principal",
        "User:writer",
    ]);
    java.args(["--operation", "Write", "--topic", "load"]);
    programs::output(&mut java)?;
    let stored = cluster.look()?.node("/kafka/kafka-acl/Topic/load")?;
    let text = String::from_utf8_lossy(&stored.context("no ACL is stored")?.data).into_owned();
    ensure!(text.contains("User:writer") && text.contains("User:reader"), "an ACL is missing: {text}");
    cluster.say("AclCommand added to what the brokers stored");
    Ok(())
}

fn check(name: &str, least: Form, means: &str, security: impl Fn() -> Result<Security>) -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn", "openssl", "keytool"])? {
        return Ok(());
    }
    let who = format!("Kafka {} in ZooKeeper mode", versions::maven("kafka", "kafka_2.13")?);
    let what = format!(
        "{means}acks=all while the server is stopped and killed, configuration, ACLs, the controller killed: \
         no record lost, sessions kept, another controller"
    );
    on_the_servers(&Case::new(name, &who, &what), least, |kind, form| run(kind, form, &Arc::new(security()?)))
}

#[test]
fn kafka_loses_nothing_and_keeps_its_sessions() -> Result<()> {
    check("kafka", Form::Brief, "", || Ok(Security::Open))
}

#[test]
fn kafka_logs_in_by_digest_md5_and_guards_its_nodes() -> Result<()> {
    let means = "a login by SASL with DIGEST-MD5, `zookeeper.set.acl`, the migration of lists: ";
    check("kafka-sasl", Form::Brief, means, Security::digest_md5)
}

#[test]
fn kafka_speaks_tls_with_a_certificate_and_guards_its_nodes() -> Result<()> {
    let means = "TLS with a client certificate, `zookeeper.set.acl`, the migration of lists: ";
    check("kafka-tls", Form::Short, means, Security::tls)
}
