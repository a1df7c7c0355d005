//! One round of the pipeline.

use std::collections::VecDeque;
use std::sync::Arc;

use jute::records::Record;
use jute::records::proto::{ConnectRequest, ConnectResponse};
use jute::records::txn::CreateSessionTxn;
use jute::txn::TxnEntry;
use jute::{Code, OpCode, SessionId, Zxid, write};

use super::{Pipeline, figures};
use crate::request::prepare::Prepared;
use crate::request::read::Read;
use crate::request::reply::{short_name, write_body};
use crate::request::stats::Tally;
use crate::request::{Body, Client, Request};
use crate::session::{PASSWORD_LENGTH, Sessions, password_for};
use crate::tree::{Applied, Tree};
use crate::txnlog::format::follows;
use crate::txnlog::{Log, LogError};
use crate::zab::{Action, Event};

/// Requests answered between two times the tree is let go, so that reads on other threads get in.
const APPLY_SLICE: usize = 256;
/// Connections that the writer answers itself instead of waking their tasks.
const DIRECT_REPLIES_MAX: usize = 2;
/// Requests in one sync.
const ROUND_REQUESTS_MAX: usize = 8192;

/// A request after preparation, waiting for the sync.
pub(super) struct Staged {
    pub(super) request: Request,
    pub(super) what: What,
}

impl Staged {
    const fn txn(&self) -> Option<&TxnEntry> {
        match &self.what {
            What::Txn(entry) | What::NewSession(entry) => Some(entry),
            _ => None,
        }
    }
}

pub(super) enum What {
    /// A transaction.
    Txn(TxnEntry),
    /// A new session: the transaction, the timeout granted, and whether the client knows `readOnly`.
    NewSession(TxnEntry),
    /// A client coming back to its session.
    Reopen(ConnectRequest),
    /// Something to answer without a transaction.
    Refused(Code),
    /// A connect request that is turned away without an answer.
    TurnedAway,
    /// A read in its place between writes.
    Read(Vec<u8>),
}

impl What {
    /// A client that asks for the session it has, of a server that stands at `last_zxid`.
    pub(super) fn returning(connect: ConnectRequest, request: &Request, last_zxid: Zxid) -> Self {
        if connect.last_zxid_seen <= last_zxid {
            return Self::Reopen(connect);
        }
        tracing::info!(
            peer = %peer(request), seen = %connect.last_zxid_seen, ours = %last_zxid,
            "client has seen a newer zxid than this server has; it must try another server"
        );
        Self::TurnedAway
    }
}

/// What came of a batch up to where the disk was full.
struct Round {
    staged: Vec<Staged>,
    /// Transactions in it.
    txns: u64,
    /// The transaction for which there was no space. It has its zxid and is not in the log.
    held: Option<Staged>,
}

impl Pipeline {
    /// Prepares, logs, syncs, applies and answers. False when the server stops on a full disk: then
    /// nothing more may be prepared, as a zxid was given out that is in no log.
    pub(super) fn round(&mut self, batch: &mut Vec<Request>) -> Result<bool, LogError> {
        let mut appended = None;
        while !batch.is_empty() || appended.is_some() {
            let pending = self.preparer.changes();
            let began = self.clock.now_ms();
            let made = self.clock.wall_ms();
            let Round { staged, txns, held } = self.prepare_and_append(appended.take(), batch, made)?;
            self.metrics.prep_processor_request_queued.add(staged.len() as u64);
            let prepared = self.clock.now_ms();
            self.metrics.outstanding_changes_queued.add((self.preparer.changes() - pending) as u64);
            if txns > 0 {
                self.metrics.sync_processor_request_queued.add(txns);
                self.metrics.sync_processor_batch_size.observe(txns.cast_signed());
                let Some(synced) = self.with_space(batch, Log::sync)? else { return Ok(false) };
                self.metrics
                    .fsynctime
                    .observe(i64::try_from(synced.duration.as_millis()).unwrap_or(i64::MAX));
                self.zab.handle(Event::LogSynced(self.log.durable_zxid()));
            }
            let stages = figures::Stages { began, prepared, synced: self.clock.now_ms() };
            let received = staged.iter().map(|staged| staged.request.received_ms);
            let ends = staged.iter().filter(|staged| staged.request.op == OpCode::CLOSE_SESSION).count();
            stages.count(&self.metrics, received, ends, txns, (made, self.clock.wall_ms()));
            let mut committed = self.state.tree().last_zxid();
            while let Some(Action::Commit(zxid)) = self.zab.poll() {
                committed = zxid;
            }
            self.apply_and_answer(staged, committed);
            if let Some(held) = held
                && let Some(entry) = held.txn()
            {
                if self.with_space(batch, |log| log.append(entry))?.is_none() {
                    return Ok(false);
                }
                appended = Some(held);
            }
            let is_whole = appended.is_none() && txns > 0;
            if is_whole && self.snapshots.is_due(txns, self.log.bytes_since_roll()) {
                self.log.roll()?;
                self.snapshots.start();
            }
        }
        Ok(true)
    }

