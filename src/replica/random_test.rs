//! Clients of three members do anything at all, disks and servers are as slow as they please, and in the end
//! everybody has been answered in order and all trees are the same.

use jute::multi::CreateMode;
use jute::{Code, OpCode, Zxid};
use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::{Client, Ensemble, Said};
use crate::request::testing::{asked, creation};
use crate::session::password_for;

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

/// What happens where leaders come and go.
#[derive(Clone, Debug)]
enum Turmoil {
    /// A client creates a node that nobody else creates.
    Create { client: usize },
    /// A client reads, behind what it asked for before.
    Read { client: usize },
    /// A client goes to a server, with its session if it has one.
    Dial { client: usize, sid: i64 },
    /// A server takes some turns.
    Run { sid: i64, turns: usize },
    /// A disk waits with what it is asked, or does it.
    Disk { sid: i64, is_slow: bool },
    /// Time passes.
    Pass { ms: i64 },
    /// A connection between servers ends.
    Cut { which: usize },
}

fn turmoil() -> impl Strategy<Value = Turmoil> {
    let (client, sid) = (0..4usize, 1..4i64);
    prop_oneof![
        8 => client.clone().prop_map(|client| Turmoil::Create { client }),
        2 => client.clone().prop_map(|client| Turmoil::Read { client }),
        3 => (client, sid.clone()).prop_map(|(client, sid)| Turmoil::Dial { client, sid }),
        12 => (sid.clone(), 1..6usize).prop_map(|(sid, turns)| Turmoil::Run { sid, turns }),
        2 => (sid, any::<bool>()).prop_map(|(sid, is_slow)| Turmoil::Disk { sid, is_slow }),
        6 => prop_oneof![Just(50), Just(250), Just(1000)].prop_map(|ms| Turmoil::Pass { ms }),
        1 => (0..4usize).prop_map(|which| Turmoil::Cut { which }),
    ]
}

/// One after the other: what a client sent on its connection, and what it asked for.
struct Dialed {
    client: Client,
    /// It was answered before the steps began.
    is_bound: bool,
    sent: i32,
    created: Vec<(i32, String)>,
}

fn check_turmoil(steps: Vec<Turmoil>) {
    let mut ensemble = Ensemble::serving();
    let new = |client, is_bound| Dialed { client, is_bound, sent: 0, created: Vec::new() };
    let mut now: Vec<Dialed> = [1, 2, 3, 1].map(|sid| new(ensemble.connect(sid), true)).into();
    let mut before = Vec::new();
    let mut names = 0;
    for step in steps {
        match step {
            Turmoil::Create { client } => {
                let Dialed { client, sent, created, is_bound } = &mut now[client];
                if !*is_bound && ensemble.said(*client).is_empty() {
                    continue;
                }
                *sent += 1;
                names += 1;
                let path = format!("/unique-{names}");
                let body = creation(&path, CreateMode::Persistent).body;
                ensemble.send(*client, *sent, OpCode::CREATE, &body);
                created.push((*sent, path));
            }
            Turmoil::Read { client } => {
                let Dialed { client, sent, is_bound, .. } = &mut now[client];
                if !*is_bound && ensemble.said(*client).is_empty() {
                    continue;
                }
                *sent += 1;
                ensemble.send(*client, *sent, OpCode::WHO_AM_I, &[]);
            }
            Turmoil::Dial { client, sid } => {
                let session = now[client].client.session;
                let dialed = ensemble.dial(sid, session, password_for(session).into(), Zxid::ZERO);
                before.push(std::mem::replace(&mut now[client], new(dialed, false)));
            }
            Turmoil::Run { sid, turns } => {
                for _ in 0..turns {
                    ensemble.turn(sid);
                }
            }
            Turmoil::Disk { sid, is_slow: true } => ensemble.member(sid).is_disk_slow = true,
            Turmoil::Disk { sid, is_slow: false } => {
                let member = ensemble.member(sid);
                member.is_disk_slow = false;
                member.do_tickets();
            }
            Turmoil::Pass { ms } => ensemble.let_pass(ms),
            Turmoil::Cut { which } => ensemble.cut_some(which),
        }
    }
    (1..=3).for_each(|sid| ensemble.let_disk_go(sid));
    // Longer than initLimit and syncLimit together: who was elected by mistake has given up, too.
    for _ in 0..60 {
        ensemble.pass(500);
    }
    ensemble.zxid();
    for Dialed { client, sent, created, .. } in before.iter().chain(&now) {
        let mut expected = 1;
        for said in ensemble.said(*client) {
            let Said::Reply(xid, code) = said else { continue };
            assert_eq!(*xid, expected, "replies come in order and without a gap");
            expected += 1;
            let path = created.iter().find(|(of, _)| of == xid).map(|(_, path)| path.as_str());
            if let Some(path) = path.filter(|_| *code == Code::OK) {
                assert!(ensemble.members[&1].tree.get(path).is_some(), "{path} was acknowledged");
            }
        }
        assert!(expected > *sent || ensemble.closed(*client).is_some(), "all is answered, or it is closed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn where_leaders_come_and_go_what_was_acknowledged_stays_and_nobody_waits_for_ever(
        steps in vec(turmoil(), 1..150),
    ) {
        check_turmoil(steps);
    }
}

/// Trap 21: a leader answered a sync behind the commit of a write that its client had sent after it, so the client's server
/// did not know that commit for its own.
#[test]
fn a_sync_is_answered_before_the_write_behind_it() {
    let send = |body| Step::Send { client: 0, op: OpCode::CREATE, body };
    let create = |path: &str| send(creation(path, CreateMode::Persistent).body);
    check(vec![create("/a"), Step::Sync { client: 0 }, create("/b"), Step::Sync { client: 0 }, create("/c")]);
}
