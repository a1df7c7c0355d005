//! What a member asks of its disk, at once and by a thread.

use std::sync::Arc;
use std::time::Duration;

use jute::records::txn::{ErrorTxn, TxnHeader};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::inbox::Taken;
use super::log_port::{BEHIND_BYTES, Report};
use super::{Inbox, LogKeeper, LogPort, LogThread};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::logging::testing::logged_by;
use crate::metrics::Metrics;
use crate::snapshot::{Compression, Writer};
use crate::store::{Directories, Epoch, Epochs, Options, StoreError, recover_member};
use crate::tree::digest;
use crate::txnlog::{self, Io, Log};
use crate::zab::{Effect, Proposal, Ticket};

struct World {
    faults: FaultyDisk,
    disk: Arc<dyn Disk>,
    options: Options,
    directories: Arc<Directories>,
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    port: Option<LogPort>,
    asked: u64,
    reports: Vec<Report>,
    _held: tempfile::TempDir,
}

/// Done, or the cut was missing, by the ticket's number; or what else.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Done(u64),
    CutMissing(u64),
    Reloaded(Zxid),
    Full(bool),
    Failed,
}

/// A disk, a log on it, and the directory that goes with it.
pub(super) fn keeper() -> (FaultyDisk, LogKeeper, tempfile::TempDir) {
    let World { faults, port, _held, .. } = World::new(false);
    let Some(LogPort::Inline(inline)) = port else { panic!("it is inline") };
    (faults, inline.into_keeper(), _held)
}

impl World {
    fn new(is_threaded: bool) -> Self {
        Self::with(is_threaded, 1000)
    }

    /// A log that says that a sync was slow when it took longer than so many milliseconds.
    fn with(is_threaded: bool, fsync_warning_ms: u64) -> Self {
        let held = tempfile::tempdir().unwrap();
        let faults = FaultyDisk::default();
        let disk: Arc<dyn Disk> = Arc::new(faults.clone());
        let options = Options::new(held.path().to_owned(), held.path().to_owned());
        let directories = Arc::new(Directories::open(&disk, &options).unwrap());
        let mut first = Writer::create(&disk, &directories.snapshots, Zxid::ZERO, Compression::None).unwrap();
        first.begin(&[], &[(1, Vec::new())]).unwrap();
        first.node("", None, 1, &Default::default()).unwrap();
        first.finish(Some((Zxid::ZERO, digest::VERSION, 0)), None).unwrap();
        let log = txnlog::Options {
            prealloc_bytes: 0,
            io: Io::Plain,
            fsync_warning_ms,
            ..txnlog::Options::new(directories.logs.clone())
        };
        let log = Log::open(disk.clone(), log, Zxid::ZERO).unwrap();
        let metrics = Arc::new(Metrics::new());
        let keeper = LogKeeper::new(log, disk.clone(), directories.clone(), options.clone(), metrics.clone());
        let inbox = Arc::new(Inbox::default());
        let port = if is_threaded {
            LogPort::Threaded(LogThread::start(keeper, inbox.clone()).unwrap())
        } else {
            LogPort::inline(keeper)
        };
        let (asked, reports) = Default::default();
        Self {
            faults,
            disk,
            options,
            directories,
            inbox,
            metrics,
            port: Some(port),
            asked,
            reports,
            _held: held,
        }
    }

    fn port(&mut self) -> &mut LogPort {
        self.port.as_mut().unwrap()
    }

    fn append(&mut self, zxids: std::ops::RangeInclusive<i64>) {
        for zxid in zxids {
            let header = TxnHeader {
                client_id: SessionId(1),
                cxid: 1,
                zxid: Zxid(zxid),
                time: zxid,
                r#type: jute::OpCode::ERROR.0,
            };
            let mut payload = Vec::new();
            TxnEntry { header, body: TxnBody::Error(ErrorTxn { err: -1 }), digest: None }
                .encode(&mut payload);
            self.port().append(Proposal { zxid: Zxid(zxid), payload: payload.into() });
        }
    }

