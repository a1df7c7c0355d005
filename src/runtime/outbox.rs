//! What a connection is to write, and the waking of its task.

use std::task::Waker;

use jute::Zxid;

use crate::request::read::Read;
use crate::request::replies::{Packets, Replies};

/// Bytes of events a client may leave unread.
pub const EVENT_BYTES_MAX: usize = 32 << 20;
/// Bytes of replies that may wait for a client while its requests are in the writer's hands. A connection that
/// pipelines large reads behind a write, and reads none of the replies, ends here.
pub const WAITING_BYTES_MAX: usize = 16 << 20;

/// What may pile up before the budget is told.
const PILE_BYTES: usize = 64 << 10;

/// What is to be written to the socket, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    replies: Replies,
    closing: Option<Closing>,
    /// Something was put in since the connection last looked.
    fresh: bool,
    /// The connection holds bytes it took from here and has not written yet.
    writing: bool,
    /// What the server's budget knows of the bytes in here.
    accounted: usize,
    /// The connection waits for more than replies: for room, for its session.
    must_wake: bool,
    /// Wakes the connection for what is put in; registered while it waits for that.
    waker: Option<Waker>,
    /// Wakes the connection whatever it waits for; of the task that looked first, which it keeps.
    task: Option<Waker>,
    /// What the connection has done.
    pub stats: ClientStats,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// When what is here has been written.
    AfterReplies,
    /// At once, because its session went elsewhere or ended.
    Now,
    /// At once, for a reason that the server's log tells.
    Refused(&'static str),
}

/// Figures of one connection (reference: `ServerCnxn`). Latencies in milliseconds.
#[derive(Clone, Debug)]
pub struct ClientStats {
    /// Requests received.
    pub received: u64,
    /// Replies and notifications sent.
    pub sent: u64,
    /// Last operation, in four letters.
    pub last_op: &'static str,
    /// Last xid that was not negative; -1 before, after a reset.
    pub last_cxid: i64,
    /// Zxid of the last reply; -1 before, after a reset.
    pub last_zxid: i64,
    /// When the last reply was made, on the monotonic clock.
    pub last_response_ms: i64,
    /// Latency of the last request.
    pub last_latency: i64,
    /// Smallest latency; `None` before the first reply after a reset. Before a reset the reference shows 0.
    pub min_latency: Option<i64>,
    /// Largest latency.
    pub max_latency: i64,
    /// Sum of latencies.
    pub total_latency: i64,
    /// Number of latencies in the sum.
    pub count: i64,
}

impl Default for ClientStats {
    /// What the reference shows of a connection before its first operation: its fields as Java leaves them.
    fn default() -> Self {
        Self { last_op: "null", last_cxid: 0, last_zxid: 0, min_latency: Some(0), ..Self::RESET }
    }
}

impl ClientStats {
    /// After a reset (reference: `ServerCnxn.resetStats`).
    pub const RESET: Self = Self {
        received: 0,
        sent: 0,
        last_op: "NA",
        last_cxid: -1,
        last_zxid: -1,
        last_response_ms: 0,
        last_latency: 0,
        min_latency: None,
        max_latency: 0,
        total_latency: 0,
        count: 0,
    };

    /// Notes a reply.
    pub fn replied(&mut self, op: &'static str, xid: i32, zxid: Zxid, received_ms: i64, now_ms: i64) {
        if xid >= 0 {
            self.last_cxid = xid.into();
        }
        let latency = now_ms - received_ms;
        self.last_zxid = zxid.0;
        self.last_op = op;
        self.last_response_ms = now_ms;
        self.last_latency = latency;
        self.min_latency = Some(self.min_latency.map_or(latency, |least| least.min(latency)));
        self.max_latency = self.max_latency.max(latency);
        self.total_latency += latency;
        self.count += 1;
    }
}

impl Outbox {
    /// Appends what `write` appends. A connection that is ending is sent nothing more: what is answered behind its end
    /// would stand where the answer to something before it is missing.
    pub fn append(&mut self, write: impl FnOnce(&mut Replies)) {
        if self.closing.is_some() {
            return;
        }
        let before = self.replies.packet_count();
        write(&mut self.replies);
        self.stats.sent += self.replies.packet_count() - before;
        self.fresh = true;
    }

