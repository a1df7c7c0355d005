//! The transaction logs, compared record by record.
//!
//! Digests cover times, so those of one log cannot be those of the other: each is compared with the digest of the tree
//! that the transactions of its own log make ([`Replay`]).

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::exceptions::Exceptions;
use super::normal::Normal;
use super::script::op;
use crate::compare::judged;
use crate::log_files::{Ending, Record, records};
use crate::peer::Replay;
use crate::server::Kind;

const TXN_HEADER: usize = 32;
/// Where in it the time stands.
const TIME_AT: usize = 20;
/// The digest, and its version before it.
const DIGEST_BYTES: usize = 12;
const ERROR: i32 = -1;
/// Characters of a record that are shown.
const SHOWN_MAX: usize = 2000;
/// So many records at most are under way at a time: a burst is shorter.
const UNDER_WAY_MAX: usize = 100;

/// One record, normalised.
#[derive(Clone)]
struct Logged {
    zxid: i64,
    kind: i32,
    payload: Vec<u8>,
    /// The tree's digest that it bears, if it bears one.
    digest: Option<i64>,
    /// The digest of the tree that it leads to.
    right: i64,
    /// Whether what it bears is the digest of a tree in which nodes have the owners that flags of creates ask for.
    is_by_flags: bool,
    /// See [`Replay::root_changed`].
    root: [bool; 2],
}

impl Logged {
    /// What must be the same in both logs: digests cover times.
    fn compared(&self) -> (i64, i32, &[u8], bool) {
        (self.zxid, self.kind, &self.payload, self.digest.is_some())
    }

    fn has_right_digest(&self) -> bool {
        self.digest.is_none_or(|digest| digest == self.right)
    }

    fn show(&self) -> String {
        let Self { zxid, kind, payload, digest, right, .. } = self;
        let digest = digest.map_or_else(|| "none".to_owned(), |digest| format!("{digest:#x}"));
        let mut body = payload.escape_ascii().to_string();
        body.truncate(SHOWN_MAX);
        format!("zxid {zxid} type {kind} digest {digest}, the tree's is {right:#x}; {body}")
    }
}

/// Compares the logs below two data directories; `Some` tells the first difference.
pub fn compare(
    dirs: [&Path; 2],
    normals: [&mut Normal; 2],
    exceptions: &mut Exceptions,
) -> Result<(usize, Option<String>)> {
    let [reference_dir, other_dir] = dirs;
    let [reference_normal, other_normal] = normals;
    let mut reference = read(reference_dir, reference_normal)?;
    let mut other = read(other_dir, other_normal)?;
    if exceptions.in_ensemble() {
        reference.iter_mut().chain(&mut other).for_each(forget_parts_of_a_failure);
    }
    excuse(&mut reference, exceptions);
    if matches!(judged(), Kind::Apache(_)) {
        excuse(&mut other, exceptions);
    }
    for (a, b) in reference.iter().zip(&other) {
        if a.compared() != b.compared() {
            let text = format!("the logs differ:\n  reference: {}\n     judged: {}\n", a.show(), b.show());
            return Ok((other.len(), Some(text)));
        }
    }
    if reference.len() != other.len() {
        return Ok((
            other.len(),
            Some(format!("the logs hold {} and {} records", reference.len(), other.len())),
        ));
    }
    ensure!(!other.is_empty(), "the logs are empty: nothing was compared");
    let wrong = wrong_digest("reference", &reference).or_else(|| wrong_digest("judged", &other));
    Ok((other.len(), wrong))
}

fn wrong_digest(name: &str, log: &[Logged]) -> Option<String> {
    let wrong = log.iter().find(|logged| !logged.has_right_digest())?;
    Some(format!("a wrong digest is logged:\n  {name}: {}\n", wrong.show()))
}

/// Takes what is known to differ out of the reference's log.
fn excuse(log: &mut Vec<Logged>, exceptions: &mut Exceptions) {
    let mut last = 0;
    log.retain(|logged| {
        let again = logged.kind == ERROR && logged.zxid == last;
        last = logged.zxid;
        !(again && exceptions.excuse("undecodable-write-is-logged"))
    });
    for logged in log.iter_mut().filter(|logged| logged.kind == ERROR && logged.digest.is_some()) {
        if exceptions.excuse("failed-multi-is-logged-with-a-digest") {
            logged.digest = None;
        }
    }
    excuse_digests(log, exceptions);
}