    /// Asks for something; returns its number.
    fn ask(&mut self, effect: Effect, applied: i64) -> u64 {
        self.asked += 1;
        let ticket = Ticket::for_test(self.asked, effect);
        self.port().persist(ticket, Zxid(applied), None);
        self.asked
    }

    fn sync(&mut self, up_to: i64) -> u64 {
        self.ask(Effect::Log { up_to: Zxid(up_to) }, 0)
    }

    /// The next so many reports.
    fn came(&mut self, count: usize) -> Vec<Came> {
        self.port().flush();
        for _ in 0..2000 {
            while let Some(report) = self.port().next_report() {
                self.reports.push(report);
            }
            let mut taken = Taken::default();
            if self.reports.len() < count {
                self.inbox.take(&mut taken, Duration::from_millis(5));
            }
            self.reports.append(&mut taken.disk);
            if self.reports.len() >= count {
                break;
            }
        }
        assert!(self.reports.len() >= count, "{:?} came and not {count}", self.reports);
        let came = |report| match report {
            Report::Done(ticket) => Came::Done(ticket.number()),
            Report::CutMissing(ticket) => Came::CutMissing(ticket.number()),
            Report::Reloaded(staged) => Came::Reloaded(staged.tree.last_zxid()),
            Report::Full(is_full) => Came::Full(is_full),
            Report::Failed => Came::Failed,
        };
        self.reports.drain(..count).map(came).collect()
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.port.take().unwrap().close()
    }

    /// The last transaction that a start finds, and the epochs.
    fn found(&self) -> (i64, u32, u32) {
        let member = recover_member(&self.disk, &self.directories, &self.options, &mut |_| {}).unwrap();
        (member.found.tree.last_zxid().0, member.epochs.accepted, member.epochs.current)
    }
}

fn in_both_ways(check: impl Fn(World)) {
    [false, true].into_iter().for_each(|is_threaded| check(World::new(is_threaded)));
}

#[test]
fn everything_is_done_and_reported_in_the_order_asked_for() {
    in_both_ways(|mut world| {
        world.append(1..=3);
        let logged = world.sync(3);
        let accepted = world.ask(Effect::Accepted { epoch: 4 }, 0);
        let current = world.ask(Effect::Current { epoch: 4 }, 0);
        world.append(4..=5);
        let more = world.sync(5);
        let came = world.came(4);
        assert_eq!(came, [logged, accepted, current, more].map(Came::Done));
        assert_eq!(Epochs::read(&*world.disk, &world.directories.snapshots).unwrap().accepted, Epoch::Is(4));
        world.close().unwrap();
        assert_eq!(world.found(), (5, 4, 4));
    });
}

#[test]
fn one_sync_serves_all_that_wait() {
    in_both_ways(|mut world| {
        world.append(1..=1);
        world.sync(1);
        world.came(1);
        let before = world.faults.syncs();
        for zxid in 2..=40 {
            world.append(zxid..=zxid);
            world.sync(zxid);
        }
        let came = world.came(39);
        assert_eq!(came, (2..=40).map(Came::Done).collect::<Vec<_>>());
        assert_eq!(world.faults.syncs() - before, 1);
        world.close().unwrap();
    });
}

#[test]
fn a_cut_below_the_tree_brings_the_tree_again_before_it_is_said_to_be_done() {
    in_both_ways(|mut world| {
        world.append(1..=6);
        world.sync(6);
        let cut = world.ask(Effect::Truncate { to: Zxid(4) }, 6);
        let again = world.ask(Effect::Truncate { to: Zxid(3) }, 3);
        let missing = world.ask(Effect::Truncate { to: Zxid(77) }, 3);
        let came = world.came(5);
        assert_eq!(
            came,
            [
                Came::Done(1),
                Came::Reloaded(Zxid(4)),
                Came::Done(cut),
                Came::Done(again),
                Came::CutMissing(missing)
            ]
        );
        world.append(4..=4);
        world.sync(4);
        world.came(1);
        world.close().unwrap();
        assert_eq!(world.found().0, 4);
    });
}

