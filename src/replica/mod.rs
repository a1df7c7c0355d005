//! One server's part in everything that takes its turn: the writes of its clients, the sessions, and what the
//! server does by itself. The server, the simulator and the fuzzer all drive this same type.
//!
//! Pure: no thread, lock, socket, file or clock. A driver hands in requests and the time, lends the tree, the
//! watches and the sessions for one call at a time, and does what it is asked:
//!
//! 1. [`Replica::push`] takes in requests; [`Replica::add_internal`] adds those that the server makes itself.
//! 2. [`Replica::prepare`] checks them against the tree and every change not yet applied, and gives out zxids.
//! 3. [`Replica::next_append`] and [`Replica::set_appended`] pass the transactions to the log.
//! 4. [`Replica::persist`] asks for a sync with a [`Ticket`]; [`Replica::done`] takes it back.
//! 5. [`Replica::release`] applies what is committed, and answers, in the order of preparation.
//!
//! A member of an ensemble is driven by what its peers say and its disk does instead of 3 and 4:
//! [`Replica::peer`] takes that in, [`Replica::poll`] says what to do.
//!
//! Nothing is applied, and so nothing is answered, before its ticket came back. Calls that need the tree return
//! when the driver's [`Host::must_yield`] says so, and are called again.

#[cfg(test)]
mod alone_test;
mod commit;
mod host;
mod internal;
mod leading;
mod learning;
mod member;
#[cfg(test)]
mod moves_test;
mod proposals;
#[cfg(test)]
mod random_test;
#[cfg(test)]
mod replica_test;
mod roles;
mod sessions;
mod sweep;
#[cfg(test)]
mod testing;

use std::collections::{HashMap, VecDeque};

use jute::txn::TxnEntry;
use jute::{OpCode, SessionId, Zxid};

pub use self::commit::TOO_MANY_WATCHES;
pub use self::host::{Close, Fired, Host, Observation, Outcome};
pub use self::member::check_proposal;
pub use self::sweep::Options as SweepOptions;
pub use crate::zab::Ticket;

use self::commit::Digests;
use self::proposals::Proposals;
use self::roles::Role;
use self::sweep::Sweep;
use crate::request::prepare::Preparer;
use crate::request::{Body, ConnectionId, Head, Options as RequestOptions, Origin, Request};
use crate::session::Sessions;
use crate::tree::Tree;
use crate::watch::Watches;
use crate::zab::{Input, Output, Zab};

/// Requests prepared before a sync is asked for.
const BATCH_MAX: usize = 8192;
/// Ends of sessions among them. Each removes all ephemerals of its session, so thousands that end together
/// are spread over several batches, with the requests of others in between.
const BATCH_ENDS_MAX: usize = 64;

/// What a replica can be told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What requests mean.
    pub request: RequestOptions,
    /// Smallest session timeout granted, in milliseconds.
    pub min_session_timeout_ms: i32,
    /// Largest session timeout granted, in milliseconds.
    pub max_session_timeout_ms: i32,
    /// When containers and aged nodes are looked for.
    pub sweep: SweepOptions,
}

/// The time of one call.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds of a clock that never goes back.
    pub monotonic_ms: i64,
    /// Milliseconds since 1970, for transactions.
    pub wall_ms: i64,
}

/// What a driver lends so that transactions can be applied.
#[derive(Debug)]
pub struct Data<'a> {
    /// The nodes.
    pub tree: &'a mut Tree,
    /// Who is told of changes.
    pub watches: &'a mut Watches,
    /// Who is alive.
    pub sessions: &'a mut Sessions,
}

/// One server.
#[derive(Debug)]
pub struct Replica {
    options: Options,
    role: Role,
    /// Says what is committed, and in an ensemble which role this is. It outlives roles.
    zab: Zab,
    /// Not prepared yet.
    arrived: VecDeque<Request>,
    /// Ends of sessions, not prepared yet. Nothing more is accepted from these sessions.
    ending: VecDeque<Request>,
    proposals: Proposals,
    /// Which connection a session has now. Only from there anything is carried out for it.
    connected: HashMap<SessionId, ConnectionId>,
    sweep: Sweep,
    /// Requests and ends of sessions in the batch that is being prepared.
    batch: (usize, usize),
    /// The log has no space: nothing is prepared, and no session expires.
    is_full: bool,
    /// The tree holds everything up to here.
    applied: Zxid,
    /// A role began, and the tree does not hold yet all that was committed before: nobody is served.
    is_catching_up: bool,
    digests: Digests,
    /// The newest time this was told, in milliseconds of the monotonic clock.
    now_ms: i64,
}

impl Replica {
    /// A server that is alone, after recovery up to `recovered`.
    #[must_use]
    pub fn alone(options: Options, recovered: Zxid, now_ms: i64) -> Self {
        Self {
            role: Role::Alone { preparer: Preparer::new(options.request, recovered) },
            zab: Zab::leading_alone(recovered),
            proposals: Proposals::new(recovered),
            sweep: Sweep::new(options.sweep, now_ms),
            arrived: VecDeque::new(),
            ending: VecDeque::new(),
            connected: HashMap::new(),
            batch: (0, 0),
            is_full: false,
            applied: recovered,
            is_catching_up: false,
            digests: Digests::Agreed,
            now_ms,
            options,
        }
    }

