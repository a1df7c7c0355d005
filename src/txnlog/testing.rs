//! What the log's tests share.

use std::path::Path;
use std::sync::Arc;

use jute::records::data::{Acl, Id};
use jute::records::txn::{
    CloseSessionTxn, CreateSessionTxn, CreateTxn, DeleteTxn, ErrorTxn, SetDataTxn, TxnDigest, TxnHeader,
};
use jute::txn::{TxnBody, TxnEntry};
use jute::{SessionId, Zxid};

use super::{Gaps, Io, Log, LogError, MARK_NAME, Options, Recovered, recover};
use crate::disk::{Disk, RealDisk};

pub(super) const MODES: [Io; 2] = [Io::Mapped, Io::Plain];
/// Small, so that tests see files grow.
pub(super) const PREALLOC_BYTES: i64 = 16 << 10;

pub(super) fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

pub(super) fn options(directory: &Path, io: Io) -> Options {
    Options { prealloc_bytes: PREALLOC_BYTES, io, ..Options::new(directory.to_owned()) }
}

pub(super) fn log(directory: &Path, io: Io, last: i64) -> Log {
    Log::open(disk(), options(directory, io), Zxid(last)).unwrap()
}

pub(super) fn entry_with(zxid: i64, body: TxnBody) -> TxnEntry {
    let header = TxnHeader {
        client_id: SessionId(0x1000),
        cxid: 7,
        zxid: Zxid(zxid),
        time: 1_700_000_000_000 + zxid,
        r#type: body.op().0,
    };
    TxnEntry { header, body, digest: Some(TxnDigest { version: 2, tree_digest: zxid * 31 }) }
}

/// As in a directory of the reference, or a copy of the logs alone: nothing says what was durable.
pub(super) fn forget_mark(directory: &Path) {
    RealDisk.remove(&directory.join(MARK_NAME)).unwrap();
}

/// The log's files and the spare one.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names = RealDisk.list(directory).unwrap();
    names.retain(|name| name != MARK_NAME);
    names.sort();
    names
}

/// One of several kinds, by zxid.
pub(super) fn entry(zxid: i64) -> TxnEntry {
    let path = Some(format!("/some/node-{zxid}"));
    let body = match zxid % 6 {
        0 => TxnBody::CreateSession(CreateSessionTxn { time_out: 30_000 }),
        1 => TxnBody::Create(CreateTxn {
            path,
            data: Some(vec![b'x'; 50]),
            acl: Some(vec![Acl {
                perms: 31,
                id: Id { scheme: Some("world".into()), id: Some("anyone".into()) },
            }]),
            ephemeral: false,
            parent_cversion: 1,
        }),
        2 => TxnBody::SetData(SetDataTxn { path, data: None, version: 3 }),
        3 => TxnBody::Error(ErrorTxn { err: -101 }),
        4 => TxnBody::CloseSession(Some(CloseSessionTxn { paths2delete: Some(vec![path]) })),
        _ => TxnBody::Delete(DeleteTxn { path }),
    };
    entry_with(zxid, body)
}

/// A transaction with this much data.
pub(super) fn large_entry(zxid: i64, data_bytes: usize) -> TxnEntry {
    let data = Some(vec![0xAB; data_bytes]);
    entry_with(zxid, TxnBody::SetData(SetDataTxn { path: Some("/large".into()), data, version: 1 }))
}

/// Recovers and returns what was replayed too.
pub(super) fn read_all(directory: &Path, after: i64) -> Result<(Vec<TxnEntry>, Recovered), LogError> {
    let mut entries = Vec::new();
    let recovered = recover(
        &disk(),
        directory,
        Zxid(after),
        Gaps::Refuse,
        &mut |entry| entries.push(entry),
        &mut |_| {},
    )?;
    Ok((entries, recovered))
}

/// Asserts that the log holds exactly these transactions, as [`entry`] makes them.
pub(super) fn check_holds(directory: &Path, zxids: std::ops::RangeInclusive<i64>) {
    let expected: Vec<_> = zxids.clone().map(entry).collect();
    let (read, recovered) = read_all(directory, zxids.start() - 1).unwrap();
    assert_eq!(read, expected);
    assert_eq!(recovered.last_zxid, Zxid(*zxids.end()));
}
