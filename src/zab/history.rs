//! The newest transactions, committed or not, in memory: from here learners are brought up to date, and what was
//! proposed is applied once it is committed. Positions in it are zxids.

use std::collections::VecDeque;

use jute::Zxid;

use super::message::Proposal;

/// Transactions kept at least (reference: `ZKDatabase.DEFAULT_COMMIT_LOG_COUNT`).
const KEPT_MIN: usize = 500;
/// Bytes of transactions beyond which none is kept for a learner's sake.
const KEPT_BYTES: usize = 32 << 20;

/// A run of transactions without a gap.
#[derive(Debug)]
pub(super) struct History {
    /// The transaction before the first.
    base: Zxid,
    proposals: VecDeque<Proposal>,
    bytes: usize,
    /// So many are kept.
    kept: usize,
}

impl History {
    /// Ends with `tail`; `last` is the last transaction, also where the tail is empty.
    pub(super) fn new(tail: Vec<Proposal>, last: Zxid) -> Self {
        let mut history = Self { base: last, proposals: VecDeque::new(), bytes: 0, kept: KEPT_MIN };
        if let Some(first) = tail.first() {
            // Nobody can have asked for what comes before, but nobody is right who says that he has it.
            history.base = Zxid(first.zxid.0 - 1);
        }
        tail.into_iter().for_each(|proposal| history.push(proposal));
        debug_assert_eq!(history.last(), last);
        history
    }

    /// Keeps more (`commitLogCount`); less than the default is not accepted.
    pub(super) fn keeping(self, txns: usize) -> Self {
        Self { kept: txns.max(KEPT_MIN), ..self }
    }

    /// The last transaction.
    pub(super) fn last(&self) -> Zxid {
        self.proposals.back().map_or(self.base, |last| last.zxid)
    }

    /// The first transaction that is kept.
    pub(super) fn first(&self) -> Option<Zxid> {
        self.proposals.front().map(|first| first.zxid)
    }

    /// The transaction before the first.
    pub(super) const fn base(&self) -> Zxid {
        self.base
    }

    /// Adds one.
    ///
    /// # Panics
    /// It does not follow the last one. What peers say is checked before.
    pub(super) fn push(&mut self, proposal: Proposal) {
        let last = self.last();
        assert!(
            self.proposals.is_empty() || last.is_followed_by(proposal.zxid),
            "{} in a history that ends with {last}",
            proposal.zxid
        );
        self.bytes += proposal.payload.len();
        self.proposals.push_back(proposal);
    }

    /// Whether everything after this zxid is here.
    pub(super) fn reaches_back_to(&self, zxid: Zxid) -> bool {
        zxid >= self.base
    }

    /// The first one after this zxid; `None` too when that one is not here any more.
    pub(super) fn after(&self, zxid: Zxid) -> Option<&Proposal> {
        if !self.reaches_back_to(zxid) {
            return None;
        }
        self.proposals.get(self.position_after(zxid))
    }

    /// The last one at or before this zxid.
    pub(super) fn at_or_before(&self, zxid: Zxid) -> Option<Zxid> {
        let position = self.position_after(zxid).checked_sub(1)?;
        self.proposals.get(position).map(|proposal| proposal.zxid)
    }

    /// Those after one zxid up to another.
    pub(super) fn between(&self, after: Zxid, up_to: Zxid) -> impl Iterator<Item = &Proposal> {
        let proposals = self.proposals.iter().skip(self.position_after(after));
        proposals.take_while(move |proposal| proposal.zxid <= up_to)
    }

    /// How many have a zxid at or below this one.
    fn position_after(&self, zxid: Zxid) -> usize {
        // Within an epoch positions follow from numbers; a binary search is right in any case.
        let is_it = |proposal: &Proposal| proposal.zxid == zxid;
        let behind = self.last().0.checked_sub(zxid.0).and_then(|behind| usize::try_from(behind).ok());
        match behind {
            Some(behind) if self.proposals.iter().nth_back(behind).is_some_and(is_it) => {
                self.proposals.len() - behind
            }
            _ => self.proposals.partition_point(|proposal| proposal.zxid <= zxid),
        }
    }

    /// Forgets old ones: what is applied and nobody needs, and, where they take too much, what is applied.
    pub(super) fn trim(&mut self, needed: Zxid, applied: Zxid) {
        while let Some(first) = self.proposals.front().filter(|_| self.proposals.len() > self.kept) {
            let is_idle = self.proposals.len() > self.kept.saturating_mul(2) && first.zxid <= needed;
            let is_too_much = self.bytes > KEPT_BYTES && first.zxid <= applied;
            if !is_idle && !is_too_much {
                break;
            }
            let Some(first) = self.proposals.pop_front() else { break };
            self.bytes -= first.payload.len();
            self.base = first.zxid;
        }
    }

    /// What comes after this zxid never was.
    pub(super) fn cut(&mut self, zxid: Zxid) {
        while let Some(last) = self.proposals.pop_back_if(|last| last.zxid > zxid) {
            self.bytes -= last.payload.len();
        }
        if self.proposals.is_empty() {
            self.base = zxid;
        }
    }

