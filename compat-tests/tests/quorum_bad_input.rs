//! Nonsense on both ports of every member of a living ensemble: whoever says it loses the connection, and nobody
//! else notices anything.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::acknowledged::Random;
use compat_tests::artifacts;
use compat_tests::ensemble::{Ensemble, Load, Mix, mixes};
use compat_tests::hostile::process::anonymous_bytes;
use compat_tests::peer::election::{PROTOCOL, handshake};
use compat_tests::peer::packet::kind;
use compat_tests::peer::{Form, Notification, Packet, State};
use compat_tests::wire::Body;

const SHORT: &str = "OOO";
const WRITES: u64 = 50;
/// What a member may have more of in the end.
const MEMORY: u64 = 64 << 20;
/// Connections that are left open half-said.
const HELD: usize = 40;
/// After which a member need not have closed yet: it may wait for the rest.
const PATIENCE: Duration = Duration::from_millis(200);

#[test]
fn nonsense_on_the_ports_of_peers_disturbs_nobody() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    for mix in mixes(SHORT)? {
        abuse(&mix).with_context(|| format!("mix {mix}: repeat it with OXKEEPER_MIXES={mix}"))?;
    }
    Ok(())
}

fn abuse(mix: &Mix) -> Result<()> {
    let mut ensemble = Ensemble::start(&mix.plan())?;
    let result = under_load(&mut ensemble);
    if result.is_err() {
        eprintln!("the logs are in {}", ensemble.keep_logs(mix.name())?.display());
    }
    result.with_context(|| ensemble.logs())
}

fn under_load(ensemble: &mut Ensemble) -> Result<()> {
    let leader = ensemble.leader()?;
    let load = Load::default().start(&ensemble.addrs(), "/abused");
    load.wait_for(WRITES)?;
    let epoch = ensemble.status(leader)?.zxid >> 32;
    let before = memory(ensemble)?;
    let mut held = Vec::new();
    for at in ensemble.running() {
        let member = &ensemble.members()[at];
        let (election, quorum) = (member.election_addr(), member.quorum_addr());
        let own = member.sid() as i64;
        for (what, bytes) in on_the_election_port(own) {
            said(election, &what, &bytes, &mut held)?;
        }
        if at == leader {
            for (what, bytes) in on_the_quorum_port() {
                said(quorum, &what, &bytes, &mut held)?;
            }
        }
        load.wait_for(WRITES).with_context(|| format!("after nonsense to {member}"))?;
    }
    ensure!(ensemble.leader()? == leader, "another server leads");
    ensure!(ensemble.status(leader)?.zxid >> 32 == epoch, "another epoch has begun");
    for (at, bytes) in memory(ensemble)?.into_iter().enumerate() {
        let more = bytes.saturating_sub(before[at]);
        ensure!(more < MEMORY, "{} has {more} bytes more", ensemble.members()[at]);
    }
    drop(held);
    let summary = load.stop()?;
    ensemble.wait_all_serving()?;
    summary.verify_everywhere(ensemble)?;
    ensure!(summary.expired() == 0, "{} sessions expired", summary.expired());
    Ok(())
}

fn memory(ensemble: &Ensemble) -> Result<Vec<u64>> {
    ensemble.running().iter().map(|at| anonymous_bytes(ensemble.members()[*at].pid()?)).collect()
}

/// Says something on a connection of its own. What is not refused at once is held open.
fn said(addr: SocketAddr, what: &str, bytes: &[u8], held: &mut Vec<TcpStream>) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))
        .with_context(|| format!("{what}: connect to {addr}"))?;
    stream.set_read_timeout(Some(PATIENCE)).context("set a read timeout")?;
    stream.set_write_timeout(Some(Duration::from_secs(5))).context("set a write timeout")?;
    // It may be refused while it is said.
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4096];
    let is_open = match stream.read(&mut answer) {
        Ok(0) => false,
        Ok(_) => true,
        Err(e) => matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    };
    if is_open && held.len() < HELD {
        held.push(stream);
    }
    Ok(())
}

