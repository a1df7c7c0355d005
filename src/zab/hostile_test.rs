//! Peers that say anything at any time. A core may end their links and begin elections; it never panics, and never
//! appends what leaves a gap or applies what is not durable.

use bytes::Bytes;
use jute::{OpCode, SessionId, Zxid};

use super::members::testing::voters;
use super::*;
use crate::sim::random::Random;

/// Zxids near enough to the server's own to get past the first check.
fn zxid(random: &mut Random) -> Zxid {
    let epoch = random.below(6) as i64;
    match random.below(8) {
        0 => Zxid(-1),
        1 => Zxid(i64::MIN),
        2 => Zxid(i64::MAX),
        3 => Zxid(epoch << 32),
        _ => Zxid(epoch << 32 | random.below(6) as i64),
    }
}

fn proposal(random: &mut Random) -> Proposal {
    Proposal { zxid: zxid(random), payload: Bytes::from_static(b"payload") }
}

fn notification(random: &mut Random) -> Notification {
    use PeerState::{Following, Leading, Looking, Observing};
    Notification {
        state: [Looking, Following, Leading, Observing][random.below(4) as usize],
        leader: random.below(5) as Sid,
        zxid: zxid(random),
        election_epoch: [0, 1, 2, 3, i64::MAX][random.below(5) as usize],
        peer_epoch: [0, 1, 2, i64::MAX, i64::MIN][random.below(5) as usize],
        version: random.below(3) as i32,
        config: Bytes::new(),
    }
}

fn from_learner(random: &mut Random) -> FromLearner {
    let session = SessionId(7);
    match random.below(6) {
        0 | 1 => FromLearner::AckEpoch { current: random.below(5) as i32 - 1, last: zxid(random) },
        2 => FromLearner::Ack(zxid(random)),
        3 => FromLearner::Ping(vec![(session, 1)]),
        4 => FromLearner::Revalidate { session, timeout_ms: -1 },
        _ => FromLearner::Request(Forwarded {
            session,
            cxid: 1,
            op: OpCode::CREATE,
            body: Bytes::new(),
            identities: Vec::new(),
        }),
    }
}

fn from_master(random: &mut Random) -> FromMaster {
    match random.below(12) {
        0 | 1 => FromMaster::LeaderInfo {
            epoch: [1, 2, 3, -1, i64::MAX][random.below(5) as usize],
            protocol: 0x10000,
        },
        2 => FromMaster::Diff(zxid(random)),
        3 => FromMaster::Trunc(zxid(random)),
        4 => FromMaster::Proposal(proposal(random)),
        5 => FromMaster::Commit(zxid(random)),
        6 => FromMaster::Inform(proposal(random)),
        7 | 8 => FromMaster::NewLeader { zxid: zxid(random), config: None },
        9 => FromMaster::UpToDate,
        10 => FromMaster::Ping(zxid(random)),
        _ => [FromMaster::Sync, FromMaster::Activate(zxid(random))][random.below(2) as usize].clone(),
    }
}

fn anything(random: &mut Random) -> Input {
    let link = Link(random.below(4));
    match random.below(14) {
        0 => Input::Tick,
        1..=3 => Input::Notified { from: random.below(5) as Sid, notification: notification(random) },
        4 => Input::LearnerCame {
            link,
            hello: Hello {
                is_observer: random.once_in(3),
                accepted_epoch: [0, 1, 5, -1, i64::MAX][random.below(5) as usize],
                sid: (!random.once_in(4)).then(|| random.below(5) as Sid),
                protocol: if random.once_in(5) { 1 } else { PROTOCOL },
                config_version: i64::from(random.once_in(5)),
            },
        },
        5 | 6 => Input::LearnerSaid { link, said: from_learner(random) },
        7 => Input::LearnerLeft { link },
        8 => Input::MasterCame,
        9 | 10 => Input::MasterSaid(from_master(random)),
        11 => Input::SnapshotArrived { zxid: zxid(random) },
        12 => Input::Drained { link, bytes: random.below(1000) as usize },
        _ => Input::Streamed { link },
    }
}

#[test]
fn nothing_a_peer_says_stops_the_server() {
    for seed in 0..3000 {
        let mut random = Random::new(seed);
        let options = Options {
            me: 2,
            is_observer: random.once_in(4),
            tick_ms: 10,
            init_limit: 5,
            sync_limit: 3,
            notification_ms: (20, 100),
            force_snapshot: random.once_in(8),
            tuning: Tuning::default(),
        };
        let logged = Zxid(1 << 32 | 3);
        let tail = (1..=3).map(|n| Proposal { zxid: Zxid(1 << 32 | n), payload: Bytes::new() }).collect();
        let recovered = Recovered { logged, accepted: 1, current: 1, is_trusted: !random.once_in(8), tail };
        let mut zab = Zab::member(options, voters(3), recovered, 0);
        let (mut now, mut appended, mut tickets, mut roles) =
            (0, logged, std::collections::VecDeque::new(), 0);
        for _ in 0..200 {
            now += random.below(15) as Ms;
            let mut inputs = Vec::new();
            if random.once_in(2)
                && let Some(ticket) = tickets.pop_front()
            {
                inputs.push(Input::Done(ticket));
            }
            let input = anything(&mut random);
            // The driver keeps back what a leader says while the disk is busy with the sync.
            if zab.takes_master() || !matches!(input, Input::MasterSaid(_) | Input::SnapshotArrived { .. }) {
                inputs.push(input);
            }
            for input in inputs {
                if let Input::Done(ticket) = &input {
                    match ticket.effect() {
                        Effect::Truncate { to } => appended = to,
                        Effect::Install { zxid } => appended = zxid,
                        _ => {}
                    }
                }
                zab.input(now, input);
            }
            for turn in 0.. {
                let Some(output) = zab.poll() else { break };
                assert!(turn < 1000, "a core that asks for ever");
                match output {
                    Output::Append(proposal) => {
                        assert!(appended.is_followed_by(proposal.zxid), "{} after {appended}", proposal.zxid);
                        appended = proposal.zxid;
                    }
                    Output::Persist(ticket) => tickets.push_back(ticket),
                    Output::CollectTouched => zab.input(now, Input::Touched(Vec::new())),
                    Output::Serve(_) => roles += 1,
                    _ => {}
                }
            }
        }
        assert!(roles < 200);
    }
}