    /// Prepares the batch, or the first part of a long one, behind `appended`, which is in the log
    /// already. Ends early where the log finds the disk full; the rest stays in the batch.
    fn prepare_and_append(
        &mut self,
        appended: Option<Staged>,
        batch: &mut Vec<Request>,
        wall: i64,
    ) -> Result<Round, LogError> {
        let rest = batch.split_off(batch.len().min(ROUND_REQUESTS_MAX));
        let mut requests = VecDeque::from(std::mem::replace(batch, rest));
        self.metrics.prep_processor_queue_size.observe(requests.len() as i64);
        let now = self.clock.now_ms();
        let state = Arc::clone(&self.state);
        let mut sessions = state.sessions();
        let tree = state.tree();
        let mut staged = Vec::with_capacity(requests.len() + 1);
        let mut txns = 0;
        if let Some(entry) = appended.as_ref().and_then(Staged::txn) {
            self.zab.handle(Event::Proposed(entry.header.zxid));
            txns += 1;
        }
        staged.extend(appended);
        while let Some(mut request) = requests.pop_front() {
            let removals = self.removals_before_end(&tree, &request, now);
            if !removals.is_empty() {
                requests.push_front(request);
                removals.into_iter().rev().for_each(|removal| requests.push_front(removal));
                continue;
            }
            let what = self.stage(&tree, &mut sessions, &mut request, wall, now);
            let new = Staged { request, what };
            if let Some(entry) = new.txn() {
                match self.log.append(entry) {
                    Ok(()) => {}
                    Err(error) if error.is_retryable() => {
                        batch.splice(..0, requests);
                        return Ok(Round { staged, txns, held: Some(new) });
                    }
                    Err(error) => return Err(error),
                }
                self.zab.handle(Event::Proposed(entry.header.zxid));
                txns += 1;
            }
            staged.push(new);
        }
        Ok(Round { staged, txns, held: None })
    }

