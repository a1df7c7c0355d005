//! Requests that are dear to answer: whoever sends them waits for them, and nobody else.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::hostile::{
    Arena, create_all, eventually_within, mntr, plant, raise_descriptors, say, scale,
};
use compat_tests::server::Options;
use compat_tests::wire::{Body, Client, op, request};

const EXTENDED_TYPES: &str = "zookeeper.extendedTypesEnabled";
const TTL_FLAGS: i32 = 5;
const CONTAINER_FLAGS: i32 = 4;

/// Sends all of it while a second thread reads as many replies, and returns when they are there.
pub(crate) fn ask_all(client: &mut Client, requests: &[u8], replies: usize) -> Result<()> {
    let mut receiver = client.try_clone()?;
    let reader = std::thread::spawn(move || -> Result<()> {
        for _ in 0..replies {
            receiver.receive()?;
        }
        Ok(())
    });
    client.send_bytes(requests)?;
    reader.join().expect("no panic")
}

fn acl_of(entries: impl Iterator<Item = (i32, String)>) -> Body {
    let (mut count, mut list) = (0, Body::new());
    for (perms, id) in entries {
        count += 1;
        list = list.int(perms).string("digest").string(&id);
    }
    let mut whole = Body::new().int(count);
    whole.0.extend(list.0);
    whole
}

pub(crate) fn create_with(path: &str, acl: Body) -> Body {
    let mut body = Body::new().string(path).buffer(b"");
    body.0.extend(acl.0);
    body.int(0)
}

/// F2: 6,000 questions for the size of a subtree of a million nodes stopped everything for 25.6 s.
#[test]
fn counting_a_large_subtree_stops_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    plant(&mut arena.client()?, scale(300_000, 1_000_000))?;
    let trial = arena.begin("getAllChildrenNumber")?;
    let count = scale(2_000, 6_000);
    let body = Body::new().string("/tree");
    let requests: Vec<u8> =
        (0..count).flat_map(|xid| request(xid, op::GET_ALL_CHILDREN_NUMBER, &body)).collect();
    let mut client = trial.client()?;
    client.pour(&requests, Duration::from_secs(1))?;
    std::thread::sleep(Duration::from_secs(3));
    drop(client);
    trial.end().map(drop)
}

/// The same with long lists of children, whose replies are large.
#[test]
fn listing_a_large_node_stops_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let children = scale(60_000, 200_000);
    let paths = std::iter::once("/wide".to_owned()).chain((0..children).map(|n| format!("/wide/child-{n}")));
    create_all(&mut arena.client()?, op::CREATE, paths.map(|path| Body::create(&path, b"", 0)))?;
    let trial = arena.begin("getChildren of a wide node")?;
    let body = Body::path_and_watch("/wide", false);
    let requests: Vec<u8> = (0..200).flat_map(|xid| request(xid, op::GET_CHILDREN, &body)).collect();
    ask_all(&mut trial.client()?, &requests, 200)?;
    trial.end_within(compat_tests::hostile::MEMORY_MAX).map(drop)
}

/// F2: a list of 18,000 entries, read with 9,000 identities: 0.84 s for each read.
#[test]
fn long_access_control_lists_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let (entries, identities) = scale((9_000, 4_500), (18_000, 9_000));
    let id = |n: i32| format!("user-{n}:{:028}", n);
    let list = acl_of((0..entries).map(|n| (31, id(n))));
    let created = arena.client()?.call(1, op::CREATE, &create_with("/guarded", list))?;
    ensure!(created.err == 0, "{created:?}");
    let mut client = arena.client()?;
    let auths: Vec<u8> = (0..identities)
        .flat_map(|n| request(-4, op::AUTH, &Body::auth("digest", format!("other-{n}:x").as_bytes())))
        .collect();
    ask_all(&mut client, &auths, identities)?;
    let trial = arena.begin("an ACL of 18,000 entries")?;
    let reads: Vec<u8> = (0..20)
        .flat_map(|xid| request(xid, op::GET_DATA, &Body::path_and_watch("/guarded", false)))
        .collect();
    ask_all(&mut client, &reads, 20)?;
    let writes: Vec<u8> =
        (0..10).flat_map(|xid| request(xid, op::SET_DATA, &Body::set_data("/guarded", b"x", -1))).collect();
    ask_all(&mut client, &writes, 10)?;
    trial.end().map(drop)
}