fn on_the_election_port(own: i64) -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(own as u64 * 2, 7);
    let noise = |random: &mut Random, count: usize| -> Vec<u8> {
        (0..count).map(|_| random.below(256) as u8).collect()
    };
    let stranger = handshake(PROTOCOL, 99, "127.0.0.1:1");
    let vote = Notification {
        state: State::Looking,
        leader: 99,
        zxid: i64::MAX,
        round: i64::MAX,
        epoch: i64::MAX,
        config: b"server.99=nowhere:1:2\nversion=7fffffffffffffff".to_vec(),
    };
    let after = |first: &[u8], second: &[u8]| [first, second].concat();
    let mut all = vec![
        ("nothing".to_owned(), Vec::new()),
        ("a part of a handshake".to_owned(), stranger[..9].to_vec()),
        ("another protocol".to_owned(), handshake(-1, 99, "127.0.0.1:1")),
        ("its own number".to_owned(), handshake(PROTOCOL, own, "127.0.0.1:1")),
        ("no address".to_owned(), Body::new().long(PROTOCOL).long(99).int(0).0),
        ("a negative address".to_owned(), Body::new().long(PROTOCOL).long(99).int(-1).0),
        ("an endless address".to_owned(), Body::new().long(PROTOCOL).long(99).int(i32::MAX).0),
        ("no address at all".to_owned(), handshake(PROTOCOL, 99, "nowhere")),
        ("an endless vote".to_owned(), after(&stranger, &i32::MAX.to_be_bytes())),
        ("a negative vote".to_owned(), after(&stranger, &(-1_i32).to_be_bytes())),
        ("a short vote".to_owned(), after(&stranger, &Body::new().int(5).int(0).0)),
        ("a stranger's absurd vote".to_owned(), after(&stranger, &vote.encode(Form::Whole))),
        ("an absurd vote of old".to_owned(), after(&stranger, &vote.encode(Form::Short))),
    ];
    for count in [1, 8, 28, 60, 5000] {
        all.push((format!("{count} bytes of noise"), noise(&mut random, count)));
        all.push((
            format!("{count} bytes of noise after a handshake"),
            after(&stranger, &noise(&mut random, count)),
        ));
    }
    all
}

fn on_the_quorum_port() -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(1, 8);
    let info = |sid: i64, config: i64| Body::new().long(sid).int(0x10000).long(config).0;
    let hello = |kind: i32, epoch: i64, data: &[u8]| Packet::new(kind, epoch << 32, Some(data)).encode();
    let observer = hello(kind::OBSERVER_INFO, 0, &info(99, 0));
    let ack = Packet::new(kind::ACK_EPOCH, 0, Some(&0_i32.to_be_bytes())).encode();
    let undecodable = Packet::new(kind::REQUEST, -1, Some(&[7; 3])).encode();
    let mut all = vec![
        ("nothing".to_owned(), Vec::new()),
        ("a part of a packet".to_owned(), observer[..11].to_vec()),
        ("another packet first".to_owned(), Packet::new(kind::ACK, 7, None).encode()),
        ("a packet of no known type".to_owned(), Packet::new(77, 7, None).encode()),
        ("a newer configuration".to_owned(), hello(kind::FOLLOWER_INFO, 0, &info(99, i64::MAX))),
        ("an absurd epoch".to_owned(), hello(kind::OBSERVER_INFO, i64::from(i32::MAX), &info(99, 0))),
        ("short information".to_owned(), hello(kind::OBSERVER_INFO, 0, &[1, 2, 3])),
        ("endless data".to_owned(), Body::new().int(kind::OBSERVER_INFO).long(0).int(i32::MAX).0),
        ("negative data".to_owned(), Body::new().int(kind::OBSERVER_INFO).long(0).int(-5).0),
        (
            "endless identities".to_owned(),
            Body::new().int(kind::OBSERVER_INFO).long(0).int(-1).int(i32::MAX).0,
        ),
        (
            "an epoch without a number".to_owned(),
            [&observer[..], &Packet::new(kind::ACK_EPOCH, 0, None).encode()].concat(),
        ),
        ("an undecodable request".to_owned(), [&observer[..], &ack, &undecodable].concat()),
        ("a learner that reads nothing".to_owned(), [&observer[..], &ack].concat()),
    ];
    for count in [1, 16, 100, 5000] {
        all.push((format!("{count} bytes of noise"), (0..count).map(|_| random.below(256) as u8).collect()));
    }
    all
}
