//! The transaction logs, compared record by record.
//!
//! Read here from the format and not with the server's reader, which skips what was logged twice: this
//! comparison is there to see it. Digests cover times, so of them only the presence is compared.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::exceptions::Exceptions;
use super::normal::{Normal, sort_digests};
use super::script::op;
use crate::compare::judged;
use crate::server::Kind;

const FILE_HEADER: usize = 16;
const TXN_HEADER: usize = 32;
/// Where in it the time stands.
const TIME_AT: usize = 20;
const DIGEST_BYTES: usize = 8;
/// The digest's version, which stands before it.
const DIGEST_VERSION: [u8; 4] = [0, 0, 0, 2];
const ERROR: i32 = -1;
/// An error's header and code.
const ERROR_BYTES: usize = TXN_HEADER + 4;

/// One record, normalised.
#[derive(Clone, PartialEq, Eq)]
struct Logged {
    zxid: i64,
    kind: i32,
    payload: Vec<u8>,
    has_digest: bool,
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
        if a != b {
            let mut text = String::from("the logs differ:\n");
            for (name, logged) in [("reference", a), ("   judged", b)] {
                let _ = writeln!(
                    text,
                    "  {name}: zxid {} type {} digest {} {}",
                    logged.zxid,
                    logged.kind,
                    logged.has_digest,
                    logged.payload.escape_ascii()
                );
            }
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
    Ok((other.len(), None))
}

/// Takes what is known to differ out of the reference's log.
fn excuse(log: &mut Vec<Logged>, exceptions: &mut Exceptions) {
    let mut last = 0;
    log.retain(|logged| {
        let again = logged.kind == ERROR && logged.zxid == last;
        last = logged.zxid;
        !(again && exceptions.excuse("undecodable-write-is-logged"))
    });
    for logged in log.iter_mut().filter(|logged| logged.kind == ERROR && logged.has_digest) {
        if exceptions.excuse("failed-multi-is-logged-with-a-digest") {
            logged.has_digest = false;
            logged.payload.truncate(ERROR_BYTES);
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
    let dir = data_dir.join("version-2");
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.context("read a directory entry")?.path();
        let zxid = path.file_name().and_then(|name| name.to_str()?.strip_prefix("log.").map(str::to_owned));
        if let Some(zxid) = zxid {
            files.push((
                i64::from_str_radix(&zxid, 16).with_context(|| format!("the name of {}", path.display()))?,
                path,
            ));
        }
    }
    files.sort();
    let mut all = Vec::new();
    for (_, path) in files {
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(bytes.is_empty() || bytes.starts_with(b"ZKLG"), "{} is not a log", path.display());
        let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
        while let Some(([.., a, b, c, d], after)) = rest.split_first_chunk::<12>() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if length == 0 {
                break;
            }
            let (Some(payload), Some(0x42)) = (after.get(..length), after.get(length)) else {
                bail!("{} holds a record that does not end", path.display());
            };
            all.push(logged(payload, normal)?);
            rest = &after[length + 1..];
        }
    }
    Ok(all)
}

fn logged(payload: &[u8], normal: &mut Normal) -> Result<Logged> {
    let mut payload = payload.to_vec();
    let header: [u8; TXN_HEADER] = *payload.first_chunk().context("a record shorter than its header")?;
    let zxid = i64::from_be_bytes([
        header[12], header[13], header[14], header[15], header[16], header[17], header[18], header[19],
    ]);
    let kind = i32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let body_end = payload.len().saturating_sub(DIGEST_BYTES);
    let has_digest = (kind != ERROR || payload.len() > ERROR_BYTES)
        && payload.get(body_end.saturating_sub(4)..body_end) == Some(&DIGEST_VERSION[..]);
    if has_digest {
        payload.truncate(body_end);
    }
    if kind == op("closeSession") {
        normal.sort_paths(&mut payload, TXN_HEADER);
    }
    sort_digests(&mut payload);
    normal.session_at(&mut payload, 0);
    normal.time(&mut payload, Some(zxid), TIME_AT);
    Ok(Logged { zxid, kind, payload, has_digest })
}