#[test]
fn while_the_disk_is_full_nothing_is_reported_as_done() {
    in_both_ways(|mut world| {
        world.append(1..=1);
        world.sync(1);
        world.came(1);
        world.faults.set_full(true);
        world.append(2..=40);
        let logged = world.sync(40);
        let accepted = world.ask(Effect::Accepted { epoch: 1 }, 0);
        assert_eq!(world.came(1), [Came::Full(true)]);
        let is_inline = matches!(world.port, Some(LogPort::Inline(_)));
        assert_eq!(world.port().is_behind(), is_inline, "a thread takes some more");
        world.faults.set_full(false);
        let mut came = world.came(3);
        came.sort_by_key(|came| matches!(came, Came::Full(_)));
        assert_eq!(came, [Came::Done(logged), Came::Done(accepted), Came::Full(false)]);
        world.append(41..=41);
        let more = world.sync(41);
        assert_eq!(world.came(1), [Came::Done(more)]);
        assert!(!world.port().is_behind(), "it goes on as before");
        world.close().unwrap();
        assert_eq!(world.found(), (41, 1, 0));
    });
}

#[test]
fn a_member_stops_also_while_the_disk_is_full() {
    let mut world = World::new(true);
    world.faults.set_full(true);
    world.append(1..=40);
    world.sync(40);
    world.close().unwrap();
    let mut taken = Taken::default();
    world.inbox.take(&mut taken, Duration::ZERO);
    assert!(matches!(taken.disk[..], [Report::Full(true)]), "it is said at once, and once: {:?}", taken.disk);
}

#[test]
fn a_failed_sync_is_the_end_and_says_why() {
    in_both_ways(|mut world| {
        world.append(1..=2);
        world.sync(2);
        world.came(1);
        world.faults.set_syncs_fail(true);
        world.append(3..=3);
        world.sync(3);
        assert_eq!(world.came(1), [Came::Failed]);
        world.faults.set_syncs_fail(false);
        world.append(4..=4);
        world.sync(4);
        let text = world.close().unwrap_err().to_string();
        assert!(text.contains("sync"), "{text}");
        assert!(world.reports.is_empty(), "nothing more was done");
    });
}

/// The log itself may be well.
#[test]
fn an_epoch_that_cannot_be_written_is_the_end() {
    in_both_ways(|mut world| {
        world.faults.set_syncs_fail(true);
        world.ask(Effect::Accepted { epoch: 1 }, 0);
        assert_eq!(world.came(1), [Came::Failed]);
        world.faults.set_syncs_fail(false);
        world.append(1..=1);
        world.sync(1);
        assert!(world.close().is_err());
        assert!(world.reports.is_empty(), "nothing more was done");
    });
}

#[test]
fn what_was_asked_for_is_done_before_the_log_is_closed() {
    let mut world = World::new(true);
    world.append(1..=300);
    world.sync(300);
    world.close().unwrap();
    assert_eq!(world.found().0, 300);
}

#[test]
fn what_nobody_asked_to_be_synced_is_durable_when_the_log_is_closed() {
    in_both_ways(|mut world| {
        world.append(1..=3);
        world.port().flush();
        world.close().unwrap();
        assert_eq!(world.found().0, 3);
    });
}

/// It decides when a snapshot is due.
#[test]
fn how_much_was_logged_since_the_log_was_rolled_is_known() {
    in_both_ways(|mut world| {
        // A thread tells by its next report at the latest.
        let log = |world: &mut World, first, last| {
            for zxid in [first..=last, last + 1..=last + 1] {
                world.append(zxid.clone());
                world.sync(*zxid.end());
                world.came(1);
            }
            world.port().bytes_since_roll()
        };
        let few = log(&mut world, 1, 2);
        let many = log(&mut world, 4, 100);
        assert!(many > few + 97 * 40, "{few} and {many} bytes");
        world.port().roll();
        assert!(log(&mut world, 102, 103) < many);
        world.close().unwrap();
    });
}

