//! One request, or one transaction, that is about as much as fits into it: tens of thousands of ephemerals, watches,
//! reads, and entries of access control lists.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::hostile::{Arena, create_all, eventually_within, mntr, scale};
use compat_tests::server::Options;
use compat_tests::wire::{Body, Client, op, request};

use crate::fair::{ask_all, create_with};

fn make(client: &mut Client, path: &str) -> Result<()> {
    let code = client.call(1, op::CREATE, &Body::create(path, b"", 0))?.err;
    ensure!(code == 0, "{path}: {code}");
    Ok(())
}

/// Nodes below `/many`.
fn nodes(count: usize) -> impl Iterator<Item = String> + Clone {
    (0..count).map(|n| format!("/many/{n:05}"))
}

/// A vector of what `each` appends for each path.
fn list(paths: impl Iterator<Item = String> + Clone) -> Body {
    let count = i32::try_from(paths.clone().count()).expect("few enough");
    paths.fold(Body::new().int(count), |body, path| body.string(&path))
}

/// A session's end is one transaction however much it owns, and was one hold of the tree twice as long.
#[test]
fn the_end_of_a_session_with_many_ephemerals_stops_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    make(&mut arena.client()?, "/many")?;
    let own = |addr| -> Result<Client> {
        let mut client = Client::connect(addr, 6_000)?;
        let ephemerals = nodes(scale(20_000, 50_000)).map(|path| Body::create(&path, b"", 1));
        create_all(&mut client, op::CREATE, ephemerals)?;
        Ok(client)
    };
    let gone = |arena: &Arena| {
        eventually_within("its nodes are gone", Duration::from_secs(20), || {
            Ok(mntr(&arena.server, "zk_ephemerals_count")? <= 1)
        })
    };
    let mut closing = own(arena.addr())?;
    let trial = arena.begin("a session with many ephemerals")?;
    closing.send(1, op::CLOSE_SESSION, &Body::new())?;
    gone(&trial.arena)?;
    let expiring = own(trial.addr())?;
    drop(expiring);
    gone(&trial.arena)?;
    trial.end().map(drop)
}

/// A client that comes back with all its watches was served in one hold of the tree.
#[test]
fn many_watches_set_at_once_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    make(&mut arena.client()?, "/many")?;
    let trial = arena.begin("many watches at once")?;
    let count = scale(30_000, 60_000);
    // What is not there is watched, or told of at once.
    for (data, exist) in [(0, count), (count, 0)] {
        let mut body = Body::new().long(0);
        for paths in [list(nodes(data)), list(nodes(exist)), list(nodes(0))] {
            body.0.extend(paths.0);
        }
        let requests: Vec<u8> = (0..10).flat_map(|xid| request(xid, op::SET_WATCHES, &body)).collect();
        let mut client = trial.client()?;
        ask_all(&mut client, &requests, 10 * (1 + data))?;
    }
    trial.end_within(compat_tests::hostile::MEMORY_MAX).map(drop)
}

/// Tens of thousands of reads in one request were answered in one hold of the tree.
#[test]
fn multis_of_many_reads_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let count = scale(15_000, 30_000);
    let mut client = arena.client()?;
    make(&mut client, "/many")?;
    create_all(&mut client, op::CREATE, nodes(count).map(|path| Body::create(&path, b"data", 0)))?;
    let trial = arena.begin("multis of many reads")?;
    let part =
        |body: Body, path: String| body.int(op::GET_DATA).bool(false).int(-1).string(&path).bool(false);
    let body = nodes(count).fold(Body::new(), part).int(-1).bool(true).int(-1);
    let requests: Vec<u8> = (0..20).flat_map(|xid| request(xid, op::MULTI_READ, &body)).collect();
    let mut clients = (0..3).map(|_| trial.client()).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let asking: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| ask_all(client, &requests, 20))).collect();
        asking.into_iter().try_for_each(|asking| asking.join().expect("no panic"))
    })?;
    trial.end_within(compat_tests::hostile::MEMORY_MAX).map(drop)
}

/// A session's ephemerals were listed in one hold of the tree.
#[test]
fn long_lists_of_ephemerals_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut client = arena.client()?;
    make(&mut client, "/many")?;
    create_all(
        &mut client,
        op::CREATE,
        nodes(scale(20_000, 50_000)).map(|path| Body::create(&path, b"", 1)),
    )?;
    let trial = arena.begin("many ephemerals listed")?;
    let requests: Vec<u8> =
        (0..50).flat_map(|xid| request(xid, op::GET_EPHEMERALS, &Body::new().string("/"))).collect();
    ask_all(&mut client, &requests, 50)?;
    drop(client);
    trial.end_within(compat_tests::hostile::MEMORY_MAX).map(drop)
}

/// Each watcher of a node was checked against each of the tens of thousands of entries of its list.
#[test]
fn events_of_nodes_with_long_access_control_lists_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let count = scale(20_000, 45_000);
    let address = |n: i32| format!("9.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
    let entries =
        (0..count).fold(Body::new().int(count + 1), |list, n| list.int(1).string("ip").string(&address(n)));
    let entries = entries.int(31).string("ip").string("127.0.0.1");
    let mut client = arena.client()?;
    let created = client.call(1, op::CREATE, &create_with("/guarded", entries))?;
    ensure!(created.err == 0, "{created:?}");
    let trial = arena.begin("events under a long list")?;
    let mut watching = (0..50).map(|_| trial.client()).collect::<Result<Vec<_>>>()?;
    for watcher in &mut watching {
        let body = Body::new().string("/guarded").int(0);
        ensure!(watcher.call(1, op::ADD_WATCH, &body)?.err == 0, "the watch");
    }
    let sets = 100;
    let requests: Vec<u8> =
        (0..sets).flat_map(|xid| request(xid, op::SET_DATA, &Body::set_data("/guarded", b"x", -1))).collect();
    ask_all(&mut client, &requests, sets as usize)?;
    for watcher in &mut watching {
        for _ in 0..sets {
            watcher.receive().context("an event")?;
        }
    }
    drop(watching);
    trial.end().map(drop)
}
