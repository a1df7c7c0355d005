//! A server that is alone. Ensembles are tried in `cluster`.

use super::*;

fn persist(zab: &mut Zab) -> Ticket {
    match zab.poll() {
        Some(Output::Persist(ticket)) => ticket,
        other => panic!("a ticket and not {other:?}"),
    }
}

#[test]
fn it_leads_and_serves_from_the_beginning() {
    let zab = Zab::leading_alone(Zxid(5));
    let (state, is_serving, learners) = (PeerState::Leading, true, Vec::new());
    assert_eq!(zab.standing(), Standing { state, is_serving, leader: None, epoch: 0, learners });
    let (proposed, committed, pending_syncs) = (Zxid::ZERO, Zxid::ZERO, 0);
    assert_eq!(zab.progress(), Progress { state, is_serving, proposed, committed, pending_syncs });
    assert_eq!(zab.deadline(), None);
    assert!(zab.committed_after(Zxid(4)).is_none(), "it keeps nothing for others");
}

#[test]
fn nothing_is_committed_before_it_is_durable() {
    let mut zab = Zab::leading_alone(Zxid(5));
    zab.input(0, Input::Appended { first: Zxid(6), last: Zxid(6) });
    let first = persist(&mut zab);
    zab.input(0, Input::Appended { first: Zxid(7), last: Zxid(9) });
    let second = persist(&mut zab);
    assert!(zab.poll().is_none());
    zab.input(0, Input::Done(first));
    assert!(matches!(zab.poll(), Some(Output::Commit { up_to: Zxid(6) })));
    zab.input(0, Input::Done(second));
    assert!(matches!(zab.poll(), Some(Output::Commit { up_to: Zxid(9) })));
    assert!(zab.poll().is_none());
}

#[test]
#[should_panic(expected = "follows the one before it")]
fn a_gap_stops_the_server() {
    Zab::leading_alone(Zxid(5)).input(0, Input::Appended { first: Zxid(7), last: Zxid(7) });
}

#[test]
#[should_panic(expected = "in the order they were made")]
fn a_ticket_out_of_turn_stops_the_server() {
    let mut zab = Zab::leading_alone(Zxid(5));
    zab.input(0, Input::Appended { first: Zxid(6), last: Zxid(6) });
    zab.input(0, Input::Appended { first: Zxid(7), last: Zxid(7) });
    let _first = persist(&mut zab);
    let second = persist(&mut zab);
    zab.input(0, Input::Done(second));
}
