//! Files that a start removes: once it has gone on, no power cut brings them back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::Zxid;

use super::check::disk_of;
use super::crash::{Fresh, after, choices};
use super::disk::{Plan, SimDisk};
use super::storage_script::{DATA, Setup, Storage};
use crate::disk::Disk;
use crate::store::{Directories, Health, Options, read, recover, remove_initialize};
use crate::txnlog::{self, Io, Log};

const HOME: &str = "/data";

/// A database must not be begun without the file `initialize`.
fn strict() -> Options {
    let home = PathBuf::from(HOME);
    Options { create_database: false, ..Options::new(home.clone(), home) }
}

fn disk_with(leftovers: &[&str]) -> SimDisk {
    let disk = SimDisk::with(&[Path::new(HOME), Path::new(DATA)]);
    for path in leftovers.iter().map(Path::new) {
        disk.create(path).unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    disk
}

fn check_gone(disk: &SimDisk, path: &str) {
    for choice in choices(disk, Fresh::Recycled, 4) {
        let image = after(disk, Fresh::Recycled, choice);
        assert!(image.open_read(Path::new(path)).is_err(), "{choice:?}: {path} is there again");
    }
}

#[test]
fn what_a_start_removed_does_not_come_back() {
    let (initialize, unfinished, spare) =
        ("/data/initialize", "/data/version-2/tmp.snapshot.5", "/data/version-2/spare.log");
    let disk = disk_with(&[initialize, unfinished, spare]);
    let (shared, options) = (disk_of(&disk), strict());
    let directories = Directories::open(&shared, &options).unwrap();
    recover(&shared, &directories, &options, &mut |_| {}).unwrap();
    check_gone(&disk, unfinished);
    remove_initialize(&disk, &directories).unwrap();
    check_gone(&disk, initialize);
    let log = txnlog::Options::new(directories.logs.clone());
    let log = Log::open(Arc::clone(&shared), log, Zxid::ZERO).unwrap();
    check_gone(&disk, spare);
    log.spare().prepare().unwrap();
    disk.sync_dir(Path::new(DATA)).unwrap();
    log.close().unwrap();
    check_gone(&disk, spare);
}

/// The file once went before the first snapshot was there: a crash in between left a directory that no
/// server would begin with.
#[test]
fn a_power_cut_while_a_database_begins_needs_no_human() {
    let begin = |stop_at| {
        let disk = disk_with(&["/data/initialize"]);
        disk.set_plan(Plan { stop_at, ..Plan::default() });
        let mut storage = Storage::new(&disk, Setup::new(Io::Mapped));
        let began = storage.run(&[]);
        (disk, began)
    };
    let (whole, began) = begin(None);
    began.unwrap();
    check_gone(&whole, "/data/initialize");
    for stop_at in 0..=whole.effects() {
        let (disk, _stopped) = begin(Some(stop_at));
        for choice in choices(&disk, Fresh::Recycled, 4) {
            let image = disk_of(&after(&disk, Fresh::Recycled, choice));
            let found = read(&image, &Directories::named(&strict()), &strict(), &mut |_| {}).unwrap();
            assert_eq!(found.health, Health::Whole, "cut at effect {stop_at}, {choice:?}");
        }
    }
}
