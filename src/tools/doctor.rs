//! Is a data directory healthy, what would a start do with it, and what to do if it would not start.
//! Reads everything a start reads, by the same code, and changes nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid};

use super::{Result, ToolError};
use crate::disk::{Disk, RealDisk, read_small};
use crate::snapshot::{self, CANDIDATES_MAX, FIELD_BYTES_MAX, SnapshotError, Visitor, candidates, load};
use crate::tree::{OwnerRules, Tree};
use crate::txnlog::{self, Entries, Gaps, inspect};

/// What was found out so far.
struct Report<'a> {
    out: &'a mut dyn Write,
    /// Why a start would refuse.
    refusals: Vec<String>,
    /// Why a member of an ensemble would; a server alone does not look at these files.
    member_refusals: Vec<String>,
    /// What is odd and keeps nobody from starting.
    remarks: usize,
}

impl Report<'_> {
    fn say(&mut self, line: &str) -> Result {
        Ok(writeln!(self.out, "{line}")?)
    }

    fn remark(&mut self, line: &str) -> Result {
        self.remarks += 1;
        Ok(writeln!(self.out, "  note: {line}")?)
    }
}

/// Examines `dataDir` and, when it is another, `dataLogDir`.
///
/// # Errors
/// The directory cannot be read, or a server would not start with it; all of the latter is in the
/// output already.
pub fn examine(data_dir: &Path, log_dir: Option<&Path>, out: &mut dyn Write) -> Result {
    let snapshots = version_2(data_dir);
    let logs = log_dir.map_or_else(|| snapshots.clone(), version_2);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut report = Report { out, refusals: Vec::new(), member_refusals: Vec::new(), remarks: 0 };
    in_use(&snapshots, &logs, &mut report)?;
    let base = loaded_snapshot(&*disk, &snapshots, &mut report)?;
    let has_logs = log_files(&*disk, &logs, &mut report)?;
    leftovers(&*disk, &snapshots, &logs, &mut report)?;
    report.say("What a start would do:")?;
    let is_marked = initialize(&*disk, data_dir, base.is_some(), &mut report)?;
    let last = match base {
        Some(tree) => replay(&disk, &logs, tree, &mut report)?,
        None if has_logs && report.refusals.is_empty() => {
            report.refusals.push(
                "there are logs but no usable snapshot. Restore the snapshots that belong to these logs. Only if \
                 the directory was written by 3.4 and never had a snapshot, start once with \
                 snapshot.trust.empty=true"
                    .to_owned(),
            );
            None
        }
        None => {
            if report.refusals.is_empty() {
                let unless = if is_marked { "" } else { ", unless zookeeper.db.autocreate is false" };
                report.say(&format!("  begin an empty database{unless}"))?;
            }
            None
        }
    };
    epochs(&*disk, &snapshots, last, &mut report)?;
    let Report { out, refusals, member_refusals, remarks } = report;
    if refusals.is_empty() && member_refusals.is_empty() {
        let notes = if remarks == 0 { String::new() } else { format!(", with {remarks} notes above") };
        writeln!(out, "Healthy{notes}: a server can start with this directory.")?;
        return Ok(());
    }
    for refusal in &refusals {
        writeln!(out, "  refuse: {refusal}")?;
    }
    for refusal in &member_refusals {
        writeln!(out, "  refuse as a member of an ensemble: {refusal}")?;
    }
    writeln!(out, "Make a copy of the whole directory before you change anything in it.")?;
    let who = if refusals.is_empty() { "a member of an ensemble" } else { "a server" };
    Err(ToolError::files(format!("{}: {who} would not start", data_dir.display())))
}

/// A running server holds the lock.
fn in_use(snapshots: &Path, logs: &Path, report: &mut Report<'_>) -> Result {
    let mut directories = vec![snapshots];
    directories.extend(Some(logs).filter(|logs| *logs != snapshots));
    for directory in directories {
        if let Some(holder) = RealDisk::holder(directory)? {
            report.refusals.push(format!(
                "{}: in use by {holder}. Stop it, or choose another directory; while it runs, what is said here \
                 is already out of date",
                directory.display()
            ));
        }
    }
    Ok(())
}

/// The mark that an empty database is right: whether it is there.
fn initialize(
    disk: &dyn Disk,
    data_dir: &Path,
    has_database: bool,
    report: &mut Report<'_>,
) -> std::result::Result<bool, ToolError> {
    let parent = if data_dir.ends_with("version-2") { data_dir.join("..") } else { data_dir.to_owned() };
    let path = parent.join("initialize");
    let is_marked = disk.list(&parent)?.iter().any(|name| name == "initialize");
    if is_marked {
        report.say(&format!("  remove {}", path.display()))?;
        if has_database {
            report.remark("that file says that an empty database is right, and there is one that is not")?;
        }
    }
    Ok(is_marked)
}