#[test]
fn an_observer_without_a_log_writes_only_epochs_and_cannot_be_cut() {
    let mut world = World::new(false);
    let Some(LogPort::Inline(inline)) = world.port.take() else { panic!("it is inline") };
    world.port = Some(LogPort::inline(inline.into_keeper().without_log()));
    world.append(1..=3);
    let logged = world.sync(3);
    let current = world.ask(Effect::Accepted { epoch: 2 }, 0);
    let cut = world.ask(Effect::Truncate { to: Zxid(2) }, 3);
    assert_eq!(world.came(3), [Came::Done(logged), Came::Done(current), Came::CutMissing(cut)]);
    world.close().unwrap();
    assert_eq!(world.found(), (0, 2, 0));
}

/// A sync that was broken off left transactions of an epoch whose begin is here: the reference would not open that.
#[test]
fn a_log_that_is_closed_leaves_the_epoch_of_what_is_in_it() {
    in_both_ways(|mut world| {
        world.append(1 << 32 | 1..=1 << 32 | 2);
        world.sync(1 << 32 | 2);
        world.ask(Effect::Accepted { epoch: 1 }, 0);
        world.came(2);
        let current =
            |world: &World| Epochs::read(&*world.disk, &world.directories.snapshots).unwrap().current;
        assert_eq!(current(&world), Epoch::Missing);
        world.close().unwrap();
        assert_eq!(current(&world), Epoch::Is(1));
    });
}

#[test]
fn what_is_in_the_log_waits_for_the_disk_no_more() {
    let mut world = World::new(true);
    let waiting = |world: &mut World| match world.port() {
        LogPort::Threaded(thread) => thread.waiting_bytes(),
        LogPort::Inline(_) => panic!("it has a thread"),
    };
    world.append(1..=3);
    let asked = waiting(&mut world);
    assert!(asked > 3 * 64, "{asked} bytes");
    world.sync(3);
    world.came(1);
    assert_eq!(waiting(&mut world), 0);
    world.append(4..=6);
    assert_eq!(waiting(&mut world), asked);
    world.sync(6);
    world.came(1);
    assert_eq!(waiting(&mut world), 0);
    world.close().unwrap();
}

#[test]
fn a_member_s_sync_that_takes_longer_than_the_threshold_is_warned_of() {
    let warned = |fsync_warning_ms| {
        let mut world = World::with(false, fsync_warning_ms);
        let (lines, came) = logged_by(|| {
            world.append(1..=1);
            world.sync(1);
            world.came(1)
        });
        assert_eq!(came, [Came::Done(1)]);
        lines.contains("took longer than fsync.warningthresholdms")
    };
    assert_eq!([warned(0), warned(u64::MAX)], [true, false]);
}

/// To the byte, whether the thread has it yet or not.
#[test]
fn so_many_bytes_may_wait_for_the_disk_before_no_more_are_taken() {
    for (payload_bytes, is_behind) in [(BEHIND_BYTES - 64, false), (BEHIND_BYTES - 63, true)] {
        let mut world = World::new(true);
        world.faults.set_full(true);
        world.port().append(Proposal { zxid: Zxid(1), payload: vec![0; payload_bytes].into() });
        assert_eq!(world.port().is_behind(), is_behind);
        assert_eq!(world.came(1), [Came::Full(true)]);
        assert_eq!(world.port().is_behind(), is_behind);
        world.close().unwrap();
    }
}

#[test]
fn the_transactions_that_a_sync_makes_durable_are_counted_once() {
    in_both_ways(|mut world| {
        world.append(1..=3);
        world.sync(3);
        world.came(1);
        world.sync(3);
        world.came(1);
        let metrics = world.metrics.clone();
        let batches = &metrics.sync_processor_batch_size;
        assert_eq!((batches.count(), batches.sum()), (1, 3), "nothing is no batch");
        world.append(4..=4);
        world.sync(4);
        world.came(1);
        assert_eq!((batches.count(), batches.sum()), (2, 4));
        assert_eq!(metrics.sync_processor_request_queued.value(), 4);
        assert_eq!(metrics.fsynctime.count(), 3);
        world.close().unwrap();
    });
}
