//! Expiry against a list of sessions with the time each was last heard from.

use std::collections::{BTreeMap, BTreeSet};

use jute::SessionId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::Sessions;

#[derive(Clone, Copy, Debug)]
struct Heard {
    at_ms: i64,
    timeout_ms: i64,
    closing: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Track(i64, i32),
    Touch(i64),
    Reopen(i64, i32),
    Close(i64),
    Remove(i64),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 1..6i64;
    prop_oneof![
        2 => (id(), 1..40_000).prop_map(|(id, timeout)| Step::Track(id, timeout)),
        4 => id().prop_map(Step::Touch),
        2 => (id(), 1..40_000).prop_map(|(id, timeout)| Step::Reopen(id, timeout)),
        1 => id().prop_map(Step::Close),
        1 => id().prop_map(Step::Remove),
        6 => (0..15_000i64).prop_map(Step::Pass),
    ]
}

struct Model {
    tick_ms: i64,
    sessions: BTreeMap<i64, Heard>,
}

impl Model {
    /// The first multiple of the tick after the deadline.
    fn expires_at(&self, heard: Heard) -> i64 {
        let deadline = heard.at_ms + heard.timeout_ms;
        (0..).map(|tick| tick * self.tick_ms).find(|end| *end > deadline).unwrap()
    }

    fn expire(&mut self, now_ms: i64) -> Vec<SessionId> {
        let mut due: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, heard)| !heard.closing && self.expires_at(**heard) <= now_ms)
            .map(|(id, heard)| (self.expires_at(*heard), *id))
            .collect();
        due.sort_unstable();
        for (_, id) in &due {
            self.sessions.get_mut(id).unwrap().closing = true;
        }
        due.into_iter().map(|(_, id)| SessionId(id)).collect()
    }
}

fn check(tick_ms: i64, polled_each_ms: i64, steps: &[Step]) {
    let mut sessions = Sessions::new(tick_ms, 1, 0);
    let mut model = Model { tick_ms, sessions: BTreeMap::new() };
    let mut now_ms = 0;
    for step in steps {
        match *step {
            Step::Track(id, timeout_ms) => {
                sessions.track(SessionId(id), timeout_ms, now_ms);
                let fresh = Heard { at_ms: now_ms, timeout_ms: timeout_ms.into(), closing: false };
                model.sessions.entry(id).or_insert(fresh).at_ms = now_ms;
            }
            Step::Touch(id) => {
                let open = sessions.get(SessionId(id)).map(|session| session.touch(now_ms));
                let heard = model.sessions.get_mut(&id);
                assert_eq!(open, heard.as_ref().map(|heard| !heard.closing));
                heard.into_iter().for_each(|heard| heard.at_ms = now_ms);
            }
            Step::Reopen(id, timeout_ms) => {
                let reopened = sessions.reopen(SessionId(id), timeout_ms, now_ms).is_some();
                let heard = model.sessions.get_mut(&id).filter(|heard| !heard.closing);
                assert_eq!(reopened, heard.is_some());
                heard.into_iter().for_each(|heard| {
                    (heard.at_ms, heard.timeout_ms) = (now_ms, timeout_ms.into());
                });
            }
            Step::Close(id) => {
                sessions.set_closing(SessionId(id));
                model.sessions.get_mut(&id).into_iter().for_each(|heard| heard.closing = true);
            }
            Step::Remove(id) => {
                sessions.remove(SessionId(id));
                model.sessions.remove(&id);
            }
            Step::Pass(passed_ms) => {
                let until = now_ms + passed_ms;
                while now_ms < until {
                    now_ms = (now_ms + polled_each_ms).min(until);
                    check_poll(&mut sessions, &mut model, now_ms);
                }
            }
        }
        let open = |heard: &&Heard| !heard.closing;
        let first = model.sessions.values().filter(open).map(|heard| model.expires_at(*heard)).min();
        let next = sessions.next_deadline_ms();
        assert!(first.is_none_or(|first| next.is_some_and(|next| next <= first)), "{next:?} after {first:?}");
    }
    let known: BTreeSet<_> = sessions.ids().into_iter().map(|id| id.0).collect();
    assert_eq!(known, model.sessions.keys().copied().collect());
}

fn check_poll(sessions: &mut Sessions, model: &mut Model, now_ms: i64) {
    let before = model.sessions.clone();
    let expired = sessions.expire(now_ms, &mut |_, _| true);
    // Sessions that end on request may be named again: who is told ends them a second time, as nothing.
    let news: Vec<_> = expired.into_iter().filter(|id| !before[&id.0].closing).collect();
    assert_eq!(news, model.expire(now_ms));
    for id in news {
        let Heard { at_ms, timeout_ms, .. } = before[&id.0];
        assert!(now_ms > at_ms + timeout_ms, "{id} expired before its timeout");
        let late_by = now_ms - (at_ms + timeout_ms);
        assert!(late_by <= 2 * model.tick_ms, "{id} expired {late_by} ms late");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn sessions_expire_after_their_timeout_and_within_two_ticks(
        tick_ms in prop_oneof![Just(2000i64), 100..5000i64],
        share in 1..4i64,
        steps in vec(step(), 1..60),
    ) {
        check(tick_ms, tick_ms / share, &steps);
    }
}