/// The directory itself may be named too.
fn version_2(directory: &Path) -> PathBuf {
    if directory.ends_with("version-2") { directory.to_owned() } else { directory.join("version-2") }
}

struct Loading(Tree);

impl Visitor for Loading {
    fn session(&mut self, _id: SessionId, _timeout_ms: i32) -> std::result::Result<(), String> {
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> std::result::Result<(), String> {
        self.0.load_acl(id, acl);
        Ok(())
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: StatPersisted,
    ) -> std::result::Result<(), String> {
        self.0.load_node(path, data, acl, &stat)
    }
}

/// Tries the snapshots, newest first, and returns the tree of the first that can be loaded.
fn loaded_snapshot(
    disk: &dyn Disk,
    directory: &Path,
    report: &mut Report<'_>,
) -> std::result::Result<Option<Tree>, ToolError> {
    report.say(&format!("Snapshots in {}:", directory.display()))?;
    let found = candidates(disk, directory, CANDIDATES_MAX)?;
    let named = disk.list(directory)?;
    let named = named.iter().filter(|name| snapshot::format::parse_name(name).is_some()).count();
    if named > found.len() {
        report.remark(&format!("{} files are too short or cut off, and passed over", named - found.len()))?;
    }
    let mut last_error: Option<SnapshotError> = None;
    for candidate in &found {
        let mut loading = Loading(Tree::for_loading(OwnerRules::default()));
        let loaded = load(disk, &candidate.path, FIELD_BYTES_MAX, &mut loading).and_then(|_| {
            let damaged =
                |problem| SnapshotError::Damaged { path: candidate.path.clone(), offset: 0, problem };
            loading.0.finish_loading(candidate.zxid).map_err(damaged)
        });
        match loaded {
            Ok(()) => {
                let (path, nodes) = (candidate.path.display(), loading.0.node_count());
                report
                    .say(&format!("  {path}: healthy, {nodes} nodes, at transaction {}", candidate.zxid))?;
                return Ok(Some(loading.0));
            }
            Err(error) => {
                report.remark(&format!("{error}; a start passes over it to an older one"))?;
                last_error = Some(error);
            }
        }
    }
    match last_error {
        None => report.say("  none")?,
        Some(error) => report.refusals.push(format!(
            "no snapshot can be loaded ({error}). Restore one from a copy; or, on a member of an ensemble, move \
             the data and log directories away and let the server fetch its state from the leader"
        )),
    }
    Ok(None)
}

/// Reads each log file by itself; whether there is any.
fn log_files(
    disk: &dyn Disk,
    directory: &Path,
    report: &mut Report<'_>,
) -> std::result::Result<bool, ToolError> {
    report.say(&format!("Logs in {}:", directory.display()))?;
    let mut files: Vec<_> = disk
        .list(directory)?
        .into_iter()
        .filter_map(|name| Some((txnlog::format::zxid_of(&name)?, name)))
        .collect();
    files.sort();
    if files.is_empty() {
        report.say("  none")?;
    }
    let newest = files.last().map(|(_, name)| name.clone());
    for (_, name) in &files {
        let path = directory.join(name);
        match inspect(disk, &path) {
            Ok(summary) => {
                let range = summary.range.map_or_else(
                    || "no transactions".to_owned(),
                    |(first, last)| format!("{first} to {last}"),
                );
                report.say(&format!("  {}: {} transactions, {range}", path.display(), summary.records))?;
                if let Some(torn) = summary.torn {
                    let (offset, problem) = (torn.offset, torn.problem);
                    let then = if newest.as_ref() == Some(name) {
                        "a start cuts it off; nothing that was acknowledged is in it"
                    } else {
                        "transactions of it may be missing"
                    };
                    report.remark(&format!("at offset {offset} an unfinished write ({problem}); {then}"))?;
                }
            }
            Err(error) => report.remark(&error.to_string())?,
        }
    }
    Ok(!files.is_empty())
}

/// Replays as a start does; the newest transaction.
fn replay(
    disk: &Arc<dyn Disk>,
    logs: &Path,
    mut tree: Tree,
    report: &mut Report<'_>,
) -> std::result::Result<Option<Zxid>, ToolError> {
    let after = tree.last_zxid();
    let mut count = 0_u64;
    let mut entries = Entries::open(Arc::clone(disk), logs, after, Gaps::Refuse)?;
    let refused = loop {
        match entries.next_frame().and_then(|frame| frame.map(|frame| frame.decode()).transpose()) {
            Ok(Some(entry)) => {
                tree.replay(entry);
                count += 1;
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let last = tree.last_zxid();
    report
        .say(&format!("  load the snapshot at {after}, replay {count} transactions, and stand at {last}"))?;
    if let Some(torn) = entries.torn_tail() {
        report.say(&format!("  cut {} off at offset {}", torn.path.display(), torn.offset))?;
    }
    if let Some(error) = refused {
        report.refusals.push(error.to_string());
        return Ok(None);
    }
    Ok(Some(last))
}

/// Files that an interrupted write left; a start removes or replaces them.
fn leftovers(disk: &dyn Disk, snapshots: &Path, logs: &Path, report: &mut Report<'_>) -> Result {
    let mut directories = vec![snapshots];
    directories.extend(Some(logs).filter(|logs| *logs != snapshots));
    for directory in directories {
        let names = disk.list(directory)?;
        let is_left =
            |name: &&String| name.starts_with("tmp.") || name.ends_with(".tmp") || *name == "spare.log";
        for name in names.iter().filter(is_left) {
            report.remark(&format!("{name} is left over from an earlier process; it does no harm"))?;
        }
        let foreign: Vec<_> = names
            .iter()
            .filter(|name| {
                let is_log = txnlog::format::zxid_of(name).is_some();
                let is_snapshot = snapshot::format::parse_name(name).is_some();
                snapshots != logs
                    && ((directory == logs && is_snapshot) || (directory == snapshots && is_log))
            })
            .collect();
        if let Some(name) = foreign.first() {
            report.refusals.push(format!(
                "{}: {name} belongs into the other directory. Move it there, or make dataDir and dataLogDir the \
                 same",
                directory.display()
            ));
        }
    }
    Ok(())
}

/// The epoch files against each other and the newest transaction, as a member of an ensemble takes them
/// (reference: `QuorumPeer.loadDataBase`).
fn epochs(disk: &dyn Disk, directory: &Path, last: Option<Zxid>, report: &mut Report<'_>) -> Result {
    let logged = last.map_or(0, |last| i64::from(last.epoch()));
    let current = epoch_in(disk, directory, "currentEpoch")?;
    let accepted = epoch_in(disk, directory, "acceptedEpoch")?;
    if current == Epoch::Missing && accepted == Epoch::Missing {
        return Ok(());
    }
    let mut taken = |epoch, name: &str| match epoch {
        Epoch::Is(epoch) => Ok(Some(epoch)),
        Epoch::Missing => {
            report
                .remark(&format!("{name} is missing; a member takes {logged}, of the newest transaction"))?;
            Ok(Some(logged))
        }
        Epoch::Garbled(text) => {
            report.member_refusals.push(format!(
                "{}: reads {text:?} and must be a number. Write {logged}, the epoch of the newest transaction, \
                 into it, or remove it",
                directory.join(name).display()
            ));
            Ok::<_, ToolError>(None)
        }
    };
    let (current, accepted) = (taken(current, "currentEpoch")?, taken(accepted, "acceptedEpoch")?);
    let Some(mut current) = current else { return Ok(()) };
    if logged > current {
        // An interrupted start leaves the next one beside it.
        match epoch_in(disk, directory, "currentEpoch.tmp")? {
            Epoch::Is(next) => current = next,
            _ => report.member_refusals.push(format!(
                "the newest transaction is of epoch {logged}, but currentEpoch is {current}. If both are from the \
                 same server, write {logged} into currentEpoch and acceptedEpoch"
            )),
        }
    }
    report.say(&format!("  as a member of an ensemble, continue in epoch {current}"))?;
    if accepted.is_some_and(|accepted| accepted < current) {
        report.member_refusals.push(format!(
            "acceptedEpoch is below currentEpoch {current}. Write {current} into acceptedEpoch"
        ));
    }
    Ok(())
}

/// What an epoch file holds.
#[derive(Debug, PartialEq, Eq)]
enum Epoch {
    Missing,
    Is(i64),
    /// No number; empty, perhaps.
    Garbled(String),
}

fn epoch_in(disk: &dyn Disk, directory: &Path, name: &str) -> std::result::Result<Epoch, ToolError> {
    let Some(bytes) = read_small(disk, &directory.join(name), 100)? else { return Ok(Epoch::Missing) };
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok(text.parse().map_or(Epoch::Garbled(text), Epoch::Is))
}
