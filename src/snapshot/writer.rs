//! Writing a snapshot.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid, write};
use simd_adler32::Adler32;

use super::SnapshotError;
use super::compression::{Compression, Sink};
use super::format::{self, END, HEADER};
use crate::disk::{Disk, DiskError};

/// Before the name of a file that is being written. The reference takes no such file for a snapshot,
/// while `snapshot.5.tmp` it would.
const TEMPORARY_PREFIX: &str = "tmp.";
/// The same for one that comes from a leader: it stays under this name until all that it replaces has gone.
const RECEIVED_PREFIX: &str = "tmp.received.";
/// Content is summed and compressed in pieces of this size.
const BUFFER_BYTES: usize = 256 << 10;

/// A snapshot being written: [`begin`](Writer::begin) or its pieces, nodes with parents before children, then
/// [`finish`](Writer::finish). The file appears under its name, durably, only at the end; a writer
/// dropped before removes what it wrote.
pub struct Writer {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    name: String,
    temporary: PathBuf,
    /// `None` once finished or failed.
    sink: Option<Sink>,
    buffer: Vec<u8>,
    checksum: Adler32,
    content_bytes: u64,
}

/// A finished snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub file_bytes: u64,
    /// Its length before compression.
    pub content_bytes: u64,
}

impl Writer {
    /// Creates the temporary file of a snapshot that starts at `zxid`.
    ///
    /// # Errors
    /// As the disk reports.
    pub fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, SnapshotError> {
        Self::create_as(TEMPORARY_PREFIX, disk, directory, zxid, compression)
    }

