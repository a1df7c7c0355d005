//! A connection as the rest of the server sees it: who it is, and where its replies go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::outbox::Outbox;
use crate::session::SessionHandle;
use crate::tree::Identity;
use crate::watch::WatcherId;

/// Memory the watches of a connection may take: half a million of them and more. The reference has no
/// bound but its memory.
pub const WATCH_BYTES_MAX: usize = 128 << 20;
/// Bytes of identities a connection may add.
pub const IDENTITY_BYTES_MAX: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// Its number, also as a watcher.
    pub id: WatcherId,
    /// Its other end.
    pub peer: SocketAddr,
    /// When it came, in milliseconds since 1970.
    pub established_ms: i64,
    session: OnceLock<Arc<SessionHandle>>,
    identities: RwLock<Arc<[Identity]>>,
    outbox: Mutex<Outbox>,
    in_flight: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    closed: AtomicBool,
    /// Its watches take more than [`WATCH_BYTES_MAX`].
    over_watched: AtomicBool,
    /// Clients before 3.4 neither send nor expect the read-only byte.
    knows_read_only: AtomicBool,
}

impl Client {
    /// A connection that just came; the `ip` scheme identifies it by its address.
    #[must_use]
    pub fn new(id: WatcherId, peer: SocketAddr, established_ms: i64) -> Self {
        let ip = Identity { scheme: "ip".into(), id: crate::tree::ip::identity(peer.ip()) };
        Self {
            id,
            peer,
            established_ms,
            session: OnceLock::new(),
            identities: RwLock::new(Arc::new([ip])),
            outbox: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            in_flight_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            over_watched: AtomicBool::new(false),
            knows_read_only: AtomicBool::new(true),
        }
    }

    /// Its session, once it has one.
    pub fn session(&self) -> Option<&Arc<SessionHandle>> {
        self.session.get()
    }

    /// Gives it its session.
    pub fn bind(&self, session: Arc<SessionHandle>) {
        // A client that sends createSession by itself asks again for the session it has.
        let _already_bound = self.session.set(session);
    }

    /// Who it has proven to be.
    pub fn identities(&self) -> Arc<[Identity]> {
        self.identities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds an identity, once. False when there are too many, which would pass [`IDENTITY_BYTES_MAX`].
    #[must_use]
    pub fn add_identity(&self, identity: Identity) -> bool {
        let mut identities = self.identities.write().unwrap_or_else(PoisonError::into_inner);
        if identities.contains(&identity) {
            return true;
        }
        let bytes: usize = identities.iter().chain([&identity]).map(crate::tree::acl::encoded_bytes).sum();
        if bytes > IDENTITY_BYTES_MAX {
            return false;
        }
        *identities = identities.iter().cloned().chain([identity]).collect();
        true
    }

    /// Its replies.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that take their turn in the pipeline and are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Their size as they came, in bytes.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes.load(Ordering::Relaxed)
    }

    /// One more request of this size went into the pipeline. Only the connection itself does this.
    pub fn enter(&self, bytes: usize) {
        self.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// One was answered; its reply is in the outbox.
    pub fn leave(&self, bytes: usize) {
        self.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether connect responses end with the read-only byte.
    #[must_use]
    pub fn knows_read_only(&self) -> bool {
        self.knows_read_only.load(Ordering::Relaxed)
    }

    /// The connect request came without the read-only byte.
    pub fn set_old_protocol(&self) {
        self.knows_read_only.store(false, Ordering::Relaxed);
    }

    /// Whether it has more watches than it may.
    #[must_use]
    pub fn is_over_watched(&self) -> bool {
        self.over_watched.load(Ordering::Relaxed)
    }

    /// It has more watches than it may: its next reply is its end.
    pub fn set_over_watched(&self) {
        self.over_watched.store(true, Ordering::Relaxed);
    }

    /// Whether the socket is gone: nothing more may be registered for it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The socket is gone.
    pub fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Closes the connection once what is in the outbox has been written.
    pub fn close(&self) {
        let mut outbox = self.outbox();
        outbox.close_after();
        outbox.wake();
    }
}
