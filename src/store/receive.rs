//! A snapshot that comes from a leader: a tree and a file from one pass over its stream.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid};

use super::loading::Loading;
use crate::disk::Disk;
use crate::snapshot::{self, Compression, SnapshotError, Visitor, Writer};
use crate::tree::{OwnerRules, Tree};

/// What decides how it is read and where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Receiving<'a> {
    /// What the leader's packet says: replay starts after it.
    pub zxid: Zxid,
    /// Who sends it, for errors.
    pub from: &'a str,
    /// The directory of the snapshots.
    pub directory: &'a Path,
    /// How the file is stored.
    pub compression: Compression,
    /// The longest field that is taken.
    pub field_bytes_max: usize,
    /// How owners of nodes are read.
    pub rules: OwnerRules,
}

/// A whole one.
pub struct Received {
    /// The tree.
    pub tree: Tree,
    /// Sessions with their timeouts in milliseconds.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The file, synced, under a name that counts only after [`snapshot::name_received`].
    pub file: PathBuf,
    /// Bytes that were read beyond the end of the nodes.
    pub rest: Vec<u8>,
}

/// Reads sessions, lists and nodes as a leader sends them (reference: `Learner.syncWithLeader`), into a tree and,
/// with header and seal, into a file. A failure leaves no file.
///
/// # Errors
/// The stream is none, or breaks off; or as the disk reports.
pub fn receive(
    disk: &Arc<dyn Disk>,
    what: Receiving<'_>,
    source: &mut dyn Read,
) -> Result<Received, SnapshotError> {
    let writer = Writer::create_received(disk, what.directory, what.zxid, what.compression)?;
    let loading = Loading::new(Tree::for_loading(what.rules));
    let mut both = Both { loading, writer, lists: Vec::new(), has_begun: false, failure: None };
    let loaded = snapshot::load_body(source, what.from, what.field_bytes_max, &mut both);
    if let Some(failure) = both.failure {
        return Err(failure);
    }
    let rest = loaded?;
    let Loading { mut tree, sessions, .. } = both.loading;
    tree.finish_loading(what.zxid).map_err(|reason| SnapshotError::Refused {
        path: PathBuf::from(what.from),
        offset: 0,
        reason,
    })?;
    let file = both.writer.finish_received()?.path;
    Ok(Received { tree, sessions, file, rest })
}

/// The tree and the file.
struct Both {
    loading: Loading,
    writer: Writer,
    /// Until the first node: a file says first how many there are.
    lists: Vec<(i64, Vec<Acl>)>,
    has_begun: bool,
    failure: Option<SnapshotError>,
}

impl Both {
    /// Keeps a failure of the disk: visitors fail with texts only.
    fn written(&mut self, written: Result<(), SnapshotError>) -> Result<(), String> {
        written.map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            text
        })
    }

    fn begin(&mut self) -> Result<(), String> {
        let sessions: Vec<_> = self.loading.sessions.iter().map(|(id, timeout)| (*id, *timeout)).collect();
        let lists = std::mem::take(&mut self.lists);
        let written = self.writer.begin(&sessions, &lists);
        self.written(written)?;
        self.has_begun = true;
        lists.into_iter().try_for_each(|(id, list)| self.loading.acl(id, list))
    }
}

impl Visitor for Both {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), String> {
        self.loading.session(id, timeout_ms)
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), String> {
        self.lists.push((id, acl));
        Ok(())
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StatPersisted) -> Result<(), String> {
        if !self.has_begun {
            self.begin()?;
        }
        let written = self.writer.node(path, data, acl, &stat);
        self.written(written)?;
        self.loading.node(path, data, acl, stat)
    }
}
