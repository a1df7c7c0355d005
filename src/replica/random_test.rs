//! Clients of three members do anything at all, disks and servers are as slow as they please, and in the end
//! everybody has been answered in order and all trees are the same.

use jute::multi::CreateMode;
use jute::{Code, OpCode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::{Client, Ensemble, Said};
use crate::request::testing::{asked, creation};

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// A client asks for something.
    Send { client: usize, op: OpCode, body: Vec<u8> },
    /// A client reads, behind what it asked for before.
    Read { client: usize },
    /// A client wants to see what others have written.
    Sync { client: usize },
    /// A server takes some turns.
    Run { sid: i64, turns: usize },
    /// A disk waits with what it is asked, or does it.
    Disk { sid: i64, is_slow: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..5usize;
    let write = asked().prop_filter("a session's own", |asked| {
        !matches!(asked.op, OpCode::CLOSE_SESSION | OpCode::CREATE_SESSION | OpCode::DELETE_CONTAINER)
    });
    prop_oneof![
        6 => (client.clone(), write).prop_map(|(client, asked)| Step::Send {
            client,
            op: asked.op,
            body: asked.body,
        }),
        2 => client.clone().prop_map(|client| Step::Read { client }),
        2 => client.prop_map(|client| Step::Sync { client }),
        8 => (1..4i64, 1..4usize).prop_map(|(sid, turns)| Step::Run { sid, turns }),
        2 => (1..4i64, any::<bool>()).prop_map(|(sid, is_slow)| Step::Disk { sid, is_slow }),
    ]
}

fn check(steps: Vec<Step>) {
    let mut ensemble = Ensemble::serving();
    let clients: Vec<Client> = [1, 1, 2, 2, 3].map(|sid| ensemble.connect(sid)).into();
    let mut xids = [0; 5];
    let mut send = |ensemble: &mut Ensemble, client: usize, op, body: &[u8]| {
        xids[client] += 1;
        ensemble.send(clients[client], xids[client], op, body);
    };
    for step in steps {
        match step {
            Step::Send { client, op, body } => send(&mut ensemble, client, op, &body),
            Step::Read { client } => send(&mut ensemble, client, OpCode::WHO_AM_I, &[]),
            Step::Sync { client } => send(&mut ensemble, client, OpCode::SYNC, &[0, 0, 0, 1, b'/']),
            Step::Run { sid, turns } => {
                for _ in 0..turns {
                    ensemble.turn(sid);
                }
            }
            Step::Disk { sid, is_slow: true } => ensemble.member(sid).is_disk_slow = true,
            Step::Disk { sid, is_slow: false } => {
                let member = ensemble.member(sid);
                member.is_disk_slow = false;
                member.do_tickets();
            }
        }
    }
    (1..=3).for_each(|sid| ensemble.let_disk_go(sid));
    ensemble.settle();
    for (client, xids) in clients.iter().zip(xids) {
        let answered = ensemble.said(*client).iter().map(|said| match said {
            Said::Reply(xid, code) if *code != Code::SESSION_MOVED => *xid,
            other => panic!("{other:?}"),
        });
        assert_eq!(answered.collect::<Vec<_>>(), (1..=xids).collect::<Vec<_>>());
        assert_eq!(ensemble.closed(*client), None);
    }
    ensemble.zxid();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn everybody_is_answered_in_order_and_all_trees_are_the_same(steps in vec(step(), 1..120)) {
        check(steps);
    }
}

/// A leader answered a sync behind the commit of a write that its client had sent after it, so the client's server
/// did not know that commit for its own.
#[test]
fn a_sync_is_answered_before_the_write_behind_it() {
    let send = |body| Step::Send { client: 0, op: OpCode::CREATE, body };
    let create = |path: &str| send(creation(path, CreateMode::Persistent).body);
    check(vec![create("/a"), Step::Sync { client: 0 }, create("/b"), Step::Sync { client: 0 }, create("/c")]);
}
