//! What is sent to one connection, as bytes in order.

use std::collections::VecDeque;

use jute::{Code, Zxid, write};

use super::read::Read;
use super::unfinished::{Missing, Unfinished, UnfinishedList};
use crate::tree::listing::Progress;
use crate::watch::EventType;

/// xid of watch notifications.
const NOTIFICATION_XID: i32 = -1;
/// Keeper state in notifications: connected.
const SYNC_CONNECTED: i32 = 3;
/// Bytes of text the reference sends at once.
const TEXT_PACKET_BYTES: usize = 8192;
/// Length, xid, zxid, code.
pub(super) const REPLY_HEADER_BYTES: usize = 4 + 4 + 8 + 4;
/// The largest reply there can be.
const REPLY_BYTES_MAX: usize = i32::MAX as usize;

/// A reply cannot be finished: the tree is another one.
struct Lost;

/// Frames that are to be written to a connection.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    /// Replies that are still being made, each with what goes out behind it.
    unfinished: VecDeque<(Unfinished, Vec<u8>)>,
    packets: Packets,
    last_zxid: Zxid,
}

/// What was put in since it was last counted.
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

impl Packets {
    fn count_reply(&mut self, size: usize) {
        self.min = if self.last == 0 { size } else { self.min.min(size) };
        self.max = self.max.max(size);
        self.last = size;
        self.bytes += size as u64;
        self.count += 1;
    }
}

