//! Who is in the ensemble, as far as agreement is concerned, and what a quorum is.
//! Reference: `QuorumMaj`, `QuorumHierarchical`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::ids::Sid;

/// A configuration; by default one without servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Who votes.
    pub voters: BTreeSet<Sid>,
    /// Who only follows.
    pub observers: BTreeSet<Sid>,
    /// What a quorum is.
    pub quorum: Quorum,
    /// The zxid of the reconfiguration that made it; 0 for one that was only read from a file.
    pub version: i64,
    /// As text: what others are sent, and the configuration node shows.
    pub text: Bytes,
}

/// When enough servers agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Quorum {
    /// More than half of the voters.
    #[default]
    Majority,
    /// More than half of the groups, of each more than half of its weight.
    Hierarchical {
        /// The group of each voter.
        groups: BTreeMap<Sid, i64>,
        /// What each weighs; 1 where nothing is said.
        weights: BTreeMap<Sid, i64>,
    },
}

impl Members {
    /// Whether the server votes.
    #[must_use]
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.voters.contains(&sid)
    }

    /// Whether the server may be elected: one of weight 0 may not.
    #[must_use]
    pub fn has_weight(&self, sid: Sid) -> bool {
        match &self.quorum {
            Quorum::Majority => true,
            Quorum::Hierarchical { weights, .. } => weights.get(&sid).copied().unwrap_or(1) != 0,
        }
    }

    /// Whether these servers are enough. Who does not vote does not count.
    #[must_use]
    pub fn is_quorum(&self, agreeing: &BTreeSet<Sid>) -> bool {
        match &self.quorum {
            Quorum::Majority => agreeing.intersection(&self.voters).count() > self.voters.len() / 2,
            Quorum::Hierarchical { groups, weights } => {
                let weight = |sid: &Sid| weights.get(sid).copied().unwrap_or(1);
                let mut totals: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
                for (sid, group) in groups.iter().filter(|(sid, _)| self.voters.contains(sid)) {
                    let (total, agreed) = totals.entry(*group).or_default();
                    *total = total.saturating_add(weight(sid));
                    if agreeing.contains(sid) {
                        *agreed = agreed.saturating_add(weight(sid));
                    }
                }
                let counting = totals.values().filter(|(total, _)| *total > 0);
                let won = counting.clone().filter(|(total, agreed)| *agreed > total / 2).count();
                won > counting.count() / 2
            }
        }
    }

    /// The highest value that a quorum has reached. `reached` says how far each has come; whoever is missing has
    /// reached nothing.
    #[must_use]
    pub fn reached_by_quorum<T: Ord + Copy>(&self, reached: &BTreeMap<Sid, T>) -> Option<T> {
        let mut values: Vec<T> = reached.values().copied().collect();
        values.sort_unstable_by(|one, other| other.cmp(one));
        values.into_iter().find(|value| {
            let at_least = reached.iter().filter(|(_, reached)| *reached >= value);
            self.is_quorum(&at_least.map(|(sid, _)| *sid).collect())
        })
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// So many voters, numbered from 1.
    pub(in super::super) fn voters(count: Sid) -> Members {
        Members {
            voters: (1..=count).collect(),
            observers: BTreeSet::new(),
            quorum: Quorum::Majority,
            version: 0,
            text: Bytes::from_static(b"version=0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_not_a_majority() {
        let members = testing::voters(4);
        assert!(!members.is_quorum(&[1, 2].into()));
        assert!(!members.is_quorum(&[1, 2, 7, 8].into()), "strangers do not count");
        assert!(members.is_quorum(&[1, 2, 4].into()));
    }

    #[test]
    fn groups_are_won_by_weight_and_quorums_by_groups() {
        let quorum = Quorum::Hierarchical {
            groups: (1..=9).map(|sid| (sid, (sid - 1) / 3)).collect(),
            weights: [(7, 0), (8, 0), (9, 0)].into(),
        };
        let members = Members { quorum, ..testing::voters(9) };
        assert!(members.is_quorum(&[1, 2, 4, 5].into()), "the third group weighs nothing");
        assert!(!members.is_quorum(&[1, 2, 3, 4, 7, 8, 9].into()));
        assert!(!members.has_weight(8));
    }

    #[test]
    fn a_group_of_one_server_counts_and_one_without_voters_does_not() {
        let quorum = Quorum::Hierarchical {
            groups: [(1, 1), (2, 2), (3, 3), (8, 4), (9, 5)].into(),
            weights: [].into(),
        };
        let members = Members { quorum, ..testing::voters(3) };
        assert!(members.is_quorum(&[1, 3].into()));
        assert!(!members.is_quorum(&[1].into()));
        assert!(!members.is_quorum(&[1, 8, 9].into()), "they do not vote");
        assert!(members.has_weight(1), "what nothing is said of weighs 1");
    }

    #[test]
    fn half_the_weight_does_not_win_a_group() {
        let quorum = Quorum::Hierarchical { groups: [(1, 0), (2, 0)].into(), weights: [(2, 3)].into() };
        let members = Members { quorum, ..testing::voters(2) };
        assert!(!members.is_quorum(&[1].into()));
        assert!(members.is_quorum(&[2].into()));
        let quorum = Quorum::Hierarchical { groups: [(1, 0), (2, 0)].into(), weights: [].into() };
        assert!(!Members { quorum, ..testing::voters(2) }.is_quorum(&[2].into()));
        let quorum = Quorum::Hierarchical { groups: [(1, 0), (2, 0)].into(), weights: [(2, 2)].into() };
        assert!(Members { quorum, ..testing::voters(2) }.is_quorum(&[2].into()), "two of three");
        let quorum = Quorum::Hierarchical { groups: [(1, 0), (2, 1)].into(), weights: [(2, 0)].into() };
        assert!(
            Members { quorum, ..testing::voters(2) }.is_quorum(&[1].into()),
            "the only group that counts"
        );
    }

    #[test]
    fn what_a_quorum_has_reached_is_what_more_than_half_have() {
        let members = testing::voters(3);
        assert_eq!(members.reached_by_quorum(&[(1, 9)].into()), None);
        assert_eq!(members.reached_by_quorum(&[(1, 9), (2, 4), (3, 7)].into()), Some(7));
        assert_eq!(members.reached_by_quorum(&[(1, 9), (2, 4), (5, 9)].into()), Some(4));
    }
}