/// Makes digests right that the reference is known to predict wrongly. A digest is predicted from the one before it, so
/// what follows a wrong one may be wrong too.
fn excuse_digests(log: &mut [Logged], exceptions: &mut Exceptions) {
    let mut last_was_wrong = false;
    let mut root_changed = [None; 2];
    for (at, logged) in log.iter_mut().enumerate() {
        for (last, changed) in root_changed.iter_mut().zip(logged.root) {
            *last = if changed { Some(at) } else { *last };
        }
        if logged.digest.is_none() {
            continue;
        }
        let was_recent = |last: &Option<usize>| last.is_some_and(|last| at - last < UNDER_WAY_MAX);
        let is_of_root = logged.root != [false; 2] && root_changed.iter().all(was_recent);
        last_was_wrong = !logged.has_right_digest()
            && ((logged.is_by_flags && exceptions.excuse("owner-predicted-by-flags"))
                || (is_of_root && exceptions.excuse("two-names-of-the-root"))
                || last_was_wrong);
        if last_was_wrong {
            logged.digest = Some(logged.right);
        }
    }
}

/// See `failed-multi-of-a-member` in `exceptions.toml`. The parts: type and buffer each, after their count.
fn forget_parts_of_a_failure(logged: &mut Logged) {
    if logged.kind != op("multi") {
        return;
    }
    let int = |payload: &[u8], at: usize| Some(i32::from_be_bytes(*payload.get(at..)?.first_chunk::<4>()?));
    let mut types = Vec::new();
    let mut at = TXN_HEADER + 4;
    while let (Some(kind), Some(length)) = (int(&logged.payload, at), int(&logged.payload, at + 4)) {
        types.push((at, kind));
        at += 8 + usize::try_from(length).unwrap_or(0);
    }
    if types.iter().any(|(_, kind)| *kind == ERROR) {
        for (at, _) in types {
            logged.payload[at..at + 4].copy_from_slice(&ERROR.to_be_bytes());
        }
    }
}

fn read(data_dir: &Path, normal: &mut Normal) -> Result<Vec<Logged>> {
    let mut replay = Replay::default();
    records(data_dir, Ending::Whole)?.into_iter().map(|record| logged(record, normal, &mut replay)).collect()
}

fn logged(record: Record, normal: &mut Normal, replay: &mut Replay) -> Result<Logged> {
    let Record { zxid, mut payload } = record;
    let digest = replay.apply(&payload)?;
    let is_wrong = digest.is_some_and(|digest| digest != replay.digest());
    let is_by_flags = is_wrong && replay.with_other_owners().into_iter().any(|other| digest == Some(other));
    let header: [u8; TXN_HEADER] = *payload.first_chunk().context("a record shorter than its header")?;
    let kind = i32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    if digest.is_some() {
        payload.truncate(payload.len() - DIGEST_BYTES);
    }
    if kind == op("closeSession") {
        normal.sort_paths(&mut payload, TXN_HEADER);
    }
    normal.sort_identities(&mut payload);
    normal.session_at(&mut payload, 0);
    normal.time(&mut payload, Some(zxid), TIME_AT);
    Ok(Logged {
        zxid,
        kind,
        payload,
        digest,
        right: replay.digest(),
        is_by_flags,
        root: replay.root_changed(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::peer::Tree;
    use crate::peer::tree::Change;
    use crate::wire::Body;

    /// A log of three transactions, begun at this time; `spoil` has a say in each digest.
    fn log_from(time: i64, spoil: impl Fn(i64, i64) -> i64) -> Result<tempfile::TempDir> {
        let (mut tree, mut replay) = (Tree::default(), Replay::default());
        let create = |path: &str| Change::Create { path: path.to_owned(), data: vec![], is_ephemeral: false };
        let changes = [Change::CreateSession(30_000), create("/a"), create("/b")];
        let mut log = b"ZKLG".to_vec();
        log.resize(16, 0);
        for (zxid, change) in (1..).zip(&changes) {
            let payload = tree.change(1 << 56, 0, zxid, time, change).payload;
            replay.apply(&payload)?;
            let digest = Body::new().int(2).long(spoil(zxid, replay.digest()));
            let record = Body::new().long(0).buffer(&[payload, digest.0].concat());
            log.extend(record.0);
            log.push(0x42);
        }
        let home = tempfile::tempdir()?;
        fs::create_dir(home.path().join("version-2"))?;
        fs::write(home.path().join("version-2/log.1"), log)?;
        Ok(home)
    }

    #[test]
    fn digests_are_held_against_the_log_that_they_stand_in() -> Result<()> {
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
        let compared = |spoil: &dyn Fn(i64, i64) -> i64| {
            let logs = [log_from(now - 5000, |_, digest| digest)?, log_from(now - 3000, spoil)?];
            let mut normals = [Normal::new(1 << 56), Normal::new(1 << 56)];
            let [a, b] = &mut normals;
            compare([logs[0].path(), logs[1].path()], [a, b], &mut Exceptions::default())
        };
        assert_eq!(compared(&|_, digest| digest)?, (3, None));
        for wrong in 1..=3 {
            let (_, story) = compared(&|zxid, digest| digest + i64::from(zxid == wrong))?;
            let story = story.unwrap_or_default();
            assert!(story.contains(&format!("judged: zxid {wrong} ")), "{story}");
        }
        Ok(())
    }
}
