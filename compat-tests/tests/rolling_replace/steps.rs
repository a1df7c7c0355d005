//! One server after the other, followers first, in the way that `docs/migration.md` tells an operator.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::ensemble::{Ensemble, Member, Mode, PATIENCE, RunningLoad, mntr};
use compat_tests::server::Kind;
use compat_tests::systems::until;

/// Writes before the first step and after each.
pub(crate) const WRITES: u64 = 200;
/// What Oxkeeper says of a start, in the order of the page.
const SAYS: [&str; 5] = [
    "database loaded",
    "looking for a leader",
    "connected to the leader, server ",
    "sync: ",
    "in sync with the leader: serving",
];
/// And if it is back before the others have elected one of them.
const SAYS_WHEN_ELECTED: [&str; 4] =
    ["database loaded", "looking for a leader", "elected: waiting", "leading epoch="];

/// What came of a step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Whether the server led when it was stopped.
    pub(crate) led: bool,
    /// The longest time in which no session's write was acknowledged.
    pub(crate) without_writes: Duration,
}

/// `oxkeeper check-config` on the `zoo.cfg` of every server, with its flags: those of the ensemble that runs.
pub(crate) fn check_config(ensemble: &Ensemble) -> Result<()> {
    for member in ensemble.members() {
        let config = member.config();
        let mut command = Command::new(artifacts::oxkeeper()?);
        command.arg("check-config").arg(&config).env("SERVER_JVMFLAGS", member.server_jvmflags());
        let said = artifacts::run(&mut command)?;
        ensure!(!said.contains("ERROR"), "{}: {said}", config.display());
    }
    Ok(())
}

/// Replaces every server by one of this kind. The leader goes last.
pub(crate) fn replace_all(ensemble: &mut Ensemble, kind: Kind, load: &RunningLoad) -> Result<Vec<Step>> {
    let leader = ensemble.leader()?;
    let followers = ensemble.running().into_iter().filter(|at| *at != leader);
    let order: Vec<usize> = followers.chain([leader]).collect();
    order.into_iter().map(|at| replace(ensemble, at, kind, load)).collect()
}

fn replace(ensemble: &mut Ensemble, at: usize, kind: Kind, load: &RunningLoad) -> Result<Step> {
    let led = ensemble.status(at)?.mode == Mode::Leader;
    let before = load.take_gap();
    ensemble.replace(at, kind)?;
    if kind == Kind::Oxkeeper {
        let leads = ensemble.status(at)?.mode == Mode::Leader;
        let lines: &[&str] = if leads { &SAYS_WHEN_ELECTED } else { &SAYS };
        let log = ensemble.members()[at].log_of_this_life();
        says(&log, lines).with_context(|| format!("server {}", at + 1))?;
        says_how_it_is_secured(&ensemble.members()[at], &log)?;
    }
    let others = ensemble.voters().len() - 1;
    until("the leader counts all followers as in sync", PATIENCE, || {
        let leader = ensemble.leader()?;
        let mntr = mntr(ensemble.members()[leader].addr())?;
        let synced = mntr.get("zk_synced_followers").context("no zk_synced_followers")?;
        Ok((*synced == others.to_string()).then_some(()))
    })?;
    load.wait_for(WRITES)?;
    let step = Step { led, without_writes: load.take_gap() };
    println!(
        "server {} is {kind} now{}: {:?} without writes, {before:?} before",
        at + 1,
        if led { "; it led" } else { "" },
        step.without_writes
    );
    Ok(step)
}

/// The lines of the page, in their order.
fn says(log: &str, lines: &[&str]) -> Result<()> {
    let mut rest = log;
    for line in lines {
        (_, rest) =
            rest.split_once(line).with_context(|| format!("it does not say {line:?}, or too early"))?;
    }
    Ok(())
}

/// Where clients or members are to speak TLS, that they do.
fn says_how_it_is_secured(member: &Member, log: &str) -> Result<()> {
    let config = fs::read_to_string(member.config()).context("read the configuration")?;
    let for_clients = member.secure_addr().is_none() || log.contains("serving clients over TLS");
    ensure!(for_clients, "{member} does not say that it serves clients over TLS:\n{log}");
    let is_plain = !log.contains(", in TLSv1_3") && !log.contains("on the election port in TLSv1_3");
    let for_members = !config.contains("sslQuorum=true") || !(is_plain || log.contains("in plain text"));
    ensure!(for_members, "{member} does not say that it speaks TLS to other members:\n{log}");
    Ok(())
}

/// Medians of the rounds, step by step: the reference's restart, and the replacement there and back.
pub(crate) fn show(references: &[Vec<Step>], ours: &[Vec<Step>]) -> String {
    let mut text = String::from("longest time without writes, medians:\n");
    let steps = references.first().map_or(0, Vec::len);
    for at in 0..steps {
        let led = references[0][at].led;
        text += &format!(
            "step {} ({}): reference {}, replacement {}\n",
            at + 1,
            if led { "leader" } else { "follower" },
            median(references, at),
            median(ours, at),
        );
    }
    text
}

fn median(rounds: &[Vec<Step>], at: usize) -> String {
    let mut times: Vec<Duration> = rounds.iter().map(|steps| steps[at].without_writes).collect();
    times.sort();
    format!("{:?} of {times:?}", times[times.len() / 2])
}
