//! A connection as the rest of the server sees it: who it is, and where its replies go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::outbox::{Closing, Outbox};
use super::trail::Notes;
use crate::request::ConnectionId;
use crate::request::replies::Packets;
use crate::session::SessionHandle;
use crate::tree::acl::encoded_bytes;
use crate::tree::{Identities, Identity};

/// Bytes of identities a connection may add.
pub const IDENTITY_BYTES_MAX: usize = 1 << 20;

/// A socket that takes bytes without waiting. What it does not take stays where it was.
pub trait Socket: Send + Sync + std::fmt::Debug {
    /// Writes what it can and returns how much that was.
    fn write_now(&self, bytes: &[u8]) -> usize;

    /// Ends it in both directions, at once.
    fn shut_down(&self);
}

/// Which port a client came by. Operators' words speak of the clients of the port that they are sent to (reference: each port
/// has a `ServerCnxnFactory` of its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// `clientPort`, also where it speaks TLS.
    Client,
    /// `secureClientPort`.
    SecureClient,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// Its number, also as a watcher.
    pub id: ConnectionId,
    /// Its other end.
    pub peer: SocketAddr,
    /// Which port it came by.
    pub port: Port,
    /// When it came, in milliseconds since 1970.
    pub established_ms: i64,
    socket: OnceLock<Arc<dyn Socket>>,
    session: OnceLock<Arc<SessionHandle>>,
    identities: RwLock<Identities>,
    identity_bytes: AtomicUsize,
    outbox: Mutex<Outbox>,
    /// For the audit trail; empty without one.
    notes: Mutex<Notes>,
    in_flight: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    closed: AtomicBool,
    /// It was ended by others: nothing more of what it asks for is carried out.
    ended: AtomicBool,
    /// The largest answer to a read behind a write, since it was last asked for.
    largest_ordered: AtomicUsize,
    /// Its watches take more than a connection's may.
    over_watched: AtomicBool,
    /// The writer wants to know whether there is anything to read.
    listen: AtomicBool,
    /// When there was last nothing to read, on the monotonic clock, as far as anybody asked.
    silent_ms: AtomicI64,
}

