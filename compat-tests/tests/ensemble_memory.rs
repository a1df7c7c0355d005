//! What a follower that has stopped to read costs its leader: memory that does not grow with what is written meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use compat_tests::acknowledged::number;
use compat_tests::artifacts;
use compat_tests::ensemble::{Ensemble, PATIENCE, Plan, assert_same};
use compat_tests::hostile::process::{Sampler, anonymous_bytes};
use compat_tests::server::Kind;
use compat_tests::systems::until;
use compat_tests::wire::{Body, Client, op};

const MIB: u64 = 1 << 20;
/// Above what the leader has under the same load with followers that read.
const MORE_MAX: u64 = 64 * MIB;
/// Data of a write.
const DATA: usize = 1024;
const NODES: usize = 500;
const WRITERS: usize = 4;
/// Writes that each writer has under way.
const WINDOW: usize = 200;
/// The follower that is stopped. The last one leads.
const SILENT: usize = 0;

#[test]
fn a_follower_that_reads_nothing_costs_its_leader_no_memory() -> Result<()> {
    if !artifacts::available(&["kill"])? {
        return Ok(());
    }
    let silent = Duration::from_secs(number("OXKEEPER_SILENT_SECONDS", || 3)?);
    // It would be left after syncLimit ticks without an answer: it is the bound that is tried, so never.
    let plan = Plan::voters(&[Kind::Oxkeeper; 3]).line("syncLimit=1200");
    let mut ensemble = Ensemble::start(&plan)?;
    let leader = ensemble.leader()?;
    ensure!(leader != SILENT, "server {} leads", SILENT + 1);
    let (addr, pid) = (ensemble.members()[leader].addr(), ensemble.members()[leader].pid()?);
    make_nodes(addr)?;
    let idle = anonymous_bytes(pid)?;
    let (is_over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let [well, alone] = std::thread::scope(|scope| -> Result<[u64; 2]> {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (is_over, written) = (&is_over, &written);
                scope.spawn(move || write(addr, writer_nodes(writer), is_over, written))
            })
            .collect();
        let measured = measure(&ensemble, pid, silent, &written);
        is_over.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap_or_else(|_| Err(anyhow!("a writer panicked")))?;
        }
        measured
    })?;
    ensemble.wait_all_serving()?;
    assert_same(&mut ensemble)?;
    println!(
        "{} writes of {DATA} bytes; the leader had {} MiB idle, {} MiB under load, {} MiB with a follower silent for \
         {silent:?}",
        written.load(Ordering::Relaxed),
        idle / MIB,
        well / MIB,
        alone / MIB
    );
    ensure!(alone <= well + MORE_MAX, "{alone} bytes with a silent follower, {well} without");
    Ok(())
}

/// The most memory while all read, and while one does not, for this time at least.
fn measure(ensemble: &Ensemble, pid: u32, time: Duration, written: &AtomicU64) -> Result<[u64; 2]> {
    let mut sampler = Sampler::start(pid);
    std::thread::sleep(time);
    let well = sampler.stop();
    ensemble.members()[SILENT].pause()?;
    let before = written.load(Ordering::Relaxed);
    let mut sampler = Sampler::start(pid);
    std::thread::sleep(time);
    // With less than may be kept for it, nothing would be tried.
    until("enough is written", PATIENCE, || {
        let meanwhile = written.load(Ordering::Relaxed) - before;
        Ok((meanwhile * DATA as u64 > 2 * MORE_MAX).then_some(()))
    })?;
    let alone = sampler.stop();
    ensemble.members()[SILENT].resume()?;
    Ok([well, alone])
}

fn path(node: usize) -> String {
    format!("/silent-{node}")
}

fn writer_nodes(writer: usize) -> std::ops::Range<usize> {
    writer * NODES..(writer + 1) * NODES
}

fn make_nodes(addr: SocketAddr) -> Result<()> {
    let mut client = Client::connect(addr, 30_000)?;
    for node in 0..WRITERS * NODES {
        let made = client.call(1, op::CREATE, &Body::create(&path(node), &[b'x'; DATA], 0))?;
        ensure!(made.err == 0, "{}: code {}", path(node), made.err);
    }
    client.call(2, op::CLOSE_SESSION, &Body::new()).map(drop)
}

/// Sets one node after the other, as fast as the server takes it.
fn write(
    addr: SocketAddr,
    nodes: std::ops::Range<usize>,
    is_over: &AtomicBool,
    written: &AtomicU64,
) -> Result<()> {
    let mut client = Client::connect(addr, 30_000)?;
    let bodies: Vec<Body> = nodes.map(|node| Body::set_data(&path(node), &[b'y'; DATA], -1)).collect();
    let mut under_way = 0;
    for (xid, body) in (1..i32::MAX).zip(bodies.iter().cycle()) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        client.send(xid, op::SET_DATA, body)?;
        under_way += 1;
        if under_way == WINDOW {
            for _ in 0..WINDOW / 2 {
                let reply = client.receive()?;
                ensure!(reply.err == 0, "code {}", reply.err);
                under_way -= 1;
                written.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    for _ in 0..under_way {
        client.receive()?;
    }
    client.call(-2, op::CLOSE_SESSION, &Body::new()).map(drop)
}
