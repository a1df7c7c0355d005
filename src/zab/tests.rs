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
    let standing = Zab::leading_alone(Zxid(5)).standing();
    assert_eq!((standing.state, standing.is_serving, standing.leader), (PeerState::Leading, true, None));
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
