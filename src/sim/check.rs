//! Every power cut of a script, and what must hold after each: the next start needs no human, has
//! everything that was promised and nothing that was not, and would say the same again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jute::Zxid;

use super::crash::{Fresh, after, choices, fingerprint};
use super::disk::{Forgotten, Plan, SimDisk};
use super::model::{self, Model};
use super::storage_script::{DATA, EPOCH, Promise, Setup, Step, Storage};
use crate::disk::{Disk, read_small};
use crate::snapshot::candidates;
use crate::store::testing::start;
use crate::tree::{OwnerRules, Tree};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Random subsets of what was not durable, for each power cut.
    pub(super) random: u64,
    /// One in so many images is also used on, and its recovery interrupted.
    pub(super) deep_every: u64,
    /// At one in so many changes the process dies and the machine does not.
    pub(super) killed_every: u64,
}

impl Depth {
    /// Whether the environment asks for the full form.
    pub(super) fn is_full() -> bool {
        std::env::var_os("OXKEEPER_CRASH_FULL").is_some()
    }

    /// The bounded form, or the full one if the environment asks for it.
    pub(super) fn chosen() -> Self {
        if Self::is_full() {
            Self { random: 32, deep_every: 1, killed_every: 1 }
        } else {
            Self { random: 4, deep_every: 12, killed_every: 3 }
        }
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) cuts: u64,
    pub(super) images: u64,
    /// Images that differ from each other or in what was promised.
    pub(super) distinct: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.images += other.images;
        self.distinct += other.distinct;
    }
}

pub(super) struct Checker {
    setup: Setup,
    fresh: Fresh,
    depth: Depth,
    forgotten: Vec<Forgotten>,
    pub(super) counts: Counts,
    seen: HashMap<Seen, Outcome>,
    trees: HashMap<(usize, Zxid), Arc<(Model, u64)>>,
}

type Done = Result<(), String>;

/// An image and what was promised: floor, length and end of the history, epochs.
type Seen = (u64, usize, usize, Zxid, (u8, u8));

/// What a start gave.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    transactions: usize,
    epoch: u8,
}

impl Checker {
    pub(super) fn new(setup: Setup, fresh: Fresh, depth: Depth) -> Self {
        let (counts, seen, trees) = (Counts::default(), HashMap::new(), HashMap::new());
        Self { setup, fresh, depth, forgotten: Vec::new(), counts, seen, trees }
    }

    /// Leaves these calls out, as a faulty program would.
    pub(super) fn forgetting(mut self, forgotten: &[Forgotten]) -> Self {
        self.forgotten = forgotten.to_vec();
        self
    }

    fn storage(&self, stop_at: Option<u64>) -> (SimDisk, Storage) {
        let disk = SimDisk::with(&[Path::new(DATA), Path::new(self.setup.log_directory())]);
        disk.set_plan(Plan { stop_at, forgotten: self.forgotten.clone(), ..Plan::default() });
        let storage = Storage::new(&disk, self.setup);
        (disk, storage)
    }

    /// Cuts the power instead of every change of the script, and once after the last.
    pub(super) fn every_cut(&mut self, script: &[Step]) -> Done {
        let (disk, mut storage) = self.storage(None);
        storage.run(script).map_err(|error| format!("without any fault: {error}"))?;
        for stop_at in 0..=disk.effects() {
            let (disk, mut storage) = self.storage(Some(stop_at));
            let ran = storage.run(script);
            if let Err(error) = ran
                && !disk.is_stopped()
            {
                return Err(format!("before the power cut at effect {stop_at}: {error}"));
            }
            let promise = std::mem::take(&mut storage.promise);
            drop(storage);
            self.power_cut(&disk, &promise)
                .map_err(|error| format!("power cut at effect {stop_at}: {error}"))?;
            if !stop_at.is_multiple_of(self.depth.killed_every) {
                continue;
            }
            self.killed(&disk, &promise).map_err(|error| format!("killed at effect {stop_at}: {error}"))?;
        }
        Ok(())
    }

    /// Every image this disk may leave.
    pub(super) fn power_cut(&mut self, disk: &SimDisk, promise: &Promise) -> Done {
        self.counts.cuts += 1;
        for choice in choices(disk, self.fresh, self.depth.random) {
            let image = after(disk, self.fresh, choice);
            self.image(&image, promise).map_err(|error| format!("{choice:?}: {error}"))?;
        }
        Ok(())
    }

    /// A start from a disk of which everything is durable. What it gives depends on nothing else.
    fn start_after_cut(&mut self, image: &SimDisk, promise: &Promise) -> Result<(Outcome, bool), String> {
        self.counts.images += 1;
        let last = promise.history.last().map_or(Zxid::ZERO, |entry| entry.header.zxid);
        let key = (fingerprint(image), promise.floor, promise.history.len(), last, promise.epochs);
        if let Some(outcome) = self.seen.get(&key) {
            return Ok((*outcome, false));
        }
        self.counts.distinct += 1;
        let used = image.after_kill();
        let outcome = self.start(&used, promise)?;
        self.again(&used, promise, &outcome, "a second start")?;
        self.seen.insert(key, outcome);
        Ok((outcome, true))
    }

