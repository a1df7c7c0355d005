//! What a learner is sent first (reference: `LearnerHandler.syncFollower`).

use jute::Zxid;

use super::history::History;

/// How a learner is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// DIFF, and what it lacks is in memory, after this zxid.
    Diff { after: Zxid },
    /// It has what never was committed: everything after this zxid must go.
    Trunc { to: Zxid },
    /// DIFF, and what it lacks is in the log on disk, up to this zxid.
    Log { after: Zxid, to: Zxid },
    /// The whole tree.
    Snap,
}

/// Chooses. `last` is the learner's last transaction, `committed` the leader's last that counts as committed, `begin` the
/// begin of its epoch.
pub(super) fn plan(
    history: &History,
    committed: Zxid,
    begin: Zxid,
    last: Zxid,
    force_snapshot: bool,
) -> Plan {
    // After an election a reference server stands at the begin of the epoch, which is no transaction.
    let is_begin_of_epoch = last.counter() == 0;
    if force_snapshot || last.0 < 0 {
        Plan::Snap
    } else if last == committed {
        Plan::Diff { after: last }
    } else if last == begin && committed < begin {
        // It has the epoch's history, and nothing has happened in the epoch since.
        Plan::Diff { after: committed }
    } else if last > committed {
        // A learner of the reference that does not have the place of a cut goes on with wrong data: it is sent one only
        // where its log must have that place. The reference also cuts across epochs.
        let has_place = committed.counter() > 0 && committed.epoch() == last.epoch();
        if is_begin_of_epoch || !has_place { Plan::Snap } else { Plan::Trunc { to: committed } }
    } else if history.first().is_some_and(|first| last >= first) {
        match history.at_or_before(last) {
            Some(found) if found == last || is_begin_of_epoch => Plan::Diff { after: found },
            // It comes from another epoch than what follows here: a cut might not find its place.
            _ => Plan::Snap,
        }
    } else if last == history.base() {
        // Just what comes before memory's first.
        Plan::Diff { after: last }
    } else {
        let to = history.first().map_or(committed, |first| Zxid(first.0 - 1)).min(committed);
        Plan::Log { after: last, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::message::Proposal;

    const E: i64 = 1 << 32;

    #[track_caller]
    fn check(history: &[i64], committed: i64, last: i64, expected: Plan) {
        let of = |zxid: &i64| Proposal { zxid: Zxid(*zxid), payload: bytes::Bytes::new() };
        let end = Zxid(history.last().copied().unwrap_or(committed));
        let history = History::new(history.iter().map(of).collect(), end);
        assert_eq!(plan(&history, Zxid(committed), Zxid(4 * E), Zxid(last), false), expected);
    }

    #[test]
    fn each_learner_gets_what_it_needs() {
        let log = [E + 3, E + 4, 2 * E + 1, 2 * E + 2];
        let diff = |after| Plan::Diff { after: Zxid(after) };
        check(&log, 2 * E + 2, 2 * E + 2, diff(2 * E + 2));
        check(&log, 2 * E + 2, E + 4, diff(E + 4));
        check(&log, 2 * E + 2, 2 * E, diff(E + 4));
        check(&log, 2 * E + 1, 2 * E + 2, Plan::Trunc { to: Zxid(2 * E + 1) });
        check(&log, 2 * E + 2, 2 * E + 9, Plan::Trunc { to: Zxid(2 * E + 2) });
        check(&log, 2 * E + 2, 3 * E + 1, Plan::Snap);
        check(&[], 0, 4, Plan::Snap);
        check(&log, 2 * E + 2, E + 5, Plan::Snap);
        check(&log, 2 * E + 2, 3 * E, Plan::Snap);
        check(&log, 2 * E + 2, 4 * E, diff(2 * E + 2));
        check(&[], 0, 4 * E, diff(0));
        check(&log, 2 * E + 2, E + 1, Plan::Log { after: Zxid(E + 1), to: Zxid(E + 2) });
        check(&log, 2 * E + 2, E + 2, diff(E + 2));
        check(&log, 2 * E + 2, -1, Plan::Snap);
        check(&[], 7, 7, diff(7));
        check(&[], 7, 5, Plan::Log { after: Zxid(5), to: Zxid(7) });
        check(&[7], 6, 4, Plan::Log { after: Zxid(4), to: Zxid(6) });
        check(&[2 * E + 1], E + 4, E + 1, Plan::Log { after: Zxid(E + 1), to: Zxid(E + 4) });
        check(&[], 2 * E, 2 * E + 1, Plan::Snap);
        check(&log, 2 * E + 2, E + 3, diff(E + 3));
        check(&[1, 2], 2, 0, diff(0));
        check(&[], 0, 0, diff(0));
    }
}