impl Client {
    /// A connection that just came, by `clientPort`; the `ip` scheme identifies it by its address.
    #[must_use]
    pub fn new(id: ConnectionId, peer: SocketAddr, established_ms: i64) -> Self {
        let ip = Identity { scheme: "ip".into(), id: crate::tree::ip::identity(peer.ip()) };
        Self {
            id,
            peer,
            port: Port::Client,
            established_ms,
            socket: OnceLock::new(),
            session: OnceLock::new(),
            identities: RwLock::new([ip].as_slice().into()),
            identity_bytes: AtomicUsize::new(0),
            outbox: Mutex::default(),
            notes: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            in_flight_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            largest_ordered: AtomicUsize::new(0),
            over_watched: AtomicBool::new(false),
            listen: AtomicBool::new(false),
            silent_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// The same, that came by this port.
    #[must_use]
    pub fn by(self, port: Port) -> Self {
        Self { port, ..self }
    }

    /// Lets others write to its socket when that is quicker than waking its task.
    pub fn set_socket(&self, socket: Arc<dyn Socket>) {
        let _set_once = self.socket.set(socket);
    }

    /// Sends what is in the outbox: straight to the socket if `directly` and nothing speaks against it, else
    /// by waking the connection. What it may send itself it counts first: whoever has a reply and then asks
    /// for the server's figures finds it there.
    pub fn deliver(&self, directly: bool, count: impl FnOnce(Packets)) {
        let mut outbox = self.outbox();
        match self.socket.get().filter(|_| directly) {
            Some(socket) => {
                count(outbox.take_packets());
                outbox.flush(|bytes| socket.write_now(bytes));
            }
            None => outbox.wake(),
        }
    }

    /// What it asked for, as far as that is audited.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub fn identities(&self) -> Identities {
        self.identities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds an identity, once. False when there are too many, which would pass [`IDENTITY_BYTES_MAX`].
    #[must_use]
    pub fn add_identity(&self, identity: Identity) -> bool {
        let mut identities = self.identities.write().unwrap_or_else(PoisonError::into_inner);
        if identities.contains(&identity.scheme, &identity.id) {
            return true;
        }
        let bytes = identities.encoded_bytes() + encoded_bytes(&identity);
        if bytes > IDENTITY_BYTES_MAX {
            return false;
        }
        identities.insert(identity);
        self.identity_bytes.store(bytes, Ordering::Relaxed);
        true
    }

    /// Bytes of what it has proven to be; 0 while that is no more than its address.
    #[must_use]
    pub fn identity_bytes(&self) -> usize {
        self.identity_bytes.load(Ordering::Relaxed)
    }

    /// A read behind a write was answered with so many bytes.
    pub(crate) fn note_ordered(&self, bytes: usize) {
        self.largest_ordered.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The largest answer to a read behind a write since this was last asked, in bytes.
    pub fn take_largest_ordered(&self) -> usize {
        self.largest_ordered.swap(0, Ordering::Relaxed)
    }

    /// Its replies.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that take their turn with the writer and are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Their size as they came, in bytes.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes.load(Ordering::Relaxed)
    }

    /// One more request of this size went to the writer. Only the connection itself does this.
    pub fn enter(&self, bytes: usize) {
        self.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// One was answered; its reply is in the outbox.
    pub fn leave(&self, bytes: usize) {
        self.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether it has more watches than it may.
    #[must_use]
    pub fn is_over_watched(&self) -> bool {
        self.over_watched.load(Ordering::Relaxed)
    }

    /// It has more watches than it may.
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

    /// Ends the connection.
    pub fn close(&self, how: Closing) {
        let mut outbox = self.outbox();
        outbox.close(how);
        if how != Closing::AfterReplies {
            self.ended.store(true, Ordering::Release);
            // A client that does not read would keep its task waiting for the socket.
            if let Some(socket) = self.socket.get() {
                socket.shut_down();
            }
            outbox.wake_task();
        }
        outbox.wake();
    }

    /// Whether it was ended at once: nothing more of what it asks for is carried out.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether there was nothing to read at or after `since_ms`. If that is not known, asks the connection.
    pub fn has_listened(&self, since_ms: i64) -> bool {
        if self.is_closed() || self.silent_ms.load(Ordering::Acquire) >= since_ms {
            return true;
        }
        if !self.listen.swap(true, Ordering::AcqRel) {
            self.outbox().wake_task();
        }
        false
    }

    /// Whether somebody wants to know if there is anything to read.
    #[must_use]
    pub fn is_asked_to_listen(&self) -> bool {
        self.listen.load(Ordering::Relaxed)
    }

    /// There was nothing to read at `now_ms`.
    pub fn set_silent(&self, now_ms: i64) {
        self.silent_ms.store(now_ms, Ordering::Release);
        self.listen.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::*;

    /// Takes so many bytes.
    #[derive(Debug)]
    struct Room(AtomicUsize, Mutex<Vec<u8>>);

    impl Socket for Arc<Room> {
        fn write_now(&self, bytes: &[u8]) -> usize {
            let count = bytes.len().min(self.0.swap(0, Ordering::Relaxed));
            self.1.lock().expect("one thread").extend_from_slice(&bytes[..count]);
            count
        }
        fn shut_down(&self) {}
    }

    fn client(room: usize) -> (Client, Arc<Room>) {
        let client = Client::new(1, ([127, 0, 0, 1], 1).into(), 0);
        let socket = Arc::new(Room(AtomicUsize::new(room), Mutex::default()));
        client.set_socket(Arc::new(Arc::clone(&socket)));
        (client, socket)
    }

    /// What the connection finds when it looks.
    fn collected(client: &Client) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        client.outbox().collect(&mut bytes, Waker::noop()).then_some(bytes)
    }

    #[test]
    fn a_connection_proves_so_many_identities_and_no_more() {
        let (client, _) = client(0);
        let identity =
            |n: usize| Identity { scheme: "digest".into(), id: format!("{n}{}:hash", "u".repeat(100_000)) };
        let proven = (0..20).take_while(|n| client.add_identity(identity(*n))).count();
        assert_eq!(proven, IDENTITY_BYTES_MAX / 100_000);
        assert!(client.add_identity(identity(0)), "one it has already");
        assert!((900_000..=IDENTITY_BYTES_MAX).contains(&client.identity_bytes()), "what the budget is told");
    }

    #[test]
    fn identities_take_as_many_bytes_as_they_may_and_not_one_more() {
        let adds = |more: usize| {
            let (client, _) = client(0);
            let known = client.identities().encoded_bytes();
            let empty = Identity { scheme: "digest".into(), id: String::new() };
            let id = "u".repeat(IDENTITY_BYTES_MAX - known - encoded_bytes(&empty) + more);
            client.add_identity(Identity { id, ..empty })
        };
        assert!(adds(0) && !adds(1));
    }

    #[test]
    fn what_is_delivered_directly_is_not_written_again() {
        let (client, socket) = client(100);
        client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"reply")));
        let mut counted = 0;
        client.deliver(true, |packets| counted = packets.count);
        assert_eq!(counted, 1);
        assert_eq!(*socket.1.lock().unwrap(), b"reply");
        assert_eq!(collected(&client), None);
    }

    #[test]
    fn what_the_socket_does_not_take_is_left_to_the_connection() {
        let (client, socket) = client(2);
        client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"reply")));
        client.deliver(true, drop);
        assert_eq!(*socket.1.lock().unwrap(), b"re");
        assert_eq!(collected(&client).as_deref(), Some(&b"ply"[..]));
    }

    #[test]
    fn nothing_overtakes_what_the_connection_is_writing() {
        let (client, socket) = client(100);
        client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"first")));
        assert_eq!(collected(&client).as_deref(), Some(&b"first"[..]));
        client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"second")));
        client.deliver(true, drop);
        assert!(socket.1.lock().unwrap().is_empty());
        assert_eq!(collected(&client).as_deref(), Some(&b"second"[..]));
    }

    #[test]
    fn a_connection_that_waits_for_more_than_bytes_is_woken() {
        let (client, socket) = client(100);
        client.outbox().require_wake();
        client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"reply")));
        client.deliver(true, drop);
        assert!(socket.1.lock().unwrap().is_empty());
    }

    #[test]
    fn a_connection_is_asked_once_whether_its_client_has_been_silent() {
        let (client, _) = client(0);
        assert!(!client.is_asked_to_listen());
        assert!(!client.has_listened(100) && client.is_asked_to_listen());
        client.set_silent(99);
        assert!(!client.is_asked_to_listen() && !client.has_listened(100));
        client.set_silent(100);
        assert!(client.has_listened(100) && client.has_listened(50) && !client.has_listened(101));
        client.set_closed();
        assert!(client.is_closed() && client.has_listened(i64::MAX), "who has gone is silent");
    }

    /// Counts how often it is woken.
    #[derive(Debug, Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_that_is_asked_whether_it_has_listened_is_woken_to_look_once() {
        let (client, _) = client(0);
        let wakes = Arc::new(Wakes::default());
        client.outbox().collect(&mut Vec::new(), &Waker::from(wakes.clone()));
        assert!(!client.has_listened(100) && !client.has_listened(100));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        client.set_silent(99);
        assert!(!client.has_listened(100));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        client.set_silent(100);
        assert!(client.has_listened(100));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2, "it is known");
    }

    #[test]
    fn requests_in_the_writer_s_hands_are_counted_with_their_bytes() {
        let (client, _) = client(0);
        assert_eq!((client.in_flight(), client.in_flight_bytes(), client.take_largest_ordered()), (0, 0, 0));
        client.enter(10);
        client.enter(5);
        assert_eq!((client.in_flight(), client.in_flight_bytes()), (2, 15));
        client.leave(10);
        assert_eq!((client.in_flight(), client.in_flight_bytes()), (1, 5));
        client.note_ordered(7);
        client.note_ordered(3);
        assert_eq!((client.take_largest_ordered(), client.take_largest_ordered()), (7, 0));
        assert_eq!(client.identity_bytes(), 0, "its address costs nothing");
        assert!(!client.is_over_watched());
        client.set_over_watched();
        assert!(client.is_over_watched());
    }

    /// Takes nothing, and notes when it is shut down.
    #[derive(Debug, Default)]
    struct Ends(AtomicBool);

    impl Socket for Arc<Ends> {
        fn write_now(&self, _: &[u8]) -> usize {
            0
        }
        fn shut_down(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_who_is_ended_at_once_loses_the_socket_at_once() {
        for (how, is_at_once) in
            [(Closing::AfterReplies, false), (Closing::Now, true), (Closing::Refused("why"), true)]
        {
            let client = Client::new(1, ([127, 0, 0, 1], 1).into(), 0);
            let socket = Arc::new(Ends::default());
            client.set_socket(Arc::new(Arc::clone(&socket)));
            client.close(how);
            assert_eq!((client.is_ended(), socket.0.load(Ordering::Relaxed)), (is_at_once, is_at_once));
            assert_eq!(client.outbox().closing(), Some(how));
        }
    }

    #[test]
    fn without_a_socket_of_its_own_the_writer_leaves_replies_to_the_connection() {
        let (client, socket) = client(100);
        client.outbox().append(|out| out.raw(|out| out.extend_from_slice(b"reply")));
        client.deliver(false, |_| panic!("the connection counts what it sends"));
        assert!(socket.1.lock().unwrap().is_empty());
        assert_eq!(collected(&client).as_deref(), Some(&b"reply"[..]));
    }
}
