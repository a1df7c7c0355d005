//! One turn of a connection: how long it may take, what it adds up, and the watches it leaves.

use jute::{OpCode, SessionId};

use super::Shared;
use super::meter::ReadMeter;
use super::protocol::{Consumed, End};
use crate::replica::TOO_MANY_WATCHES;
use crate::request::read::{Read, WatchAccess};
use crate::runtime::Client;
use crate::runtime::outbox::Closing;
use crate::runtime::state::State;
use crate::runtime::stats::Tally;
use crate::tree::Identities;
use crate::watch::Watches;

/// For how long frames are served before others have their turn, in microseconds.
const SLICE_US: i64 = 1000;
/// Frames between two looks at the clock. A single one may take most of a millisecond: a check against the longest
/// access control list.
const LOOK_EVERY: u32 = 4;
/// What one turn adds up before it is counted.
pub(super) struct Turn {
    pub(super) now_ms: i64,
    until_us: i64,
    unsent: usize,
    pub(super) received: u32,
    pub(super) immediate: u32,
    pub(super) received_bytes: u64,
    pub(super) tally: Tally,
}

impl Turn {
    pub(super) fn new(shared: &Shared, unsent: usize) -> Self {
        let now_us = shared.clock.now_us();
        Self {
            now_ms: now_us / 1000,
            until_us: now_us + SLICE_US,
            unsent,
            received: 0,
            immediate: 0,
            received_bytes: 0,
            tally: Tally::default(),
        }
    }

    /// Whether what is unsent leaves room for another reply.
    pub(super) fn has_room(&self, client: &Client, unsent_bytes_max: usize) -> bool {
        self.unsent + client.outbox().waiting() < unsent_bytes_max
    }

    pub(super) fn is_over(&self, shared: &Shared) -> bool {
        self.received.is_multiple_of(LOOK_EVERY) && shared.clock.now_us() >= self.until_us
    }
}

/// Goes on with a reply that is made in slices; what came behind it waits. While the client leaves much unread,
/// that waits too.
///
/// # Errors
/// When it cannot be finished: the connection must end.
pub(super) fn go_on(
    shared: &Shared,
    client: &Client,
    identities: &Identities,
    unsent: usize,
) -> Result<Consumed, End> {
    if unsent >= shared.limits.unsent_bytes_max {
        return Ok(Consumed::Nothing);
    }
    let state = &shared.state;
    let meter = ReadMeter::new(shared);
    let tree = state.tree();
    let read = Read {
        options: &state.options,
        tree: &tree,
        watches: &OfConnection { state, client },
        connection: client.id,
        session: client.session().map_or(SessionId::NONE, |session| session.id),
        identities,
        meter: &|seen| meter.count(seen),
    };
    let mut outbox = client.outbox();
    if !outbox.go_on(&read) {
        return Err(End::Refused("the tree was replaced while a long reply was being made".into()));
    }
    state.budget.hold(outbox.take_unaccounted() as i64);
    drop(outbox);
    if client.is_over_watched() {
        client.close(Closing::Refused(TOO_MANY_WATCHES));
    }
    Ok(Consumed::SliceOver)
}

/// The watches of the server, on behalf of one connection.
pub(super) struct OfConnection<'a> {
    pub(super) state: &'a State,
    pub(super) client: &'a Client,
}

impl WatchAccess for OfConnection<'_> {
    fn with(&self, act: &mut dyn FnMut(&mut Watches)) {
        let mut watches = self.state.watches();
        if !self.client.is_closed() {
            act(&mut watches);
        }
    }
    fn set_over_limit(&self) {
        self.client.set_over_watched();
    }
    fn is_over_limit(&self) -> bool {
        self.client.is_over_watched()
    }
}

/// A connection that holds no more than this may go on for a while when the server holds as much as it may.
pub(super) const SMALL_BYTES: usize = 16 << 10;

/// Requests that free something, or keep a session: no lack of memory stops them.
pub(super) const fn always_gets_through(op: OpCode) -> bool {
    matches!(op, OpCode::PING | OpCode::CLOSE_SESSION | OpCode::DELETE)
}