    /// Goes on from a snapshot.
    pub(super) fn restart(&mut self, zxid: Zxid) {
        *self = Self::new(Vec::new(), zxid).keeping(self.kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(zxids: &[i64]) -> History {
        let of = |zxid: &i64| Proposal { zxid: Zxid(*zxid), payload: vec![0; 10].into() };
        History::new(zxids.iter().map(of).collect(), Zxid(zxids.last().copied().unwrap_or(0)))
    }

    const E: i64 = 1 << 32;

    #[test]
    fn positions_are_found_across_epochs() {
        let history = history(&[5, 6, 7, E + 1, E + 2, 3 * E + 1]);
        let after = |zxid| history.after(Zxid(zxid)).map(|found| found.zxid.0);
        assert_eq!(after(3), None, "4 is not here");
        assert_eq!(after(4), Some(5));
        assert_eq!(after(6), Some(7));
        assert_eq!(after(7), Some(E + 1));
        assert_eq!(after(9), Some(E + 1));
        assert_eq!(after(E), Some(E + 1));
        assert_eq!(after(E + 2), Some(3 * E + 1));
        assert_eq!(after(3 * E + 1), None);
        assert_eq!(history.at_or_before(Zxid(9)), Some(Zxid(7)));
        assert_eq!(history.at_or_before(Zxid(4)), None);
        let between: Vec<_> = history.between(Zxid(6), Zxid(E + 1)).map(|found| found.zxid.0).collect();
        assert_eq!(between, [7, E + 1]);
    }

    #[test]
    fn positions_are_found_whatever_is_asked_for() {
        let one_epoch = history(&[5, 6, 7]);
        let before = |zxid| one_epoch.at_or_before(Zxid(zxid)).map(|found| found.0);
        assert_eq!([3, 4, 5, 6, 7, 8].map(before), [None, None, Some(5), Some(6), Some(7), Some(7)]);
        assert_eq!([i64::MIN, -1, i64::MAX].map(before), [None, None, Some(7)]);
        let two_epochs = history(&[5, 6, 7, E + 1, E + 2]);
        let before = |zxid| two_epochs.at_or_before(Zxid(zxid)).map(|found| found.0);
        assert_eq!(
            [E - 1, E, E + 1].map(before),
            [Some(7), Some(7), Some(E + 1)],
            "as far back as 6 in number"
        );
        let empty = History::new(Vec::new(), Zxid(7));
        assert_eq!([6, 7, 8].map(|zxid| empty.at_or_before(Zxid(zxid))), [None; 3]);
    }

    #[test]
    fn what_is_cut_can_be_followed_by_another_epoch() {
        let mut history = history(&[5, 6, 7]);
        history.cut(Zxid(6));
        assert_eq!(history.last(), Zxid(6));
        history.push(Proposal { zxid: Zxid(E + 1), payload: bytes::Bytes::new() });
        assert_eq!(history.bytes, 20);
        history.cut(Zxid(2));
        assert_eq!((history.last(), history.first(), history.bytes), (Zxid(2), None, 0));
        assert!(history.reaches_back_to(Zxid(2)) && !history.reaches_back_to(Zxid(1)));
    }

    #[test]
    fn where_they_take_too_much_no_more_are_forgotten_than_must_be() {
        // So many of them are just as much as may be kept.
        let payload = bytes::Bytes::from(vec![0; 64 << 10]);
        let of = |zxid| Proposal { zxid: Zxid(zxid), payload: payload.clone() };
        let mut history = History::new((1..=1000).map(of).collect(), Zxid(1000));
        history.trim(Zxid(0), Zxid(100));
        assert_eq!(history.first(), Some(Zxid(101)), "what is not applied stays");
        history.trim(Zxid(0), Zxid(1000));
        let kept = (KEPT_BYTES / payload.len()) as i64;
        assert_eq!(history.first(), Some(Zxid(1001 - kept)));
        history.push(Proposal { zxid: Zxid(1001), payload: vec![0; payload.len() + 1].into() });
        history.trim(Zxid(0), Zxid(1001));
        assert_eq!(history.first(), Some(Zxid(1003 - kept)), "a byte too much takes another one along");
    }

    #[test]
    fn as_many_as_are_to_be_kept_stay_whatever_they_take() {
        let payload = bytes::Bytes::from(vec![0; 128 << 10]);
        let of = |zxid| Proposal { zxid: Zxid(zxid), payload: payload.clone() };
        let mut history = History::new((1..=502).map(of).collect(), Zxid(502));
        history.trim(Zxid(502), Zxid(502));
        assert_eq!(history.first(), Some(Zxid(3)));
    }

    #[test]
    fn old_ones_are_forgotten_unless_they_are_needed() {
        let mut history = history(&(1..=2000).collect::<Vec<_>>());
        history.trim(Zxid(100), Zxid(2000));
        assert_eq!(history.first(), Some(Zxid(101)));
        assert!(!history.reaches_back_to(Zxid(99)));
        history.trim(Zxid(2000), Zxid(2000));
        assert_eq!(history.first(), Some(Zxid(1001)));
    }

    #[test]
    fn as_many_are_kept_as_are_asked_for() {
        let mut history = history(&(1..=2000).collect::<Vec<_>>()).keeping(700);
        history.trim(Zxid(2000), Zxid(2000));
        assert_eq!(history.first(), Some(Zxid(601)));
        history.restart(Zxid(2000));
        (2001..=4000)
            .for_each(|zxid| history.push(Proposal { zxid: Zxid(zxid), payload: bytes::Bytes::new() }));
        history.trim(Zxid(4000), Zxid(4000));
        assert_eq!(history.first(), Some(Zxid(2601)), "also behind a snapshot");
    }
}