    /// The same for a snapshot that comes from a leader; see [`Writer::finish_received`].
    ///
    /// # Errors
    /// As the disk reports.
    pub fn create_received(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, SnapshotError> {
        Self::create_as(RECEIVED_PREFIX, disk, directory, zxid, compression)
    }

    fn create_as(
        prefix: &str,
        disk: &Arc<dyn Disk>,
        directory: &Path,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, SnapshotError> {
        let name = format::file_name(zxid, compression);
        let temporary = directory.join(format!("{prefix}{name}"));
        match disk.remove(&temporary) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        let sink = Some(Sink::new(disk.create(&temporary)?, compression));
        Ok(Self {
            disk: Arc::clone(disk),
            directory: directory.to_owned(),
            name,
            temporary,
            sink,
            buffer: HEADER.to_vec(),
            checksum: Adler32::new(),
            content_bytes: 0,
        })
    }

    /// Writes the tables. Call it once, first.
    ///
    /// # Errors
    /// As the disk reports; the writer is of no use then.
    pub fn begin(
        &mut self,
        sessions: &[(SessionId, i32)],
        acls: &[(i64, Vec<Acl>)],
    ) -> Result<(), SnapshotError> {
        self.begin_lists(sessions, acls.len())?;
        acls.iter().try_for_each(|(id, acl)| self.list(*id, acl))
    }

    /// [`Writer::begin`] in pieces: writes the sessions and how many access control lists will follow.
    ///
    /// # Errors
    /// As [`Writer::begin`].
    pub fn begin_lists(&mut self, sessions: &[(SessionId, i32)], lists: usize) -> Result<(), SnapshotError> {
        format::put_sessions(&mut self.buffer, sessions);
        format::put_acl_count(&mut self.buffer, lists);
        self.flush_if_large()
    }

    /// Writes one access control list.
    ///
    /// # Errors
    /// As [`Writer::begin`].
    pub fn list(&mut self, id: i64, acl: &[Acl]) -> Result<(), SnapshotError> {
        format::put_acl(&mut self.buffer, id, acl);
        self.flush_if_large()
    }

    /// Writes one node. The root's path is empty.
    ///
    /// # Errors
    /// As [`Writer::begin`].
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        format::put_node(&mut self.buffer, path, data, acl, stat);
        self.flush_if_large()
    }

    /// Writes nodes that [`format::put_node`] encoded.
    ///
    /// # Errors
    /// As [`Writer::begin`].
    pub fn raw_nodes(&mut self, nodes: &[u8]) -> Result<(), SnapshotError> {
        self.flush()?;
        self.put(nodes)
    }

    /// Ends the nodes, writes seals and the optional sections, and makes the file durable under its
    /// name.
    ///
    /// # Errors
    /// As the disk reports; no snapshot of this name exists then, unless only the last sync of the
    /// directory failed.
    pub fn finish(
        mut self,
        digest: Option<(Zxid, i32, i64)>,
        last_zxid: Option<Zxid>,
    ) -> Result<Written, SnapshotError> {
        let file_bytes = self.complete(digest, last_zxid)?;
        let path = self.directory.join(&self.name);
        if let Err(error) = self.disk.rename(&self.temporary, &path) {
            let _ = self.disk.remove(&self.temporary);
            return Err(error.into());
        }
        self.disk.sync_dir(&self.directory)?;
        Ok(Written { path, file_bytes, content_bytes: self.content_bytes })
    }

    /// [`Writer::finish`] for a snapshot that comes from a leader: it is whole and synced, and stays under its
    /// temporary name until [`name_received`]. Nothing removes it before that but the next start.
    ///
    /// # Errors
    /// As the disk reports; the file is gone then.
    pub fn finish_received(mut self) -> Result<Written, SnapshotError> {
        let file_bytes = self.complete(None, None)?;
        Ok(Written { path: self.temporary.clone(), file_bytes, content_bytes: self.content_bytes })
    }

    /// Ends nodes and file. Returns the file's length.
    fn complete(
        &mut self,
        digest: Option<(Zxid, i32, i64)>,
        last_zxid: Option<Zxid>,
    ) -> Result<u64, SnapshotError> {
        self.buffer.extend_from_slice(&END);
        self.seal()?;
        if let Some((zxid, version, digest)) = digest {
            write::long(&mut self.buffer, zxid.0);
            write::int(&mut self.buffer, version);
            write::long(&mut self.buffer, digest);
            self.seal()?;
        }
        if let Some(zxid) = last_zxid {
            write::long(&mut self.buffer, zxid.0);
            self.seal()?;
        }
        let Some(sink) = self.sink.take() else { return Err(self.failed(io::ErrorKind::BrokenPipe.into())) };
        sink.finish().map_err(|error| self.failed(error))
    }

    fn seal(&mut self) -> Result<(), SnapshotError> {
        self.flush()?;
        write::long(&mut self.buffer, i64::from(self.checksum.finish()));
        self.buffer.extend_from_slice(&END);
        self.flush()
    }

    fn flush_if_large(&mut self) -> Result<(), SnapshotError> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let put = self.put(&buffer);
        buffer.clear();
        self.buffer = buffer;
        put
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.checksum.write(bytes);
        self.content_bytes += bytes.len() as u64;
        let written =
            self.sink.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |sink| sink.write(bytes));
        written.map_err(|error| self.failed(error))
    }

    /// Removes the file: a part of a snapshot is of no use.
    fn failed(&mut self, error: io::Error) -> SnapshotError {
        self.sink = None;
        let _ = self.disk.remove(&self.temporary);
        DiskError::new("write the snapshot", &self.temporary, error).into()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.sink.take().is_some() {
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

/// Gives a received snapshot its name, durably. What it replaces must have gone before. Returns the new path.
///
/// # Errors
/// As the disk reports, and when the file is no received snapshot.
pub fn name_received(disk: &dyn Disk, file: &Path) -> Result<PathBuf, SnapshotError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let (Some(name), Some(directory)) =
        (name.and_then(|name| name.strip_prefix(RECEIVED_PREFIX)), file.parent())
    else {
        let error = io::Error::other("it is not the file of a received snapshot");
        return Err(DiskError::new("name the snapshot", file, error).into());
    };
    let path = directory.join(name);
    disk.rename(file, &path)?;
    disk.sync_dir(directory)?;
    Ok(path)
}

/// Removes what writers of an earlier process left behind, durably. Returns the names.
///
/// # Errors
/// As the disk reports.
pub fn discard_unfinished(disk: &dyn Disk, directory: &Path) -> Result<Vec<String>, SnapshotError> {
    let mut discarded = disk.list(directory)?;
    discarded.retain(|name| {
        let name = name.strip_prefix(RECEIVED_PREFIX).or_else(|| name.strip_prefix(TEMPORARY_PREFIX));
        name.and_then(format::parse_name).is_some()
    });
    for name in &discarded {
        disk.remove(&directory.join(name))?;
    }
    if !discarded.is_empty() {
        disk.sync_dir(directory)?;
    }
    Ok(discarded)
}