    fn image(&mut self, image: &SimDisk, promise: &Promise) -> Done {
        let (outcome, is_new) = self.start_after_cut(image, promise)?;
        if !is_new || !fingerprint(image).is_multiple_of(self.depth.deep_every) {
            return Ok(());
        }
        let used = image.after_kill();
        self.start(&used, promise)?;
        let effects = used.effects();
        self.older_snapshots(&used, promise, &outcome)?;
        for stop_at in 0..=effects {
            let interrupted = image.after_kill();
            let forgotten = self.forgotten.clone();
            interrupted.set_plan(Plan { stop_at: Some(stop_at), forgotten, ..Plan::default() });
            let _stopped = start(&disk_of(&interrupted));
            for choice in choices(&interrupted, self.fresh, self.depth.random) {
                let left = after(&interrupted, self.fresh, choice);
                let cut = self.start_after_cut(&left, promise);
                let (again, _) =
                    cut.map_err(|error| format!("a start cut at effect {stop_at}, {choice:?}: {error}"))?;
                if again != outcome {
                    return Err(format!("a cut start, then {again:?}, and before {outcome:?}"));
                }
            }
        }
        self.go_on(&image.after_kill(), promise)
    }

    /// Each snapshot that is kept must do, with the logs that are kept, should the newer ones be damaged.
    fn older_snapshots(&mut self, disk: &SimDisk, promise: &Promise, outcome: &Outcome) -> Done {
        let disk = disk.after_kill();
        loop {
            let found = candidates(&disk, Path::new(DATA), usize::MAX).map_err(|error| error.to_string())?;
            let [newest, _, ..] = found.as_slice() else { return Ok(()) };
            disk.remove(&newest.path).map_err(|error| error.to_string())?;
            self.again(&disk, promise, outcome, "a start with an older snapshot")?;
        }
    }

    /// The process died, the machine did not: what the next one reads and builds on must not vanish.
    fn killed(&mut self, disk: &SimDisk, promise: &Promise) -> Done {
        self.go_on(&disk.after_kill(), promise)
    }

    /// Starts, writes on, and loses the power.
    fn go_on(&mut self, disk: &SimDisk, promise: &Promise) -> Done {
        let mut storage = Storage::new(disk, self.setup);
        storage.promise = promise.clone();
        let script = [Step::Append(1), Step::Sync, Step::Append(2), Step::Sync, Step::Append(1)];
        storage.run(&script).map_err(|error| format!("going on: {error}"))?;
        let promise = std::mem::take(&mut storage.promise);
        drop(storage);
        for choice in choices(disk, self.fresh, 1) {
            let left = after(disk, self.fresh, choice);
            self.start_after_cut(&left, &promise)
                .map_err(|error| format!("going on, then {choice:?}: {error}"))?;
        }
        Ok(())
    }

    fn again(&mut self, disk: &SimDisk, promise: &Promise, outcome: &Outcome, what: &str) -> Done {
        let again = self.start(disk, promise).map_err(|error| format!("{what}: {error}"))?;
        if again == *outcome { Ok(()) } else { Err(format!("{what}: {again:?} and before {outcome:?}")) }
    }

    /// A start as the server does it, and its judgement.
    fn start(&mut self, disk: &SimDisk, promise: &Promise) -> Result<Outcome, String> {
        let (tree, sessions, _) = start(&disk_of(disk)).map_err(|error| format!("no start: {error}"))?;
        let last = tree.last_zxid();
        let known = promise.history.iter().position(|entry| entry.header.zxid == last);
        let transactions = match known {
            Some(index) => index + 1,
            None if last == Zxid::ZERO => 0,
            None => return Err(format!("transaction {last} is in the tree and was never appended")),
        };
        if transactions < promise.floor {
            return Err(format!("{transactions} transactions, but {} were acknowledged", promise.floor));
        }
        let model = self.trees.entry((transactions, last)).or_insert_with(|| {
            let history = &promise.history[..transactions];
            let mut plain = Tree::new(OwnerRules::default());
            history.iter().cloned().for_each(|entry| plain.replay(entry));
            Arc::new((model::replay(history), plain.digest()))
        });
        let (expected, digest) = &**model;
        let found = Model::of(&tree, &sessions);
        if found != *expected {
            return Err(format!("the tree at {last} is wrong: {}", difference(&found, expected)));
        }
        if tree.digest() != *digest {
            return Err(format!("the digest at {last} is wrong"));
        }
        let epoch = read_small(disk, &Path::new(DATA).join(EPOCH), 100).map_err(|error| error.to_string())?;
        let epoch = match epoch.as_deref() {
            None => 0,
            Some([epoch]) => *epoch,
            Some(bytes) => return Err(format!("the epoch file reads {bytes:?}")),
        };
        if epoch != promise.epochs.0 && epoch != promise.epochs.1 {
            return Err(format!("epoch {epoch} and not one of {:?}", promise.epochs));
        }
        Ok(Outcome { transactions, epoch })
    }
}

pub(super) fn disk_of(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn difference(found: &Model, expected: &Model) -> String {
    if found.sessions != expected.sessions {
        return format!("sessions {:?} and not {:?}", found.sessions, expected.sessions);
    }
    let paths = found.nodes.keys().chain(expected.nodes.keys());
    let differing = paths.filter(|path| found.nodes.get(*path) != expected.nodes.get(*path));
    let described = differing
        .take(1)
        .map(|path| format!("{path:?}: {:?} and not {:?}", found.nodes.get(path), expected.nodes.get(path)));
    described.collect()
}

/// For counts in words.
pub(super) fn say(what: &str, choices: Counts) {
    println!(
        "{what}: {} power cuts, {} crash images, {} of them distinct",
        choices.cuts, choices.images, choices.distinct
    );
}
