//! Where everybody hands over what the writer must hear. Many put in, the writer takes all that waits at once:
//! that is what makes one sync serve many writes.
//!
//! There is a lane for each kind of sender; within a lane the order is kept. Whatever comes into any lane is attended
//! to: the writer is woken, or, where little waits and the writer can be lent, whoever brought it takes the turn, which
//! saves a way from thread to thread.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::log_port::Report;
use super::peers::FromPeers;
use crate::request::{ConnectionId, Request};

/// Things in the inbox with which whoever brought the last takes the turn. With more, others bring theirs meanwhile:
/// the writer's thread then takes them together.
const BROUGHT_MAX: usize = 4;

/// Lends the writer to whoever has brought something.
pub(super) trait Lender: Send + Sync {
    /// Takes a short turn here, unless the writer is in one: then what waits is dealt with after that.
    fn take_turn(&self);
}

/// What waits for the writer. Each connection, each peer and the log bound what they have in here.
#[derive(Default)]
pub struct Inbox {
    inner: Mutex<Inner>,
    arrived: Condvar,
    lender: OnceLock<Weak<dyn Lender>>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Taken,
    /// The writer sleeps, and nobody has woken it.
    sleeps: bool,
    /// The writer is to take a turn, though nothing may be left in here.
    is_called: bool,
    stopped: bool,
    turns: u64,
}

/// What was taken out at once.
#[derive(Debug, Default)]
pub struct Taken {
    /// Requests, in the order in which they came.
    pub requests: Vec<Request>,
    /// Connections that had gone by then. Everything they asked for is in `requests`, or was taken before.
    pub gone: Vec<ConnectionId>,
    /// What other members' connections brought.
    pub peers: Vec<FromPeers>,
    /// What the log's thread has done.
    pub disk: Vec<Report>,
}

impl Taken {
    /// Whether nobody waits for anything in here.
    fn is_quiet(&self) -> bool {
        self.brought() == 0
    }

    const fn brought(&self) -> usize {
        self.requests.len() + self.peers.len() + self.disk.len()
    }
}