    /// What a request asks for.
    fn stage(
        &mut self,
        tree: &Tree,
        sessions: &mut Sessions,
        request: &mut Request,
        wall: i64,
        now: i64,
    ) -> What {
        let connect = match std::mem::replace(&mut request.body, Body::Malformed) {
            Body::Ordered(bytes) => return What::Read(bytes),
            Body::Connect(connect) => Some(connect),
            body => {
                request.body = body;
                None
            }
        };
        if let Some(connect) = connect {
            let is_new = connect.session_id == SessionId::NONE && connect.last_zxid_seen <= tree.last_zxid();
            if !is_new {
                return What::returning(connect, request, tree.last_zxid());
            }
            let timeout = self.grant(connect.time_out);
            let id = sessions.allocate_id();
            let handle = sessions.track(id, timeout, now);
            if let Some(client) = &request.client {
                client.bind(handle);
            }
            request.session = id;
            request.op = OpCode::CREATE_SESSION;
            request.body = Body::CreateSession(CreateSessionTxn { time_out: timeout });
        }
        let prepared = self.preparer.prepare(tree, sessions, request, wall);
        if let Some(namespace) = self.preparer.take_quota_exceeded() {
            self.metrics.quota_exceeded_error_per_namespace.add(&namespace, 1);
        }
        match prepared {
            Prepared::Txn(entry) if entry.header.r#type == OpCode::CREATE_SESSION.0 => {
                What::NewSession(entry)
            }
            Prepared::Txn(entry) => What::Txn(entry),
            Prepared::Refused(code) => What::Refused(code),
        }
    }

    /// Applies what is committed and answers, in order of arrival. A transaction beyond `committed`
    /// must not be in `staged`.
    pub(super) fn apply_and_answer(&mut self, staged: Vec<Staged>, committed: Zxid) {
        let mut woken = Vec::new();
        let mut staged = staged.into_iter().peekable();
        while staged.peek().is_some() {
            let state = Arc::clone(&self.state);
            let now = self.clock.now_ms();
            let mut tally = Tally::default();
            let mut tree = state.tree_mut();
            for Staged { request, what } in staged.by_ref().take(APPLY_SLICE) {
                if let What::Txn(entry) | What::NewSession(entry) = &what {
                    assert!(entry.header.zxid <= committed, "nothing is applied before it is committed");
                }
                self.answer(&mut tree, request, what, now, &mut tally, &mut woken);
            }
            drop(tree);
            state.stats.count_replies(tally);
            // With few to answer, a write from here is cheaper than waking tasks; with many, the tasks
            // write side by side.
            let directly = woken.len() <= DIRECT_REPLIES_MAX;
            for client in woken.drain(..) {
                client.deliver(directly, |packets| {
                    state.stats.count_packets(packets);
                    self.metrics.response_bytes.add(packets.bytes - packets.event_bytes);
                    self.metrics.watch_bytes.add(packets.event_bytes);
                });
            }
        }
        let changes = self.preparer.changes();
        self.preparer.applied(committed);
        self.metrics.outstanding_changes_removed.add((changes - self.preparer.changes()) as u64);
    }

    fn answer(
        &mut self,
        tree: &mut Tree,
        request: Request,
        what: What,
        now: i64,
        tally: &mut Tally,
        woken: &mut Vec<Arc<Client>>,
    ) {
        match what {
            What::Txn(entry) => {
                self.metrics.updatelatency.observe(now - request.received_ms);
                let applied = self.apply(tree, entry, woken);
                if request.op == OpCode::CLOSE_SESSION {
                    self.session_closed(&request);
                }
                self.reply(
                    &request,
                    woken,
                    tally,
                    now,
                    applied.op != OpCode::ERROR,
                    tree.last_zxid(),
                    |out| write_body(request.op, &applied, out),
                );
            }
            What::NewSession(entry) => {
                self.apply(tree, entry, woken);
                self.state.sessions().commit(request.session);
                if let Some(client) = &request.client {
                    self.connected.insert(request.session, client.clone());
                    let timeout = client.session().map_or(0, |session| session.timeout_ms());
                    self.greet(
                        client,
                        i32::try_from(timeout).unwrap_or(i32::MAX),
                        request.session,
                        request.bytes,
                        woken,
                    );
                }
            }
            What::Reopen(connect) => self.reopen(&request, &connect, now, woken),
            What::TurnedAway => {
                if let Some(client) = &request.client {
                    client.leave(request.bytes);
                    client.close();
                }
            }
            What::Refused(code) => {
                self.reply(&request, woken, tally, now, false, tree.last_zxid(), |_| Err(code));
            }
            What::Read(bytes) => {
                if let Some(client) = &request.client {
                    let read = Read {
                        state: &self.state,
                        tree,
                        client,
                        session: request.session,
                        identities: &request.identities,
                        meter: &|path, bytes| figures::count_read(&self.metrics, path, bytes),
                    };
                    let mut outbox = client.outbox();
                    if !outbox.has_news() {
                        woken.push(client.clone());
                    }
                    read.answer(request.xid, request.op, &bytes, &mut outbox);
                    note(&mut outbox, &request, tree.last_zxid(), true, now, tally);
                    client.leave(request.bytes);
                }
            }
        }
    }

    fn apply(&mut self, tree: &mut Tree, entry: TxnEntry, woken: &mut Vec<Arc<Client>>) -> Applied {
        let TxnEntry { header, body, digest } = entry;
        assert!(follows(tree.last_zxid(), header.zxid), "{} applied after {}", header.zxid, tree.last_zxid());
        figures::count_writes(&self.metrics, &body);
        let metrics = &self.metrics;
        let applied = self.state.apply(tree, &header, body, woken, &mut |fired| {
            figures::count_watches(metrics, fired);
        });
        if let Some(digest) = digest
            && digest.tree_digest.cast_unsigned() != tree.digest()
        {
            // The prediction and the tree disagree: one of them is wrong, and what is served may be too.
            self.metrics.digest_mismatches_count.increment();
            tracing::error!(zxid = %header.zxid, "the tree's digest is not the one that was predicted");
        }
        self.state.note_digest(header.zxid, tree.digest());
        applied
    }

    #[expect(clippy::too_many_arguments, reason = "one reply has this many facts")]
    fn reply(
        &self,
        request: &Request,
        woken: &mut Vec<Arc<Client>>,
        tally: &mut Tally,
        now: i64,
        succeeded: bool,
        zxid: Zxid,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), Code>,
    ) {
        let Some(client) = &request.client else { return };
        let mut outbox = client.outbox();
        if !outbox.has_news() {
            woken.push(client.clone());
        }
        outbox.reply(request.xid, zxid, body);
        note(&mut outbox, request, zxid, succeeded, now, tally);
        if request.op == OpCode::CLOSE_SESSION {
            outbox.close_after();
        }
        client.leave(request.bytes);
    }

    fn session_closed(&mut self, request: &Request) {
        self.state.sessions().remove(request.session);
        let connected = self.connected.remove(&request.session);
        // On expiry the client is told by its connection going away; it did not ask.
        if request.client.is_none()
            && let Some(client) = connected
        {
            client.close();
        }
    }

    /// Reference: `ZooKeeperServer.reopenSession`.
    fn reopen(
        &mut self,
        request: &Request,
        connect: &ConnectRequest,
        now: i64,
        woken: &mut Vec<Arc<Client>>,
    ) {
        let Some(client) = &request.client else { return };
        let id = connect.session_id;
        if let Some(earlier) = self.connected.remove(&id) {
            earlier.close();
        }
        let timeout = self.grant(connect.time_out);
        let knows = connect.passwd.as_deref() == Some(password_for(id).as_slice());
        if !knows {
            tracing::warn!(peer = %client.peer, session = %id, "wrong password for session");
        }
        let handle = if knows { self.state.sessions().reopen(id, timeout, now) } else { None };
        self.metrics.connection_revalidate_count.increment();
        match handle {
            Some(handle) => {
                client.bind(handle);
                self.connected.insert(id, client.clone());
                self.greet(client, timeout, id, request.bytes, woken);
            }
            None => {
                tracing::info!(peer = %client.peer, session = %id, "session is gone");
                self.greet(client, 0, SessionId::NONE, request.bytes, woken);
                client.outbox().close_after();
            }
        }
    }

    /// Sends the connect response; id 0 says that the session is gone.
    fn greet(
        &self,
        client: &Arc<Client>,
        timeout: i32,
        id: SessionId,
        bytes: usize,
        woken: &mut Vec<Arc<Client>>,
    ) {
        let password = if id == SessionId::NONE { [0; PASSWORD_LENGTH] } else { password_for(id) };
        let response = ConnectResponse {
            protocol_version: 0,
            time_out: timeout,
            session_id: id,
            passwd: Some(password.to_vec()),
            read_only: false,
        };
        let mut outbox = client.outbox();
        outbox.raw(|out| {
            let start = write::begin_frame(out);
            response.encode(out);
            if !client.knows_read_only() {
                out.pop();
            }
            write::patch_length(out, start);
        });
        woken.push(client.clone());
        client.leave(bytes);
    }

    /// The timeout a client gets for the one it asks for.
    fn grant(&self, asked_ms: i32) -> i32 {
        asked_ms.max(self.options.min_session_timeout_ms).min(self.options.max_session_timeout_ms)
    }
}

fn peer(request: &Request) -> String {
    request.client.as_ref().map_or_else(String::new, |client| client.peer.to_string())
}

fn note(
    outbox: &mut crate::request::outbox::Outbox,
    request: &Request,
    zxid: Zxid,
    succeeded: bool,
    now: i64,
    tally: &mut Tally,
) {
    let op = if succeeded { short_name(request.op) } else { "NA" };
    outbox.stats.replied(op, request.xid, zxid, request.received_ms, now);
    tally.add(now - request.received_ms);
}
