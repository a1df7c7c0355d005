//! Handing over and taking, from several threads.

use std::sync::Arc;
use std::time::Duration;

use jute::{OpCode, SessionId};

use super::Inbox;
use super::inbox::Taken;
use crate::request::{Request, Write};

/// Nobody waits this long: what ends a wait is what is handed over.
const LONG: Duration = Duration::from_secs(3600);

fn request(session: i64) -> Request {
    Request::internal(SessionId(session), OpCode::CLOSE_SESSION, Write::CloseSession, 0)
}

fn sessions(taken: &Taken) -> Vec<i64> {
    taken.requests.iter().map(|request| request.head.session.0).collect()
}

#[test]
fn everything_that_waits_is_taken_at_once_in_order() {
    let (inbox, mut taken) = (Inbox::default(), Taken::default());
    inbox.push(&mut vec![request(1), request(2)]);
    inbox.push(&mut Vec::new());
    inbox.push(&mut vec![request(3)]);
    inbox.push_gone(7);
    assert!(inbox.take(&mut taken, LONG));
    assert_eq!((sessions(&taken), &taken.gone[..]), (vec![1, 2, 3], &[7][..]));
    taken.requests.clear();
    assert!(inbox.take(&mut taken, Duration::ZERO));
    assert!(taken.requests.is_empty());
}

#[test]
fn who_waits_is_woken_by_a_request_and_by_the_end() {
    let inbox = Arc::new(Inbox::default());
    let waiting = inbox.clone();
    let writer = std::thread::spawn(move || {
        let mut seen = Vec::new();
        loop {
            let mut taken = Taken::default();
            let goes_on = waiting.take(&mut taken, LONG);
            seen.extend(sessions(&taken));
            if !goes_on {
                return seen;
            }
            if !taken.requests.is_empty() && seen.len() < 3 {
                waiting.push_gone(1);
            }
        }
    });
    for session in 1..=3 {
        inbox.push(&mut vec![request(session)]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!inbox.is_stopped());
    inbox.stop();
    assert_eq!(writer.join().unwrap(), [1, 2, 3]);
}

#[test]
fn what_came_before_the_end_is_still_served_and_nothing_after_it() {
    let (inbox, mut taken) = (Inbox::default(), Taken::default());
    inbox.push(&mut vec![request(1)]);
    inbox.stop();
    let mut late = vec![request(2)];
    inbox.push(&mut late);
    inbox.push_gone(9);
    assert!(late.is_empty() && inbox.is_stopped());
    assert!(inbox.take(&mut taken, LONG), "there is something to serve");
    assert_eq!((sessions(&taken), taken.gone.len()), (vec![1], 0));
    taken.requests.clear();
    assert!(!inbox.take(&mut taken, LONG));
}
