//! The audit trail of a running server: what was asked for is noted when it comes, and written when it is known what
//! became of it.

use std::collections::{HashSet, VecDeque};

use jute::txn::TxnBody;
use jute::{OpCode, SessionId};

use super::client::Client;
use crate::audit::{Asker, Line, Note, ServerEvent, of_ephemeral, of_server};
use crate::tree::{Applied, Identities};

/// Where lines go. It never waits for a disk.
pub type Write = Box<dyn Fn(&Line) + Send + Sync>;

/// Writes the trail.
pub struct Trail {
    /// As whom the server does what it does by itself.
    user: String,
    write: Write,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Trail").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a connection has asked for and not been answered, with its numbers, as far as it is audited.
pub(super) type Notes = VecDeque<(i32, Note)>;

impl Trail {
    /// A trail of a server that runs as this user.
    #[must_use]
    pub fn new(user: String, write: Write) -> Self {
        Self { user, write }
    }

    /// Something happens to the server.
    pub fn server(&self, event: ServerEvent) {
        (self.write)(&of_server(&self.user, event));
    }

    /// A client asks for something.
    pub fn note(&self, client: &Client, xid: i32, op: OpCode, body: &[u8], identities: &Identities) {
        if let Some(note) = Note::of(op, body, identities) {
            client.notes().push_back((xid, note));
        }
    }

    /// It was done, or failed.
    pub(super) fn done(&self, client: &Client, session: SessionId, xid: i32, applied: &Applied) {
        let Some(note) = take_note(client, xid) else { return };
        let ip = client.peer.ip().to_canonical().to_string();
        note.lines(Asker { session, ip: &ip }, applied).iter().for_each(&*self.write);
    }

    /// A session's end took these nodes along, of those that its transaction names.
    pub(super) fn session_ended(&self, session: SessionId, body: &TxnBody, deleted: &[String]) {
        let named = match body {
            TxnBody::CloseSession(Some(txn)) => txn.paths2delete.as_deref().unwrap_or_default(),
            _ => &[],
        };
        let gone: HashSet<&String> = deleted.iter().collect();
        let missing = named.iter().flatten().filter(|path| !gone.contains(path));
        let lines = deleted.iter().map(|path| (path, true)).chain(missing.map(|path| (path, false)));
        for (path, was_there) in lines {
            (self.write)(&of_ephemeral(&self.user, session, path, was_there));
        }
    }
}

/// The note of the request with this number. Answers come in the order of requests: notes before it are of requests
/// that nobody was answered.
fn take_note(client: &Client, xid: i32) -> Option<Note> {
    let mut notes = client.notes();
    let place = notes.iter().position(|(noted, _)| *noted == xid)?;
    notes.drain(..=place).next_back().map(|(_, note)| note)
}
