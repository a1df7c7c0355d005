//! What a server did before the conversation begins: transactions of several epochs, snapshots, epochs; from a seed.

use std::collections::BTreeMap;

use crate::acknowledged::Random;
use crate::peer::Tree;
use crate::peer::tree::{Change, Txn};

const SESSION: i64 = 0x0100_0000_0000_0001;
/// In 2023; a transaction every millisecond.
const TIME: i64 = 1_700_000_000_000;
/// The committed log in memory holds so many, whatever is configured.
const MEMORY: u64 = 500;
/// One history in so many is longer than that.
const LONG_EVERY: u64 = 12;
/// Sessions of a history live longer than its conversation.
const TIMEOUT_MS: i32 = 60_000;

/// A server's past.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All transactions, the oldest first.
    pub txns: Vec<Txn>,
    /// Places in `txns` where a log file begins; the first is where the oldest log left begins.
    pub files: Vec<usize>,
    /// Trees by the zxid of their snapshot.
    pub snapshots: BTreeMap<i64, Tree>,
    /// The epoch it has accepted.
    pub accepted: i64,
    /// The epoch it is in.
    pub current: i64,
    /// The tree after all transactions.
    pub tree: Tree,
}

impl History {
    /// The last transaction, 0 if there was none.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.txns.last().map_or(0, |txn| txn.zxid)
    }

    /// The transactions that its log files still have.
    #[must_use]
    pub fn logged(&self) -> &[Txn] {
        let first = self.files.first().copied().unwrap_or(0);
        &self.txns[first..]
    }

    /// Takes the last transaction away.
    pub fn lose_last(&mut self) {
        if let Some(gone) = self.txns.pop() {
            self.files.retain(|at| *at < self.txns.len());
            self.snapshots.retain(|zxid, _| *zxid < gone.zxid);
            if self.snapshots.is_empty() {
                // The only one was taken after it, so nothing of the past is left.
                *self = Self { snapshots: BTreeMap::from([(0, Tree::default())]), ..Self::default() };
            }
        }
    }

    /// From a seed.
    pub fn generate(random: &mut Random) -> Self {
        let mut tree = Tree::default();
        let mut snapshots = BTreeMap::from([(0, tree.clone())]);
        let mut writer = Writer { number: 0, has_session: false };
        let mut txns: Vec<Txn> = Vec::new();
        let mut files = vec![0];
        let mut epoch = 0;
        let epochs = random.below(5);
        let is_long = random.below(LONG_EVERY) == 0;
        for _ in 0..epochs {
            epoch += 1 + random.below(2) as i64;
            let most = if is_long { MEMORY } else { 12 };
            for counter in 1..=random.below(most) as i64 {
                let zxid = (epoch << 32) | counter;
                let rolls = random.below(if is_long { 150 } else { 7 }) == 0;
                if rolls && !txns.is_empty() {
                    if random.below(2) == 0 {
                        snapshots.insert(txns.last().map_or(0, |txn| txn.zxid), tree.clone());
                    }
                    if files.last() != Some(&txns.len()) {
                        files.push(txns.len());
                    }
                }
                txns.push(writer.write(&mut tree, random, zxid));
            }
        }
        let mut history = Self { txns, files, snapshots, accepted: 0, current: 0, tree };
        history.purge(random);
        // An epoch may have begun without a transaction, and one more may have been accepted only.
        history.current = (history.last() >> 32) + random.below(3) as i64 / 2;
        history.accepted = history.current + random.below(4) as i64 / 3;
        history
    }

    /// Takes the oldest snapshots and the logs before the oldest one left away, as purging does.
    fn purge(&mut self, random: &mut Random) {
        let zxids: Vec<i64> = self.snapshots.keys().copied().collect();
        let gone = random.below(zxids.len() as u64) as usize;
        for zxid in &zxids[..gone] {
            self.snapshots.remove(zxid);
        }
        let oldest = zxids[gone];
        let begins_before = |at: &usize| self.txns.get(*at).is_some_and(|txn| txn.zxid <= oldest);
        let first = self.files.iter().copied().rfind(begins_before).unwrap_or(0);
        self.files.retain(|at| *at >= first);
        if self.txns.is_empty() {
            self.files.clear();
        }
    }
}

/// Makes transactions that are possible.
#[derive(Clone, Debug)]
pub struct Writer {
    number: i64,
    has_session: bool,
}

impl Writer {
    /// Of transactions that follow on a history.
    #[must_use]
    pub fn after(history: &History) -> Self {
        let has_session = history.tree.sessions.contains_key(&SESSION);
        Self { number: history.txns.len() as i64, has_session }
    }

    /// The next transaction, carried out.
    pub fn write(&mut self, tree: &mut Tree, random: &mut Random, zxid: i64) -> Txn {
        self.number += 1;
        let change = self.choose(tree, random);
        match change {
            Change::CreateSession(_) => self.has_session = true,
            Change::CloseSession(_) => self.has_session = false,
            _ => {}
        }
        tree.change(SESSION, self.number as i32, zxid, TIME + self.number, &change)
    }

    fn choose(&self, tree: &Tree, random: &mut Random) -> Change {
        if !self.has_session {
            return Change::CreateSession(TIMEOUT_MS);
        }
        let paths = tree.paths();
        let data = vec![b'x'; random.below(40) as usize];
        let some = (!paths.is_empty()).then(|| paths[random.below(paths.len() as u64) as usize].clone());
        match (random.below(20), some) {
            (0, _) => Change::CloseSession(tree.owned_by(SESSION)),
            (1, _) => Change::Error(-101),
            (2..=4, Some(path)) if !tree.is_parent(&path) => Change::Delete(path),
            (5..=10, Some(path)) => Change::Set { path, data },
            (11..=13, Some(parent)) if !tree.is_ephemeral(&parent) && parent.matches('/').count() < 4 => {
                Change::Create { path: format!("{parent}/n{}", self.number), data, is_ephemeral: false }
            }
            (number, _) => {
                Change::Create { path: format!("/n{}", self.number), data, is_ephemeral: number % 5 == 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_in_order_and_have_a_snapshot_before_their_logs() {
        for seed in 1..200 {
            let history = History::generate(&mut Random::new(seed, 0));
            assert!(history.txns.windows(2).all(|pair| pair[0].zxid < pair[1].zxid));
            assert!(history.last() >> 32 <= history.current && history.current <= history.accepted);
            let oldest = history.snapshots.keys().next().copied().expect("a snapshot");
            let missing = history.txns.len() - history.logged().len();
            assert!(missing == 0 || history.txns[missing - 1].zxid <= oldest, "seed {seed}");
        }
    }
}