/// F2: the server itself stood still (SIGSTOP, a suspended machine): sessions whose clients pinged all the while
/// expired before their pings were read.
#[test]
fn nobody_expires_for_time_in_which_the_server_stood_still() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("a server that stood still")?;
    let mut sessions = (0..50).map(|_| Client::connect(trial.addr(), 4_000)).collect::<Result<Vec<_>>>()?;
    for _ in 0..2 {
        trial.arena.server.pause()?;
        // Beyond the end of every session, in buckets of 2 s.
        for _ in 0..13 {
            std::thread::sleep(Duration::from_millis(500));
            sessions.iter_mut().try_for_each(|session| session.send(-2, op::PING, &Body::new()))?;
        }
        trial.arena.server.resume()?;
        std::thread::sleep(Duration::from_secs(1));
        for session in &mut sessions {
            for _ in 0..13 {
                session.receive().context("a session expired although its client pinged")?;
            }
        }
    }
    trial.forget_waits();
    trial.end().map(drop)
}

/// F4: 4,000 sessions with 50 ephemerals each that end together, as when a rack is lost: 37 s without a write.
#[test]
fn many_sessions_that_end_together_stop_nobody() -> Result<()> {
    raise_descriptors()?;
    let arena = Arena::open(&Options::default())?;
    ensure!(arena.client()?.call(1, op::CREATE, &Body::create("/owned", b"", 0))?.err == 0, "/owned");
    let mut sessions = Vec::new();
    for n in 0..scale(1_000, 4_000) {
        let mut client = Client::connect(arena.addr(), 40_000)?;
        let ephemerals = (0..50).map(|e| Body::create(&format!("/owned/{n}-{e}"), b"", 1));
        create_all(&mut client, op::CREATE, ephemerals)?;
        sessions.push(client);
    }
    let trial = arena.begin("sessions that end together")?;
    let begun = Instant::now();
    for session in &mut sessions {
        session.send(1, op::CLOSE_SESSION, &Body::new())?;
    }
    eventually_within("their nodes are gone", Duration::from_secs(60), || {
        Ok(mntr(&trial.arena.server, "zk_ephemerals_count")? == 1)
    })?;
    say(&format!(
        "hostile sessions that end together: all gone after {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    drop(sessions);
    trial.end().map(drop)
}

/// F7: each removal looked at every container and TTL node there is.
#[test]
fn removals_by_the_sweep_stop_nobody() -> Result<()> {
    let options = Options::default()
        .property(EXTENDED_TYPES, "true")
        .property("znode.container.checkIntervalMs", "1000");
    let arena = Arena::open(&options)?;
    let mut client = arena.client()?;
    let (kept, due) = scale((200_000, 1_000), (500_000, 1_000));
    for path in ["/ttl", "/due"] {
        ensure!(client.call(1, op::CREATE, &Body::create(path, b"", 0))?.err == 0, "{path}");
    }
    let body = |path: String, ttl: i64| Body::create(&path, b"", TTL_FLAGS).long(ttl);
    create_all(&mut client, op::CREATE_TTL, (0..kept).map(|n| body(format!("/ttl/{n}"), 1_000_000_000)))?;
    let containers = (0..kept / 4).map(|n| Body::create(&format!("/ttl/c{n}"), b"", CONTAINER_FLAGS));
    create_all(&mut client, op::CREATE_CONTAINER, containers)?;
    let trial = arena.begin("due TTL nodes among many")?;
    let nodes = mntr(&trial.arena.server, "zk_znode_count")?;
    create_all(&mut client, op::CREATE_TTL, (0..due).map(|n| body(format!("/due/{n}"), 1)))?;
    // 10,000 a minute go where nothing slows them down.
    eventually_within("the due ones are gone", Duration::from_secs(25), || {
        Ok(mntr(&trial.arena.server, "zk_znode_count")? == nodes)
    })?;
    trial.end().map(drop)
}

/// F11: three creates with 85,000 entries without scheme and id: 9.8 s without a write.
#[test]
fn long_lists_of_nulls_stop_nobody() -> Result<()> {
    let trial = Arena::open(&Options::default())?.begin("lists of nulls")?;
    let count = scale(40_000, 85_000);
    let mut body = Body::new().string("/x").buffer(b"").int(count);
    for perms in 0..count {
        body = body.int(perms).int(-1).int(-1);
    }
    let body = body.int(0);
    let requests: Vec<u8> = (0..3).flat_map(|xid| request(xid, op::CREATE, &body)).collect();
    ask_all(&mut trial.client()?, &requests, 3)?;
    trial.end().map(drop)
}

fn quota(client: &mut Client, path: &str) -> Result<()> {
    let home = format!("/zookeeper/quota{path}");
    for (node, data) in [
        (home.clone(), ""),
        (format!("{home}/zookeeper_limits"), "count=1000000,bytes=1000000000"),
        (format!("{home}/zookeeper_stats"), "count=1,bytes=0"),
    ] {
        let created = client.call(1, op::CREATE, &Body::create(&node, data.as_bytes(), 0))?;
        ensure!(created.err == 0, "{node}: {}", created.err);
    }
    Ok(())
}

/// F12: with a quota anywhere, a write at depth 10,000 cost 31 to 58 ms.
#[test]
fn writes_far_below_the_root_stop_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut client = arena.client()?;
    let depth = scale(3_000, 10_000);
    create_all(&mut client, op::CREATE, (1..=depth).map(|n| Body::create(&"/d".repeat(n), b"", 0)))?;
    ensure!(client.call(1, op::CREATE, &Body::create("/other", b"", 0))?.err == 0, "/other");
    quota(&mut client, "/other")?;
    let trial = arena.begin("writes at great depth")?;
    let body = Body::set_data(&"/d".repeat(depth), b"x", -1);
    let requests: Vec<u8> = (0..200).flat_map(|xid| request(xid, op::SET_DATA, &body)).collect();
    // A connection may have a megabyte of requests under way: several of them have more.
    let mut clients = (0..8).map(|_| trial.client()).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let asking: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(|| ask_all(client, &requests, 200))).collect();
        asking.into_iter().try_for_each(|asking| asking.join().expect("no panic"))
    })?;
    trial.end().map(drop)
}