    /// Takes in requests, in the order in which they came.
    pub fn push(&mut self, requests: &mut Vec<Request>) {
        if self.is_member() {
            // Nobody waits for a sync of what was prepared before.
            self.batch = (0, 0);
        }
        self.arrived.extend(requests.drain(..));
    }

    /// A connection has gone, and everything it asked for was pushed before. While the disk is full, what of it
    /// was not prepared is given up, all of it, so that nothing is carried out without what came before it.
    pub fn connection_gone(&mut self, connection: ConnectionId, host: &mut impl Host) {
        if !self.is_full {
            return;
        }
        let is_its = |request: &Request| request.head.origin == Origin::Client(connection);
        let (its, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.arrived).into_iter().partition(is_its);
        self.arrived = others;
        its.iter().for_each(|request| host.drop_request(&request.head));
    }

    /// When there is something to do without a request, in milliseconds of the monotonic clock.
    #[must_use]
    pub fn deadline(&self, sessions: &Sessions) -> i64 {
        if self.role.preparer().is_none() {
            return i64::MAX;
        }
        sessions.next_deadline_ms().unwrap_or(i64::MAX).min(self.sweep.next_ms())
    }

    /// Prepares what has arrived, until the batch is large enough or the host wants the tree back.
    pub fn prepare(&mut self, now: Now, tree: &Tree, sessions: &mut Sessions, host: &mut impl Host) {
        self.now_ms = now.monotonic_ms;
        if self.is_full {
            self.serve_returning(now, tree, sessions, host);
            return;
        }
        while self.wants_prepare() {
            let is_room = self.batch.0 < BATCH_MAX;
            if let Some(request) = if is_room { self.arrived.pop_front() } else { None } {
                self.batch.0 += 1;
                self.take(request, now, tree, sessions, host);
            } else if let Some(end) = self.ending.pop_front() {
                self.batch.1 += 1;
                self.end_session(end, now, tree, sessions);
            }
            if host.must_yield() {
                break;
            }
        }
        self.propose(now);
    }

    /// Whether [`Replica::prepare`] has something to do before the batch is passed on.
    #[must_use]
    pub fn wants_prepare(&self) -> bool {
        let (requests, ends) = self.batch;
        !self.is_full
            && self.may_prepare()
            && (!self.arrived.is_empty() && requests < BATCH_MAX
                || !self.ending.is_empty() && ends < BATCH_ENDS_MAX)
    }

    /// Whether a further batch is waiting.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        !self.is_full && self.may_prepare() && self.backlog() > 0
    }

    /// Requests that wait to be prepared.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.arrived.len() + self.ending.len()
    }

    /// Requests that are prepared and not yet carried out.
    pub fn prepared(&self) -> impl ExactSizeIterator<Item = &Head> {
        self.proposals.heads()
    }

    /// How many these are.
    #[must_use]
    pub fn prepared_count(&self) -> usize {
        self.proposals.len()
    }

    /// Changes of nodes that are prepared and not yet applied.
    #[must_use]
    pub fn outstanding_changes(&self) -> usize {
        self.role.preparer().map_or(0, Preparer::changes)
    }

    /// The next transaction for the log.
    pub fn next_append(&mut self) -> Option<&TxnEntry> {
        self.proposals.next_append()
    }

    /// The log has taken what [`Replica::next_append`] gave.
    pub fn set_appended(&mut self, zxid: Zxid) {
        self.proposals.set_appended(zxid);
    }

    /// Ends the batch: asks that all it appended becomes durable, if it appended anything.
    pub fn persist(&mut self) -> Option<Ticket> {
        self.batch = (0, 0);
        let (first, last) = self.proposals.take_unsynced()?;
        self.zab.input(0, Input::Appended { first, last });
        match self.zab.poll() {
            Some(Output::Persist(ticket)) => Some(ticket),
            _ => None,
        }
    }

    /// What the ticket asks for is durable.
    pub fn done(&mut self, ticket: Ticket) {
        self.zab.input(0, Input::Done(ticket));
        if let Some(Output::Commit { up_to }) = self.zab.poll() {
            self.proposals.commit(up_to);
        }
    }

    /// Whether [`Replica::release`] has something to do.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.proposals.is_released() || self.is_member() && self.has_committed()
    }

    /// The log found no space. What has a zxid keeps its place; nothing more is prepared.
    pub const fn set_full(&mut self) {
        self.is_full = true;
    }

    /// There is space again. Every session gets its whole timeout, as none could be served.
    pub fn set_space(&mut self, now: Now, sessions: &Sessions) {
        self.is_full = false;
        sessions.renew_all(now.monotonic_ms);
    }

    /// Whether writes wait for space.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Answers clients that come back to their session: that takes no transaction.
    fn serve_returning(&mut self, now: Now, tree: &Tree, sessions: &mut Sessions, host: &mut impl Host) {
        if self.role.preparer().is_none() || !self.may_prepare() {
            return;
        }
        let returns = |request: &Request| matches!(&request.body, Body::Connect(connect) if connect.session_id != SessionId::NONE);
        let (returning, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.arrived).into_iter().partition(returns);
        self.arrived = others;
        for Request { head, body, .. } in returning {
            if let (Origin::Client(connection), Body::Connect(connect)) = (head.origin, body) {
                self.reopen(connection, &head, &connect, now, tree, sessions, host);
            }
        }
    }

    /// Whether a request is the end of a session.
    fn is_end(request: &Request) -> bool {
        request.head.op == OpCode::CLOSE_SESSION
    }
}