impl Replies {
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
        self.reply_in_slices(xid, zxid, |out, _| body(out))
    }

    /// Appends a reply whose body stays also with an error. What `body` notes as missing is put in later, by
    /// [`Replies::go_on`]; until then nothing behind it goes out.
    pub fn reply_in_slices(
        &mut self,
        xid: i32,
        zxid: Zxid,
        body: impl FnOnce(&mut Vec<u8>, &mut Vec<Missing>) -> Code,
    ) -> Code {
        self.reply_up_to(REPLY_BYTES_MAX, xid, zxid, body)
    }

    /// The same, for a reply of at most so many bytes.
    fn reply_up_to(
        &mut self,
        bytes_max: usize,
        xid: i32,
        zxid: Zxid,
        body: impl FnOnce(&mut Vec<u8>, &mut Vec<Missing>) -> Code,
    ) -> Code {
        self.last_zxid = self.last_zxid.max(zxid);
        let out = self.end();
        let start = write::begin_frame(out);
        write::int(out, xid);
        write::long(out, zxid.0);
        let err = out.len();
        write::int(out, 0);
        let mut missing = Vec::new();
        let mut code = body(out, &mut missing);
        if out.len() - start > bytes_max {
            // The length in front would not hold it. No client takes this much.
            out.truncate(err + 4);
            missing.clear();
            code = Code::MARSHALLING_ERROR;
        }
        if let Some(place) = out.get_mut(err..err + 4) {
            place.copy_from_slice(&code.0.to_be_bytes());
        }
        if missing.is_empty() {
            write::patch_length(out, start);
            let size = out.len() - start - 4;
            self.packets.count_reply(size);
        } else {
            let frame = out.split_off(start);
            let list = UnfinishedList::new(frame, start, missing);
            self.unfinished.push_back((Unfinished::List(list), Vec::new()));
        }
        code
    }

    /// Makes a reply, or begins to: then [`Replies::go_on`] goes on with it, and until then nothing behind it goes out.
    pub(super) fn begin(&mut self, reply: Unfinished, read: &Read<'_>) {
        if let Ok(Some(reply)) = self.slice(reply, read) {
            self.unfinished.push_back((reply, Vec::new()));
        }
    }

    /// Whether a reply is still being made.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Goes on for a slice with the first reply that is not finished. False when that cannot be done any more,
    /// because the tree is another one.
    #[must_use]
    pub fn go_on(&mut self, read: &Read<'_>) -> bool {
        // What is made now goes before all that waits.
        let mut waiting = std::mem::take(&mut self.unfinished);
        let Some((reply, behind)) = waiting.pop_front() else { return true };
        match self.slice(reply, read) {
            Ok(Some(reply)) => waiting.push_front((reply, behind)),
            Ok(None) => self.bytes.extend_from_slice(&behind),
            Err(Lost) => return false,
        }
        self.unfinished = waiting;
        true
    }

    /// Makes some more of a reply, and appends what may go out. Returns it if it is not whole.
    fn slice(&mut self, mut reply: Unfinished, read: &Read<'_>) -> Result<Option<Unfinished>, Lost> {
        let progress = match &mut reply {
            Unfinished::List(list) => list.go_on(read.tree, read.meter),
            Unfinished::Watches(request) => request.slice(read, self),
            Unfinished::State(state) => state.slice(read),
        };
        match (progress, reply) {
            (Progress::Lost, _) => return Err(Lost),
            (Progress::More, reply) => return Ok(Some(reply)),
            (Progress::Done, Unfinished::Watches(_)) => {}
            (Progress::Done, Unfinished::List(list)) => self.append_frame(list.into_bytes()),
            (Progress::Done, Unfinished::State(state)) => {
                self.last_zxid = self.last_zxid.max(state.zxid());
                let (frame, missing) = state.into_parts();
                if !missing.is_empty() {
                    return Ok(Some(Unfinished::List(UnfinishedList::new(frame, 0, missing))));
                }
                self.append_frame(frame);
            }
        }
        Ok(None)
    }

    /// Appends a whole frame, in which only the length is missing.
    fn append_frame(&mut self, frame: Vec<u8>) {
        let mut frame = bounded(frame, REPLY_BYTES_MAX);
        write::patch_length(&mut frame, 0);
        self.packets.count_reply(frame.len() - 4);
        let out = self.end();
        if out.is_empty() {
            *out = frame;
        } else {
            out.extend_from_slice(&frame);
        }
    }

    /// Where what is put in goes.
    fn end(&mut self) -> &mut Vec<u8> {
        match self.unfinished.back_mut() {
            Some((_, behind)) => behind,
            None => &mut self.bytes,
        }
    }

    /// Appends a watch notification.
    pub fn notify(&mut self, event: EventType, path: &str, zxid: Zxid) {
        self.reply(NOTIFICATION_XID, zxid, |out| {
            write::int(out, event as i32);
            write::int(out, SYNC_CONNECTED);
            write::ustring(out, Some(path));
            Ok(())
        });
        self.packets.event_bytes += self.packets.last as u64;
    }

    /// Appends a packet that is not a reply: a connect response.
    pub fn raw(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(self.end());
        self.packets.count += 1;
    }

    /// Text of a four-letter word was sent. It counts as one packet for each [`TEXT_PACKET_BYTES`], as the
    /// reference sends it.
    pub const fn sent_text(&mut self, bytes: usize) {
        self.packets.count += bytes.div_ceil(TEXT_PACKET_BYTES) as u64;
    }

    /// Takes the count of what was put in since the last time.
    pub const fn take_packets(&mut self) -> Packets {
        std::mem::replace(
            &mut self.packets,
            Packets { count: 0, bytes: 0, event_bytes: 0, last: 0, min: 0, max: 0 },
        )
    }

    /// How many packets were put in since they were last taken.
    #[must_use]
    pub const fn packet_count(&self) -> u64 {
        self.packets.count
    }

    /// The largest zxid that the connection was told.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The bytes that may go out.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are here, with those that are expected of replies that are still being made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.piled() + self.unfinished.iter().map(|(reply, _)| reply.len()).sum::<usize>()
    }

    /// How many bytes are here but for those of replies that are still being made.
    #[must_use]
    pub fn piled(&self) -> usize {
        self.bytes.len() + self.unfinished.iter().map(|(_, behind)| behind.len()).sum::<usize>()
    }

    /// Whether nothing is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.unfinished.is_empty()
    }

    /// Exchanges the bytes that may go out with `spare`, which should be empty.
    pub const fn swap(&mut self, spare: &mut Vec<u8>) {
        std::mem::swap(&mut self.bytes, spare);
    }

    /// Drops the first `count` bytes, which were written.
    pub fn drop_front(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Drops everything, and its memory.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.unfinished.clear();
    }
}