/// F13: a usage node full of other keys cost 34 ms a write.
#[test]
fn junk_in_a_usage_node_stops_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default())?;
    let mut client = arena.client()?;
    ensure!(client.call(1, op::CREATE, &Body::create("/q", b"", 0))?.err == 0, "/q");
    let junk: String = (0..70_000).map(|n| format!(",key{n}=1")).collect();
    quota(&mut client, "/q")?;
    let stats =
        Body::set_data("/zookeeper/quota/q/zookeeper_stats", format!("count=1,bytes=0{junk}").as_bytes(), -1);
    ensure!(client.call(1, op::SET_DATA, &stats)?.err == 0, "the usage node");
    let trial = arena.begin("junk in a usage node")?;
    // Only what changes the usage is written down.
    let body = |xid: i32| Body::set_data("/q", &b"xx"[..1 + xid as usize % 2], -1);
    let requests: Vec<u8> = (0..500).flat_map(|xid| request(xid, op::SET_DATA, &body(xid))).collect();
    ask_all(&mut client, &requests, 500)?;
    trial.end().map(drop)
}

/// F14: at a snapshot all lists were copied at once: 2.5 s, and 800 MiB for 390,000 lists.
#[test]
fn a_snapshot_of_many_lists_stops_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default().property("zookeeper.snapCount", "8000"))?;
    let mut client = arena.client()?;
    ensure!(client.call(1, op::CREATE, &Body::create("/lists", b"", 0))?.err == 0, "/lists");
    let lists = (0..scale(60_000, 390_000)).map(|n| {
        create_with(&format!("/lists/{n}"), acl_of([(31, format!("user-{n}:{n:028}"))].into_iter()))
    });
    create_all(&mut client, op::CREATE, lists)?;
    snapshot_meanwhile(arena.begin("a snapshot of many lists")?, &mut client)
}

/// F14: a slice of a snapshot was so many nodes, whatever their bytes.
#[test]
fn a_snapshot_of_large_nodes_stops_nobody() -> Result<()> {
    let arena = Arena::open(&Options::default().property("zookeeper.snapCount", "8000"))?;
    let mut client = arena.client()?;
    for n in 0..scale(100, 500) {
        let created =
            client.call(1, op::CREATE, &Body::create(&format!("/large-{n}"), &[b'x'; 1_000_000], 0))?;
        ensure!(created.err == 0, "{}", created.err);
    }
    snapshot_meanwhile(arena.begin("a snapshot of large nodes")?, &mut client)
}

/// Writes until a snapshot has been taken.
fn snapshot_meanwhile(trial: compat_tests::hostile::Trial, client: &mut Client) -> Result<()> {
    ensure!(client.call(1, op::CREATE, &Body::create("/small", b"", 0))?.err == 0, "/small");
    let body = Body::set_data("/small", b"x", -1);
    let requests: Vec<u8> = (0..9_000).flat_map(|xid| request(xid, op::SET_DATA, &body)).collect();
    let begun = std::time::SystemTime::now();
    ask_all(client, &requests, 9_000)?;
    let directory = trial.arena.server.data_dir().join("version-2");
    eventually_within("a snapshot is taken", Duration::from_secs(60), || {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("snapshot.") && name != "snapshot.0" && entry.metadata()?.modified()? >= begun
            {
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    trial.end_within(compat_tests::hostile::MEMORY_MAX).map(drop)
}
