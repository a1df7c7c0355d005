//! A member misses transactions, or has some that nobody else has: how it is brought back, between the kinds of
//! servers in both directions, and that all hold the same afterwards.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::artifacts::{self, LINE_BEFORE};
use compat_tests::ensemble::{Ensemble, Load, Member, Mix, Summary, Sync, assert_same, mixes};
use compat_tests::quorum_ports::directory;
use compat_tests::server::Kind;

/// Two voters of the kind that leads, then the one that is brought back.
const SHORT: &str = "AAO OOA OO8 88O";
/// Fewer than the committed log in memory holds.
const FEW: u64 = 100;
/// More than that.
const MANY: u64 = 1500;
/// A leader without followers gives up within half a tick; until then it logs what it is asked for.
const ALONE: Duration = Duration::from_millis(120);
const ATTEMPTS: usize = 5;
/// The place of the member that is brought back.
const LEARNER: usize = 2;

#[test]
fn a_member_is_brought_back_by_each_kind_of_sync() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for mix in mixes(SHORT)? {
        each_sync(&mix).with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}

fn each_sync(mix: &Mix) -> Result<()> {
    // No limit to a DIFF from disk. Few snapshots, so that the logs reach back.
    let plan = mix.plan().line("preAllocSize=1024").property("zookeeper.snapshotSizeFactor", "0");
    let mut ensemble = Ensemble::start(&plan)?;
    let result = cases(&mut ensemble);
    if result.is_err() {
        eprintln!("the logs are in {}", ensemble.keep_logs(mix.name())?.display());
    }
    result.with_context(|| ensemble.logs())
}

fn cases(ensemble: &mut Ensemble) -> Result<()> {
    let summary = diverge(ensemble, "/trunc")?;
    come_back(ensemble, "what nobody else has, nothing new meanwhile", Sync::Trunc)?;
    summary.verify_everywhere(ensemble)?;

    ensemble.stop(LEARNER)?;
    write(ensemble, "/memory", FEW)?;
    come_back(ensemble, "a few missed", Sync::Diff)?;

    ensemble.stop(LEARNER)?;
    write(ensemble, "/disk", MANY)?;
    come_back(ensemble, "many missed", Sync::Diff)?;
    let leader = ensemble.leader()?;
    let (from_disk, words) = (ensemble.members()[leader].log(), "Use txnlog and committedLog");
    ensure!(
        from_disk.contains(words) || !ensemble.members()[leader].is_reference(),
        "the leader did not read its log on disk"
    );

    ensemble.settle()?;
    ensemble.stop(leader)?;
    ensure!(ensemble.leader()? == LEARNER, "the voter with the highest sid does not lead");
    ensemble.bring_back(leader)?;
    let summary = diverge(ensemble, "/snap")?;
    write(ensemble, "/newer", FEW)?;
    come_back(ensemble, "what nobody else has, and a new epoch goes on", Sync::Snap)?;
    summary.verify_everywhere(ensemble)?;

    ensemble.stop(LEARNER)?;
    ensemble.members()[LEARNER].wipe()?;
    let load = Load::default().start(&ensemble.addrs(), "/wiped");
    load.wait_for(FEW)?;
    ensemble.launch(LEARNER)?;
    load.wait_for(FEW)?;
    ensemble.wait_serving(LEARNER)?;
    let summary = load.stop()?;
    expect(ensemble, "all lost, under load", Sync::Snap)?;
    summary.verify(ensemble.members()[LEARNER].addr())
}

/// Writes while the last member is away, to those that serve.
fn write(ensemble: &mut Ensemble, prefix: &str, count: u64) -> Result<()> {
    let load = Load::default().start(&ensemble.addrs(), prefix);
    load.wait_for(count)?;
    load.stop()?.verify_everywhere(ensemble)
}

/// Lets the last member lead alone for a moment, under load, and go. The others then go on without what it has
/// logged since.
fn diverge(ensemble: &mut Ensemble, prefix: &str) -> Result<Summary> {
    for attempt in 0..ATTEMPTS {
        ensure!(ensemble.leader()? == LEARNER, "the voter with the highest sid does not lead");
        let load = Load::default().start(&ensemble.addrs()[LEARNER..], &format!("{prefix}-{attempt}"));
        load.wait_for(FEW)?;
        ensemble.kill(0)?;
        ensemble.kill(1)?;
        std::thread::sleep(ALONE);
        ensemble.kill(LEARNER)?;
        let summary = load.stop()?;
        let last = |at: usize| directory::last_logged(&ensemble.members()[at].data_dir());
        let is_ahead = last(LEARNER)? > last(0)?.max(last(1)?);
        // When it noticed too soon that it was alone, it has nothing that the others lack: once more.
        let order: &[usize] = if is_ahead { &[0, 1] } else { &[LEARNER, 0, 1] };
        for at in order {
            ensemble.launch(*at)?;
            if *at == 0 && !is_ahead {
                ensemble.wait_serving(LEARNER)?;
            }
        }
        ensemble.wait_all_serving()?;
        if is_ahead {
            return Ok(summary);
        }
    }
    bail!("in {ATTEMPTS} attempts the last member logged nothing alone");
}

fn is_of_line_before(member: &Member) -> bool {
    member.kind() == Kind::Apache(LINE_BEFORE)
}

fn come_back(ensemble: &mut Ensemble, story: &str, sync: Sync) -> Result<()> {
    ensemble.bring_back(LEARNER)?;
    expect(ensemble, story, sync)
}

fn expect(ensemble: &mut Ensemble, story: &str, sync: Sync) -> Result<()> {
    let member = &ensemble.members()[LEARNER];
    let taken = member.syncs();
    // More may follow: a learner of 3.8 falls over what a leader of the reference commits between NEWLEADER and UPTODATE,
    // and begins again (ZOOKEEPER-4394).
    let leader = ensemble.leader()?;
    let begins_again = is_of_line_before(member) && ensemble.members()[leader].kind() != Kind::Oxkeeper;
    let is_right = taken.first() == Some(&sync) && (taken.len() == 1 || begins_again);
    ensure!(is_right, "{story}: {member} took {taken:?} and not {sync:?}");
    let picture = assert_same(ensemble).with_context(|| story.to_owned())?;
    println!("{story}: {taken:?}, {} nodes equal", picture.tree.len());
    Ok(())
}