/// A whole frame, or, where that is larger than so many bytes, one that says so.
fn bounded(mut frame: Vec<u8>, bytes_max: usize) -> Vec<u8> {
    if frame.len() > bytes_max {
        frame.truncate(REPLY_HEADER_BYTES);
        if let Some(err) = frame.last_chunk_mut::<4>() {
            *err = Code::MARSHALLING_ERROR.0.to_be_bytes();
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::listing::Walk;
    use crate::tree::{NodeId, OwnerRules, Tree};

    fn reply(out: &mut Replies, zxid: i64, body: &[u8]) {
        let code = out.reply(7, Zxid(zxid), |out| {
            out.extend_from_slice(body);
            Ok(())
        });
        assert_eq!(code, Code::OK);
    }

    #[test]
    fn a_reply_is_a_frame_with_its_length_and_a_header_in_front() {
        let mut out = Replies::default();
        assert!(out.is_empty());
        reply(&mut out, 0x0102, b"ab");
        let wanted = [0, 0, 0, 18, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, b'a', b'b'];
        assert_eq!((out.bytes(), out.len(), out.is_empty()), (&wanted[..], 22, false));
        out.drop_front(20);
        assert_eq!(out.bytes(), b"ab");
        out.drop_front(9);
        assert!(out.is_empty());
    }

    #[test]
    fn of_an_error_no_body_is_left_unless_it_is_asked_for() {
        let mut out = Replies::default();
        let failed = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"half");
            Err(Code::NO_NODE)
        };
        assert_eq!(out.reply(1, Zxid(1), failed), Code::NO_NODE);
        assert_eq!((out.len(), &out.bytes()[16..]), (20, &Code::NO_NODE.0.to_be_bytes()[..]));
        out.clear();
        let kept = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"half");
            Code::NO_NODE
        };
        assert_eq!(out.reply_whole(1, Zxid(1), kept), Code::NO_NODE);
        assert_eq!((out.len(), &out.bytes()[20..]), (24, &b"half"[..]));
    }

    /// No client takes a reply whose length does not fit into its four bytes.
    #[test]
    fn a_reply_that_would_be_too_large_is_an_error_instead() {
        let tree = Tree::new(OwnerRules::default());
        let most = REPLY_HEADER_BYTES + 3;
        for (body, code, bytes) in
            [(&b"abc"[..], Code::NO_NODE, most), (b"abcd", Code::MARSHALLING_ERROR, REPLY_HEADER_BYTES)]
        {
            let mut out = Replies::default();
            reply(&mut out, 1, b"what stands before it");
            let before = out.len();
            let told = out.reply_up_to(most, 1, Zxid(2), |out, missing| {
                if body.len() > 3 {
                    let listing = tree.follow(Walk::new(&tree, NodeId::ROOT));
                    missing.push(Missing { at: out.len(), path: "/".into(), listing, bytes: 0, names: 0 });
                }
                out.extend_from_slice(body);
                Code::NO_NODE
            });
            assert_eq!((told, out.len() - before, out.is_unfinished()), (code, bytes, false));
            assert_eq!(out.bytes()[before + 16..][..4], code.0.to_be_bytes());
            assert_eq!(out.bytes()[before..][..4], (bytes as i32 - 4).to_be_bytes());

            let frame = [&[7; REPLY_HEADER_BYTES][..], body].concat();
            let sent = bounded(frame.clone(), most);
            let is_whole = body.len() == 3;
            assert_eq!((sent.len(), sent == frame), (bytes, is_whole));
            assert_eq!(sent[16..20] == Code::MARSHALLING_ERROR.0.to_be_bytes(), !is_whole);
            assert_eq!(sent[..16], frame[..16]);
        }
    }

    #[test]
    fn a_whole_frame_goes_behind_what_is_there() {
        let mut out = Replies::default();
        for (front, bytes) in [(0, &[0, 0, 0, 1, 7][..]), (5, &[0, 0, 0, 2, 8, 9])] {
            let mut frame = bytes.to_vec();
            frame[..4].fill(0xFF);
            out.append_frame(frame);
            assert_eq!(&out.bytes()[front..], bytes);
        }
        assert_eq!((out.packet_count(), out.take_packets().bytes), (2, 3));
    }

    #[test]
    fn packets_are_counted_by_kind_and_size_until_they_are_taken() {
        let mut out = Replies::default();
        reply(&mut out, 1, b"12345678");
        reply(&mut out, 1, b"");
        reply(&mut out, 1, b"1234");
        out.raw(|out| out.push(0));
        out.notify(EventType::NodeCreated, "/a", Zxid(1));
        assert_eq!(out.packet_count(), 5);
        let event = 16 + 8 + 6;
        let packets = out.take_packets();
        assert_eq!((packets.count, packets.bytes, packets.event_bytes), (5, 24 + 16 + 20 + event, event));
        assert_eq!((packets.last, packets.min, packets.max), (event as usize, 16, event as usize));
        assert_eq!((out.packet_count(), out.take_packets().bytes), (0, 0));
        for (bytes, count) in [(0, 0), (1, 1), (8192, 1), (8193, 2)] {
            out.sent_text(bytes);
            assert_eq!(out.take_packets().count, count);
        }
    }

    #[test]
    fn the_largest_zxid_that_was_told_is_kept() {
        let mut out = Replies::default();
        reply(&mut out, 9, b"");
        reply(&mut out, 5, b"");
        out.notify(EventType::NodeDeleted, "/a", Zxid(-1));
        assert_eq!(out.last_zxid(), Zxid(9));
        let mut spare = Vec::new();
        out.swap(&mut spare);
        assert_eq!((out.len(), spare.len() > 40, out.last_zxid()), (0, true, Zxid(9)));
    }
}
