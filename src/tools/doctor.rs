//! Is a data directory healthy, what would a start do with it, and what to do if it would not start.
//! Reads what a start reads, by the code of a start (`store::read`), and changes nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::Zxid;

use super::{Result, ToolError};
use crate::disk::{Disk, RealDisk};
use crate::snapshot::{self, CANDIDATES_MAX, candidates};
use crate::store::{self, Directories, Epoch, Epochs, Found, Health, Options, Step, StoreError};
use crate::txnlog::{self, inspect};

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

/// The directory above `version-2`, should that have been named.
#[must_use]
pub fn home_of(directory: &Path) -> PathBuf {
    let home = directory.parent().filter(|_| directory.ends_with("version-2"));
    home.unwrap_or(directory).to_owned()
}

/// Examines the directories as a server with these options would read them.
///
/// # Errors
/// The directory cannot be read, or a server would not start with it; all of the latter is in the
/// output already.
pub fn examine(options: &Options, out: &mut dyn Write) -> Result {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let directories = Directories::named(options);
    let mut report = Report { out, refusals: Vec::new(), member_refusals: Vec::new(), remarks: 0 };
    in_use(&directories, &mut report)?;
    if let Err(refusal) = directories.refuse_mixed(&*disk) {
        report.refusals.push(refusal.to_string());
    }
    let found = snapshots(&disk, &directories, options, &mut report)?;
    log_files(&*disk, &directories.logs, &mut report)?;
    leftovers(&*disk, &directories, &mut report)?;
    report.say("What a start would do:")?;
    let found = match found {
        Ok(found) => Some(found),
        Err(refusal) => {
            report.refusals.push(refusal.to_string());
            None
        }
    };
    if let Some(found) = &found {
        start(found, &directories, &mut report)?;
    }
    let last = found.filter(|found| found.snapshot.is_some()).map(|found| found.tree.last_zxid());
    epochs(&*disk, &directories.snapshots, last, &mut report)?;
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
    Err(ToolError::files(format!("{}: {who} would not start", options.data_dir.display())))
}

/// A running server holds the lock.
fn in_use(directories: &Directories, report: &mut Report<'_>) -> Result {
    let mut locked = vec![&directories.snapshots];
    locked.extend(Some(&directories.logs).filter(|_| directories.are_two()));
    for directory in locked {
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

/// Reads the whole directory, and reports on its snapshots.
fn snapshots(
    disk: &Arc<dyn Disk>,
    directories: &Directories,
    options: &Options,
    report: &mut Report<'_>,
) -> std::result::Result<std::result::Result<Found, StoreError>, ToolError> {
    let directory = &directories.snapshots;
    report.say(&format!("Snapshots in {}:", directory.display()))?;
    let whole = candidates(&**disk, directory, CANDIDATES_MAX)?.len();
    let named = disk.list(directory)?;
    let named = named.iter().filter(|name| snapshot::format::parse_name(name).is_some()).count();
    if named > whole {
        report.remark(&format!("{} files are too short or cut off, and passed over", named - whole))?;
    }
    let mut told = Ok(());
    let mut differing = None;
    let found = store::read(disk, directories, options, &mut |step| {
        let telling = match step {
            Step::PassedOver(error) => {
                report.remark(&format!("{error}; a start passes over it to an older one"))
            }
            Step::Loaded(Some((path, zxid)), nodes) => {
                report.say(&format!("  {}: healthy, {nodes} nodes, at transaction {zxid}", path.display()))
            }
            Step::Loaded(None, _) => report.say("  none"),
            Step::DigestDiffers(zxid) => {
                differing.get_or_insert(zxid);
                Ok(())
            }
            Step::Loading(_) | Step::Replaying(_) => Ok(()),
        };
        if told.is_ok() {
            told = telling;
        }
    });
    told?;
    if let Some(zxid) = differing {
        report.remark(&format!("from transaction {zxid} on the tree differs from the digest in the log"))?;
    }
    Ok(found)
}

/// What a start does with a directory it can read.
fn start(found: &Found, directories: &Directories, report: &mut Report<'_>) -> Result {
    if found.health == Health::Empty {
        let (snapshots, initialize) = (directories.snapshots.clone(), directories.initialize());
        report.refusals.push(StoreError::NoDatabase { snapshots, initialize }.to_string());
        return Ok(());
    }
    let replayed = found.log.progress.entries;
    let last = found.tree.last_zxid();
    match found.snapshot {
        Some(zxid) => report.say(&format!(
            "  load the snapshot at {zxid}, replay {replayed} transactions, and stand at {last}"
        ))?,
        None if replayed > 0 => {
            report
                .say(&format!("  replay {replayed} transactions without a snapshot, and stand at {last}"))?;
        }
        None => report.say("  begin an empty database")?,
    }
    if found.is_marked_empty {
        report.say(&format!("  remove {}", directories.initialize().display()))?;
        if found.snapshot.is_some() {
            report.remark("that file says that an empty database is right, and there is one that is not")?;
        }
    }
    let mark = found.log.mark.map(|mark| mark.zxid);
    if let Some(mark) = mark {
        report.say(&format!(
            "  find everything up to transaction {mark}, which is known to have been durable"
        ))?;
    }
    if let Some(torn) = &found.log.torn {
        report.say(&format!("  cut off the end of the log: {}", torn.describe(found.log.last_zxid, mark)))?;
    }
    if let Some(path) = found.log.file_without_records() {
        report.say(&format!("  remove {}, which has no transaction", path.display()))?;
    }
    Ok(())
}

/// Reads each log file by itself.
fn log_files(disk: &dyn Disk, directory: &Path, report: &mut Report<'_>) -> Result {
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
                        "a start cuts it off, or refuses if it was durable"
                    } else {
                        "transactions of it may be missing"
                    };
                    report.remark(&format!("at offset {offset} an unfinished write ({problem}); {then}"))?;
                }
            }
            Err(error) => report.remark(&error.to_string())?,
        }
    }
    Ok(())
}

/// Files that an interrupted write left; a start removes or replaces them.
fn leftovers(disk: &dyn Disk, directories: &Directories, report: &mut Report<'_>) -> Result {
    let mut looked_into = vec![&directories.snapshots];
    looked_into.extend(Some(&directories.logs).filter(|_| directories.are_two()));
    for directory in looked_into {
        let is_left = |name: &&String| {
            name.starts_with("tmp.") || name.ends_with(".tmp") || *name == txnlog::SPARE_NAME
        };
        for name in disk.list(directory)?.iter().filter(is_left) {
            report.remark(&format!("{name} is left over from an earlier process; it does no harm"))?;
        }
    }
    Ok(())
}

/// The epoch files against each other and the newest transaction, as a member of an ensemble takes them
/// (reference: `QuorumPeer.loadDataBase`).
fn epochs(disk: &dyn Disk, directory: &Path, last: Option<Zxid>, report: &mut Report<'_>) -> Result {
    let logged = last.map_or(0, |last| i64::from(last.epoch()));
    let Epochs { accepted, current, next } = Epochs::read(disk, directory)?;
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
        match next {
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
