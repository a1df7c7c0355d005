//! Calls that a faulty storage would forget: each must be noticed by the power cuts. Faults of the code itself
//! are in `compat-tests/faults.toml`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::check::{Checker, Depth};
use super::crash::Fresh;
use super::crash_test::{BATCHES, PURGE, ROLLS, SNAPSHOT_WHILE_APPENDING, TRUNCATE};
use super::disk::Forgotten::{self, Remove, SetLength, Sync, SyncDirectory, Write};
use super::storage_script::{DATA, LOG, Setup, Step};
use crate::txnlog::Io;

/// Enough to notice; the faults are not subtle.
const DEPTH: Depth = Depth { random: 4, deep_every: 4, killed_every: 1 };

struct Fault {
    what: &'static str,
    script: &'static [Step],
    forgotten: &'static [Forgotten],
    adjust: fn(&mut Setup),
}

const fn forgets(what: &'static str, script: &'static [Step], forgotten: &'static [Forgotten]) -> Fault {
    Fault { what, script, forgotten, adjust: |_| {} }
}

/// Tries the script in both modes; what the checker says of the fault, if it says anything.
fn noticed(fault: &Fault) -> Option<String> {
    [Io::Mapped, Io::Plain].into_iter().find_map(|io| {
        let mut setup = Setup::new(io);
        (fault.adjust)(&mut setup);
        let mut checker = Checker::new(setup, Fresh::Recycled, DEPTH).forgetting(fault.forgotten);
        let checked = catch_unwind(AssertUnwindSafe(|| checker.every_cut(fault.script)));
        match checked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some("an assertion of the storage itself failed".to_owned()),
        }
    })
}

const SPLIT: fn(&mut Setup) = |setup| setup.split = true;

#[test]
fn every_fault_put_in_on_purpose_is_noticed() {
    let faults = [
        Fault {
            what: "acknowledges when it is appended",
            adjust: |setup| setup.acknowledges_early = true,
            ..forgets("", BATCHES, &[])
        },
        forgets("does not sync the log", BATCHES, &[Sync("log."), Sync("spare.log")]),
        Fault { adjust: SPLIT, ..forgets("does not sync the log's directory", ROLLS, &[SyncDirectory(LOG)]) },
        Fault {
            adjust: SPLIT,
            ..forgets("does not sync the snapshots' directory", PURGE, &[SyncDirectory(DATA)])
        },
        Fault {
            adjust: SPLIT,
            ..forgets(
                "renames a snapshot that is not synced",
                SNAPSHOT_WHILE_APPENDING,
                &[Sync("tmp.snapshot")],
            )
        },
        forgets("takes a short write to the log for a whole one", BATCHES, &[Write("log.")]),
        forgets("takes a short write to a snapshot for a whole one", PURGE, &[Write("tmp.snapshot")]),
        forgets("does not cut the tail", TRUNCATE, &[SetLength("log.")]),
        forgets("leaves a log without records in place", ROLLS, &[Remove("log.")]),
        Fault {
            what: "truncates and keeps newer snapshots",
            adjust: |setup| setup.keeps_newer_snapshots = true,
            ..forgets("", TRUNCATE, &[])
        },
        forgets("truncates and leaves the mark", TRUNCATE, &[Remove("oxkeeper.durable")]),
        forgets("writes the epoch in place of a synced copy", BATCHES, &[Sync("currentEpoch")]),
    ];
    let mut missed = Vec::new();
    for fault in &faults {
        match noticed(fault) {
            Some(how) => println!("{}: {}", fault.what, how.lines().next().unwrap_or_default()),
            None => missed.push(fault.what),
        }
    }
    println!("{} faults, {} missed", faults.len(), missed.len());
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