impl Inbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, and wakes the writer if it sleeps.
    fn put(&self, mut inner: MutexGuard<'_, Inner>, put: impl FnOnce(&mut Taken)) {
        put(&mut inner.waiting);
        self.wake(inner);
    }

    /// Wakes the writer's thread if it sleeps.
    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let sleeps = std::mem::take(&mut inner.sleeps);
        drop(inner);
        if sleeps {
            self.arrived.notify_one();
        }
    }

    /// Waits up to `timeout` for something that the writer's thread is to take.
    fn rested(&self, timeout: Duration) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner();
        if !std::mem::take(&mut inner.is_called)
            && inner.waiting.is_quiet()
            && !inner.stopped
            && !timeout.is_zero()
        {
            inner.sleeps = true;
            (inner, _) = self.arrived.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner);
            inner.sleeps = false;
            inner.is_called = false;
        }
        inner
    }

    /// Lets the writer be lent to whoever brings something.
    pub(super) fn set_lender(&self, lender: Weak<dyn Lender>) {
        let _set_once = self.lender.set(lender);
    }

    /// Whether the writer can be lent.
    #[cfg(test)]
    pub(super) fn is_lent(&self) -> bool {
        self.lender.get().is_some()
    }

    /// Has what waits dealt with: here, if it is little and the writer can be lent, else by the writer's thread. Call
    /// it without any lock that a turn may need.
    pub fn attend(&self) {
        let inner = self.inner();
        let brought = inner.waiting.brought();
        if brought == 0 {
            return;
        }
        if brought <= BROUGHT_MAX
            && let Some(lender) = self.lender.get().and_then(Weak::upgrade)
        {
            drop(inner);
            lender.take_turn();
            return;
        }
        self.wake(inner);
    }

    /// Has the writer's thread take a turn, also if nothing waits in here.
    pub(super) fn call(&self) {
        let mut inner = self.inner();
        inner.is_called = true;
        self.wake(inner);
    }

    /// Whether a call was not heard yet.
    #[cfg(test)]
    pub(super) fn is_called(&self) -> bool {
        self.inner().is_called
    }

    /// Whether the writer sleeps, and nobody has woken it.
    #[cfg(test)]
    fn is_asleep(&self) -> bool {
        self.inner().sleeps
    }

    /// Connections that have gone, of which the writer has not heard yet.
    #[cfg(test)]
    pub fn gone(&self) -> Vec<ConnectionId> {
        self.inner().waiting.gone.clone()
    }

    /// Whether nobody waits for anything in here.
    pub(super) fn is_empty(&self) -> bool {
        self.inner().waiting.is_quiet()
    }

    /// Waits up to `timeout` for something that the writer's thread is to take, and takes nothing.
    pub(super) fn wait(&self, timeout: Duration) {
        drop(self.rested(timeout));
    }

    /// Puts in several at once, in order, and has them attended to. After [`Inbox::stop`] they are dropped: the server
    /// is going.
    pub fn push(&self, requests: &mut Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut inner = self.inner();
        if inner.stopped {
            requests.clear();
            return;
        }
        inner.waiting.requests.append(requests);
        drop(inner);
        self.attend();
    }

    /// A connection has gone. Nobody is woken for it.
    pub fn push_gone(&self, connection: ConnectionId) {
        let mut inner = self.inner();
        if !inner.stopped {
            inner.waiting.gone.push(connection);
        }
    }

    /// Puts in what a peer's connection brought.
    pub fn push_peer(&self, from: FromPeers) {
        self.put(self.inner(), |waiting| waiting.peers.push(from));
    }

    /// Puts in several things that a peer's connection brought, in their order. They wait for [`Inbox::attend`].
    pub fn put_peers(&self, from: &mut Vec<FromPeers>) {
        self.inner().waiting.peers.append(from);
    }

    /// Puts in what the log's thread has done.
    pub fn push_disk(&self, report: Report) {
        self.put(self.inner(), |waiting| waiting.disk.push(report));
    }

    /// Puts in several things that the log's thread has done, in their order, and has them attended to.
    pub fn push_reports(&self, reports: &mut dyn Iterator<Item = Report>) {
        self.inner().waiting.disk.extend(reports);
        self.attend();
    }

    /// Takes everything, waiting up to `timeout` for something. False when stopped and without requests.
    pub fn take(&self, taken: &mut Taken, timeout: Duration) -> bool {
        let mut inner = self.rested(timeout);
        inner.turns += 1;
        let Taken { requests, gone, peers, disk } = &mut inner.waiting;
        taken.requests.append(requests);
        taken.gone.append(gone);
        taken.peers.append(peers);
        taken.disk.append(disk);
        !(inner.stopped && taken.requests.is_empty())
    }

    /// Takes what peers brought, and nothing else.
    pub(super) fn take_peers(&self) -> Vec<FromPeers> {
        let mut inner = self.inner();
        inner.turns += 1;
        std::mem::take(&mut inner.waiting.peers)
    }

    /// How often everything that peers brought was taken.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.inner().turns
    }

    /// Lets no more requests in; what is inside is still served.
    pub fn stop(&self) {
        self.inner().stopped = true;
        self.arrived.notify_one();
    }

    /// Whether it was stopped and no request is left in it.
    pub(super) fn is_over(&self) -> bool {
        let inner = self.inner();
        inner.stopped && inner.waiting.requests.is_empty()
    }

    /// Whether [`Inbox::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner().stopped
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jute::{OpCode, SessionId};

    use super::*;
    use crate::request::Write;
    use crate::zab::Input;

    const LONG: Duration = Duration::from_secs(60);

    fn tick() -> FromPeers {
        FromPeers::Happened { input: Input::Tick, bytes: 0 }
    }

    /// What a writer gets that waited before anything was there.
    fn woken_by(put: impl FnOnce(&Inbox)) -> Taken {
        let inbox = Arc::new(Inbox::default());
        let waiting = std::thread::spawn({
            let inbox = inbox.clone();
            move || {
                let mut taken = Taken::default();
                while taken.is_quiet() && inbox.take(&mut taken, LONG) {}
                taken
            }
        });
        while !inbox.is_asleep() {
            std::thread::yield_now();
        }
        put(&inbox);
        waiting.join().unwrap()
    }

    #[test]
    fn whatever_comes_into_any_lane_wakes_the_writer() {
        assert_eq!(woken_by(|inbox| inbox.push_peer(tick())).peers.len(), 1);
        assert_eq!(woken_by(|inbox| inbox.push_disk(Report::Full(true))).disk.len(), 1);
        let several = |inbox: &Inbox| {
            inbox.put_peers(&mut vec![tick(), tick()]);
            inbox.attend();
        };
        assert_eq!(woken_by(several).peers.len(), 2);
        let reports = |inbox: &Inbox| inbox.push_reports(&mut [Report::Full(true)].into_iter());
        assert_eq!(woken_by(reports).disk.len(), 1);
        assert!(woken_by(Inbox::stop).is_quiet());
    }

    #[test]
    fn a_call_that_wakes_the_writer_is_heard_once() {
        let inbox = Arc::new(Inbox::default());
        let waiting = std::thread::spawn({
            let inbox = inbox.clone();
            move || inbox.wait(LONG)
        });
        while !inbox.is_asleep() {
            std::thread::yield_now();
        }
        inbox.call();
        waiting.join().unwrap();
        assert!(!inbox.is_called() && !inbox.is_asleep());
        inbox.call();
        assert!(inbox.is_called());
        inbox.wait(LONG);
        assert!(!inbox.is_called(), "who was called before it slept does not sleep");
    }

    /// Who brings much from peers waits for such a turn.
    #[test]
    fn a_turn_in_which_everything_of_peers_was_taken_is_counted() {
        let inbox = Inbox::default();
        assert_eq!(inbox.turns(), 0);
        inbox.push_peer(tick());
        inbox.wait(Duration::ZERO);
        assert_eq!(inbox.turns(), 0, "nothing was taken");
        inbox.take(&mut Taken::default(), Duration::ZERO);
        assert_eq!(inbox.turns(), 1);
        inbox.push_peer(tick());
        inbox.push_disk(Report::Full(true));
        assert_eq!((inbox.take_peers().len(), inbox.turns()), (1, 2));
        assert!(inbox.take_peers().is_empty() && !inbox.is_empty(), "what the disk has done is still there");
    }

    #[test]
    fn an_inbox_is_over_when_it_was_stopped_and_its_requests_are_served() {
        let inbox = Inbox::default();
        let end = Request::internal(SessionId(1), OpCode::CLOSE_SESSION, Write::CloseSession, 0);
        inbox.push(&mut vec![end]);
        assert!(!inbox.is_over() && !inbox.is_stopped());
        inbox.stop();
        assert!(!inbox.is_over() && inbox.is_stopped(), "one is left");
        assert!(inbox.take(&mut Taken::default(), LONG));
        assert!(inbox.is_over());
    }

    #[test]
    fn peers_and_the_disk_are_heard_of_while_the_server_stops() {
        let inbox = Inbox::default();
        inbox.stop();
        inbox.push_peer(tick());
        inbox.push_disk(Report::Full(false));
        let mut taken = Taken::default();
        assert!(!inbox.take(&mut taken, LONG), "no request is left");
        assert_eq!((taken.peers.len(), taken.disk.len()), (1, 1));
    }

    #[test]
    fn a_lane_keeps_its_order() {
        let inbox = Inbox::default();
        (0..3).for_each(|number| inbox.push_peer(FromPeers::Happened { input: Input::Tick, bytes: number }));
        inbox.push_disk(Report::Full(true));
        inbox.push_disk(Report::Full(false));
        let mut taken = Taken::default();
        inbox.take(&mut taken, Duration::ZERO);
        let order: Vec<_> = taken
            .peers
            .iter()
            .map(|from| if let FromPeers::Happened { bytes, .. } = from { *bytes } else { 99 })
            .collect();
        assert_eq!(order, [0, 1, 2]);
        assert!(matches!(taken.disk.as_slice(), [Report::Full(true), Report::Full(false)]));
    }
}