    /// Whether a reply is still being made. The connection goes on with it ([`Outbox::go_on`]).
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.replies.is_unfinished()
    }

    /// Goes on for a slice with the first reply that is still being made. False when that cannot be done any more.
    #[must_use]
    pub fn go_on(&mut self, read: &Read<'_>) -> bool {
        let before = self.replies.packet_count();
        let goes_on = self.replies.go_on(read);
        self.stats.sent += self.replies.packet_count() - before;
        self.fresh |= !self.replies.bytes().is_empty();
        goes_on
    }

    /// Takes the count of what was put in since the last time.
    pub const fn take_packets(&mut self) -> Packets {
        self.replies.take_packets()
    }

    /// What piled up in here since the budget was last told, once that is a good deal; it counts as told.
    pub fn take_unaccounted(&mut self) -> usize {
        let more = self.replies.len().saturating_sub(self.accounted);
        if more < PILE_BYTES {
            return 0;
        }
        self.accounted += more;
        more
    }

    /// What the budget was told of, which is here no longer.
    pub fn forget_taken(&mut self) -> usize {
        let left = self.accounted.min(self.replies.len());
        std::mem::replace(&mut self.accounted, left) - left
    }

    /// What the budget was told of. Nothing will take it any more.
    pub const fn forget_accounted(&mut self) -> usize {
        std::mem::replace(&mut self.accounted, 0)
    }

    /// The largest zxid that the connection was told.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.replies.last_zxid()
    }

    /// Asks for the connection to be closed. The strictest way that was asked for counts.
    pub fn close(&mut self, how: Closing) {
        if matches!(self.closing, None | Some(Closing::AfterReplies)) {
            self.closing = Some(how);
        }
        if how != Closing::AfterReplies {
            self.replies.clear();
        }
        self.fresh = true;
    }

    /// Writes what is here with `write`, which returns how much it took, unless the connection must see it
    /// or holds earlier bytes; then, or when some is left, wakes it.
    pub(super) fn flush(&mut self, write: impl FnOnce(&[u8]) -> usize) {
        if !(self.writing || self.must_wake || self.closing.is_some()) {
            let sent = write(self.replies.bytes());
            self.replies.drop_front(sent);
            if self.replies.is_empty() {
                self.fresh = false;
                return;
            }
        }
        self.wake();
    }

    /// Wakes the connection to write.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes the connection's task, whatever it waits for.
    pub fn wake_task(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Takes what is to be written, if anything came since the last time, and leaves `spare` in its
    /// place. Registers `waker` for what comes later, and the first one for what is not about replies.
    pub fn collect(&mut self, spare: &mut Vec<u8>, waker: &Waker) -> bool {
        self.task.get_or_insert_with(|| waker.clone());
        self.writing = self.fresh;
        self.must_wake = false;
        if self.fresh {
            self.fresh = false;
            self.replies.swap(spare);
            return true;
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        false
    }

    /// The connection waits for something that replies may bring besides their bytes: it must be woken.
    pub const fn require_wake(&mut self) {
        self.must_wake = true;
    }

    /// How the connection is to end, if it is.
    #[must_use]
    pub const fn closing(&self) -> Option<Closing> {
        self.closing
    }

    /// Whether something came that the connection has not looked at: then it is awake, or about to be.
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.fresh
    }

    /// Bytes not yet taken by the connection, with those that replies that are still being made will have.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.replies.len()
    }

    /// Bytes not yet taken by the connection but for replies that are still being made, which is not its fault.
    #[must_use]
    pub fn piled(&self) -> usize {
        self.replies.piled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Debug, Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Wakes {
        fn take(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    fn put(outbox: &mut Outbox, bytes: &[u8]) {
        outbox.append(|out| out.raw(|out| out.extend_from_slice(bytes)));
    }

    fn collected(outbox: &mut Outbox, waker: &Waker) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        outbox.collect(&mut bytes, waker).then_some(bytes)
    }

    #[test]
    fn a_connection_that_found_nothing_is_woken_once_for_what_comes() {
        let (mut outbox, wakes) = (Outbox::default(), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes.clone());
        assert_eq!(collected(&mut outbox, &waker), None);
        put(&mut outbox, b"a");
        assert!(outbox.has_news() && outbox.waiting() == 1);
        outbox.wake();
        outbox.wake();
        assert_eq!(wakes.take(), 1);
        assert_eq!(collected(&mut outbox, &waker).as_deref(), Some(&b"a"[..]));
        assert!(!outbox.has_news() && outbox.waiting() == 0);
        outbox.wake();
        assert_eq!(wakes.take(), 0, "it is writing and looks again by itself");
        assert_eq!(collected(&mut outbox, &waker), None);
        outbox.wake();
        assert_eq!(wakes.take(), 1);
        // Another task has it now.
        let other = Arc::new(Wakes::default());
        collected(&mut outbox, &waker);
        collected(&mut outbox, &Waker::from(other.clone()));
        outbox.wake();
        assert_eq!((wakes.take(), other.take()), (0, 1));
    }

    #[test]
    fn what_the_socket_did_not_take_the_connection_is_woken_for() {
        let (mut outbox, wakes) = (Outbox::default(), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes.clone());
        collected(&mut outbox, &waker);
        put(&mut outbox, b"abc");
        outbox.flush(|bytes| bytes.len());
        assert_eq!((outbox.has_news(), outbox.waiting(), wakes.take()), (false, 0, 0), "all went");
        put(&mut outbox, b"abc");
        outbox.flush(|_| 1);
        assert_eq!((outbox.has_news(), outbox.waiting(), wakes.take()), (true, 2, 1));
        assert_eq!(collected(&mut outbox, &waker).as_deref(), Some(&b"bc"[..]));
        // It holds these bytes: nothing may overtake them.
        put(&mut outbox, b"d");
        outbox.flush(|_| panic!("it overtakes"));
        assert_eq!(outbox.waiting(), 1);
        collected(&mut outbox, &waker);
        collected(&mut outbox, &waker);
        outbox.require_wake();
        put(&mut outbox, b"e");
        outbox.flush(|_| panic!("it must see this itself"));
        assert_eq!(wakes.take(), 1);
        // It has seen it, and waits for nothing else any more.
        collected(&mut outbox, &waker);
        collected(&mut outbox, &waker);
        put(&mut outbox, b"f");
        outbox.flush(|bytes| bytes.len());
        assert_eq!((outbox.waiting(), wakes.take()), (0, 0));
    }

    #[test]
    fn the_strictest_way_to_end_counts_and_nothing_more_is_sent_then() {
        let mut outbox = Outbox::default();
        assert_eq!((outbox.closing(), outbox.has_news()), (None, false));
        outbox.close(Closing::AfterReplies);
        assert!(outbox.has_news(), "an end is news");
        let mut outbox = Outbox::default();
        put(&mut outbox, b"reply");
        outbox.close(Closing::AfterReplies);
        put(&mut outbox, b"more");
        assert_eq!(
            (outbox.closing(), outbox.waiting()),
            (Some(Closing::AfterReplies), 5),
            "what comes behind the end is not sent"
        );
        outbox.flush(|_| panic!("the connection must see that it ends"));
        outbox.close(Closing::Refused("why"));
        assert_eq!((outbox.closing(), outbox.waiting()), (Some(Closing::Refused("why")), 0));
        outbox.close(Closing::Now);
        outbox.close(Closing::AfterReplies);
        assert_eq!(outbox.closing(), Some(Closing::Refused("why")));
        let sent = outbox.stats.sent;
        put(&mut outbox, b"late");
        assert_eq!((outbox.waiting(), outbox.stats.sent), (0, sent));
        assert!(outbox.has_news(), "the connection has not seen the end yet");
    }

    #[test]
    fn the_budget_is_told_of_what_piles_up_and_of_its_going() {
        let mut outbox = Outbox::default();
        put(&mut outbox, &vec![0; PILE_BYTES - 1]);
        assert_eq!(outbox.take_unaccounted(), 0, "not worth the telling");
        put(&mut outbox, b"1");
        assert_eq!(outbox.take_unaccounted(), PILE_BYTES);
        assert_eq!(outbox.take_unaccounted(), 0, "it was told");
        put(&mut outbox, &vec![0; PILE_BYTES + 5]);
        assert_eq!(outbox.take_unaccounted(), PILE_BYTES + 5);
        assert_eq!(outbox.forget_taken(), 0, "nothing was taken");
        collected(&mut outbox, Waker::noop());
        assert_eq!(outbox.forget_taken(), 2 * PILE_BYTES + 5);
        put(&mut outbox, &vec![0; PILE_BYTES]);
        assert_eq!((outbox.take_unaccounted(), outbox.forget_accounted()), (PILE_BYTES, PILE_BYTES));
        assert_eq!(outbox.forget_accounted(), 0);
    }

    #[test]
    fn a_task_is_woken_whatever_it_waits_for() {
        let (mut outbox, wakes) = (Outbox::default(), Arc::new(Wakes::default()));
        outbox.wake_task();
        put(&mut outbox, b"reply");
        collected(&mut outbox, &Waker::from(wakes.clone()));
        outbox.wake();
        assert_eq!(wakes.take(), 0, "for no reply");
        outbox.wake_task();
        outbox.wake_task();
        assert_eq!(wakes.take(), 2);
    }

    #[test]
    fn the_numbers_of_a_client_s_own_requests_are_kept_and_no_others() {
        let mut stats = ClientStats::RESET;
        stats.replied("CREA", 0, Zxid(5), 10, 14);
        assert_eq!((stats.last_cxid, stats.last_zxid, stats.last_latency), (0, 5, 4));
        stats.replied("PING", -2, Zxid(6), 20, 21);
        assert_eq!((stats.last_cxid, stats.last_zxid, stats.last_op), (0, 6, "PING"));
        assert_eq!((stats.min_latency, stats.max_latency), (Some(1), 4));
        assert_eq!((stats.total_latency, stats.count, stats.last_response_ms), (5, 2, 21));
    }
}
