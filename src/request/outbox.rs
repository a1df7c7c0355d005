//! What a connection is to write, in order, and what it has written so far.

use std::task::Waker;

use jute::{Code, Zxid, write};

use crate::fault::{self, Fault};
use crate::watch::EventType;

/// xid of watch notifications.
const NOTIFICATION_XID: i32 = -1;
/// Keeper state in notifications: connected.
const SYNC_CONNECTED: i32 = 3;

/// Bytes of text the reference sends at once.
const TEXT_PACKET_BYTES: usize = 8192;
/// The largest reply there can be.
const REPLY_BYTES_MAX: usize = i32::MAX as usize;

/// Bytes of events a client may leave unread.
pub const EVENT_BYTES_MAX: usize = 32 << 20;

/// What is to be written to the socket, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    close: bool,
    /// Why the connection must end, whatever is in here.
    refusal: Option<&'static str>,
    /// Replies put in since the connection last looked.
    fresh: bool,
    /// The connection holds bytes it took from here and has not written yet.
    writing: bool,
    /// The connection waits for more than replies: for room, for its session.
    must_wake: bool,
    waker: Option<Waker>,
    news: Packets,
    /// What the connection has done.
    pub stats: ClientStats,
}

/// What was put into an outbox since it was last counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packets {
    /// Replies, notifications and other packets.
    pub count: u64,
    /// Bytes of replies and notifications.
    pub bytes: u64,
    /// Bytes of notifications.
    pub event_bytes: u64,
    /// Size of the last reply, the smallest and the largest; 0 when there was none.
    pub last: usize,
    /// Smallest.
    pub min: usize,
    /// Largest.
    pub max: usize,
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
    /// Last xid that was not negative; -1 before.
    pub last_cxid: i64,
    /// Zxid of the last reply; -1 before.
    pub last_zxid: i64,
    /// When the last reply was made, on the monotonic clock.
    pub last_response_ms: i64,
    /// Latency of the last request.
    pub last_latency: i64,
    /// Smallest latency; `None` before the first reply.
    pub min_latency: Option<i64>,
    /// Largest latency.
    pub max_latency: i64,
    /// Sum of latencies.
    pub total_latency: i64,
    /// Number of latencies in the sum.
    pub count: i64,
}

impl Default for ClientStats {
    fn default() -> Self {
        Self {
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
        }
    }
}

impl ClientStats {
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
    /// Appends a reply. A body that turns out to be an error is taken back: errors have none.
    pub fn reply(
        &mut self,
        xid: i32,
        zxid: Zxid,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), Code>,
    ) -> Code {
        self.reply_whole(xid, zxid, |out| {
            let start = out.len();
            match body(out) {
                Ok(()) => Code::OK,
                Err(code) => {
                    out.truncate(start);
                    code
                }
            }
        })
    }

    /// Appends a reply whose body stays also with an error.
    pub fn reply_whole(&mut self, xid: i32, zxid: Zxid, body: impl FnOnce(&mut Vec<u8>) -> Code) -> Code {
        let out = &mut self.bytes;
        let start = write::begin_frame(out);
        write::int(out, xid);
        write::long(out, zxid.0);
        let err = out.len();
        write::int(out, 0);
        let mut code = body(out);
        if out.len() - start > REPLY_BYTES_MAX {
            // The length in front would not hold it. No client takes this much.
            out.truncate(err + 4);
            code = Code::MARSHALLING_ERROR;
        }
        if let Some(place) = out.get_mut(err..err + 4) {
            place.copy_from_slice(&code.0.to_be_bytes());
        }
        write::patch_length(out, start);
        let size = out.len() - start - 4;
        if fault::is_on(Fault::EventAfterReply) && out.get(4..8) == Some(&NOTIFICATION_XID.to_be_bytes()) {
            out.rotate_left(start);
        }
        self.news.min = if self.news.last == 0 { size } else { self.news.min.min(size) };
        self.news.max = self.news.max.max(size);
        self.news.last = size;
        self.news.bytes += size as u64;
        self.count_packets(1);
        code
    }

    fn count_packets(&mut self, count: u64) {
        self.stats.sent += count;
        self.news.count += count;
        self.fresh = true;
    }

    /// Takes the count of what was put in since the last time.
    pub const fn take_packets(&mut self) -> Packets {
        std::mem::replace(
            &mut self.news,
            Packets { count: 0, bytes: 0, event_bytes: 0, last: 0, min: 0, max: 0 },
        )
    }

    /// Appends a watch notification. A client that does not read for so long that more would pile up
    /// than [`EVENT_BYTES_MAX`] loses its connection, and with it its watches.
    pub fn notify(&mut self, event: EventType, path: &str, zxid: Zxid) {
        if self.bytes.len() > EVENT_BYTES_MAX {
            self.bytes = Vec::new();
            self.refuse("the client does not read its watch events");
            return;
        }
        self.reply(NOTIFICATION_XID, zxid, |out| {
            write::int(out, event as i32);
            write::int(out, SYNC_CONNECTED);
            write::ustring(out, Some(path));
            Ok(())
        });
        self.news.event_bytes += self.news.last as u64;
    }

    /// Appends a packet that is not a reply: a connect response.
    pub fn raw(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.bytes);
        self.count_packets(1);
        self.fresh = true;
    }

    /// Text of a four-letter word was sent. It counts as one packet for each [`TEXT_PACKET_BYTES`], as the
    /// reference sends it.
    pub fn sent_text(&mut self, bytes: usize) {
        self.count_packets(bytes.div_ceil(TEXT_PACKET_BYTES) as u64);
    }

    /// Asks for the connection to be closed after what is here.
    pub const fn close_after(&mut self) {
        self.close = true;
        self.fresh = true;
    }

    /// Writes what is here with `write`, which returns how much it took, unless the connection must see it
    /// or holds earlier bytes; then, or when some is left, wakes it.
    pub(super) fn flush(&mut self, write: impl FnOnce(&[u8]) -> usize) {
        if !(self.writing || self.must_wake || self.close) {
            let sent = write(&self.bytes);
            self.bytes.drain(..sent);
            if self.bytes.is_empty() {
                self.fresh = false;
                return;
            }
        }
        self.wake();
    }

    /// Ends the connection without writing what is here.
    pub const fn refuse(&mut self, why: &'static str) {
        self.refusal = Some(why);
        self.close_after();
    }

    /// Wakes the connection to write.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes what is to be written, if anything came since the last time, and leaves `spare` in its
    /// place. Registers `waker` for what comes later.
    pub fn collect(&mut self, spare: &mut Vec<u8>, waker: &Waker) -> bool {
        self.writing = self.fresh;
        self.must_wake = false;
        if self.fresh {
            self.fresh = false;
            std::mem::swap(&mut self.bytes, spare);
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

    /// Whether the connection is to close after what is here.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.close
    }

    /// Why the connection must end at once, if it must.
    #[must_use]
    pub const fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// Whether something came that the connection has not looked at: then it is awake, or about to be.
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.fresh
    }

    /// Bytes not yet taken by the connection.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.bytes.len()
    }
}
