//! What a member says to others: bytes, for the network to take.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use jute::{Zxid, write};

use crate::clock::ManualClock;
use crate::disk::Disk;
use crate::runtime::peers::Peers;
use crate::runtime::{State, walk};
use crate::tree::Cursor;
use crate::txnlog::entries_after;
use crate::zab::{Link, Notification, Proposal, SNAPSHOT_END, Sid, ToLearner, ToMaster};

/// Something said.
#[derive(Debug)]
pub(super) enum Said {
    Vote {
        to: Sid,
        bytes: Bytes,
    },
    Listen(bool),
    Down {
        link: Link,
        frame: Down,
    },
    /// Everything of a stream was said.
    Streamed(Link),
    Refused(Link),
    CloseLearner(Link),
    DialMaster(Sid),
    Up(Bytes),
    CloseMaster,
}

/// Something on its way to a learner, and what it weighs.
#[derive(Debug)]
pub(super) enum Down {
    Packet(Bytes, usize),
    Snapshot(Zxid, Vec<u8>),
}

/// Keeps it, in order.
#[derive(Clone)]
pub(super) struct Carrier {
    said: Arc<Mutex<Vec<Said>>>,
    state: Arc<State>,
    clock: Arc<ManualClock>,
    disk: Arc<dyn Disk>,
    logs: PathBuf,
}

impl Carrier {
    pub(super) fn new(
        state: Arc<State>,
        clock: Arc<ManualClock>,
        disk: Arc<dyn Disk>,
        logs: PathBuf,
    ) -> Self {
        Self { said: Arc::default(), state, clock, disk, logs }
    }

    fn said(&self) -> MutexGuard<'_, Vec<Said>> {
        self.said.lock().unwrap()
    }

    /// What was said since the last call.
    pub(super) fn take(&self) -> Vec<Said> {
        std::mem::take(&mut self.said())
    }

    fn say(&self, said: Said) {
        self.said().push(said);
    }

    fn say_down(&self, link: Link, packet: &ToLearner, weight: usize) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.say(Said::Down { link, frame: Down::Packet(bytes.into(), weight) });
    }
}

impl Peers for Carrier {
    fn notify(&mut self, to: Sid, notification: Notification) {
        let mut bytes = Vec::new();
        notification.encode(&mut bytes);
        self.say(Said::Vote { to, bytes: bytes.into() });
    }

    fn dial(&mut self) {}

    fn listen(&mut self, is_open: bool) {
        self.say(Said::Listen(is_open));
    }

    fn to_learner(&mut self, link: Link, packet: ToLearner) {
        self.say_down(link, &packet, packet.weight());
    }

    fn stream_log(&mut self, link: Link, diff: Option<Zxid>, after: Zxid, to: Zxid) {
        let Ok(mut entries) = entries_after(&self.disk, &self.logs, after) else {
            return self.say(Said::Refused(link));
        };
        let mut packets: Vec<_> = diff.map(ToLearner::Diff).into_iter().collect();
        let mut last = after;
        while last < to {
            match entries.next_frame() {
                Ok(Some(frame)) if frame.zxid <= to => {
                    last = frame.zxid;
                    let payload = Bytes::copy_from_slice(frame.payload);
                    packets.extend([
                        ToLearner::Proposal(Proposal { zxid: last, payload }),
                        ToLearner::Commit(last),
                    ]);
                }
                Ok(Some(_)) => break,
                Ok(None) if to.counter() == 0 => break,
                _ => return self.say(Said::Refused(link)),
            }
        }
        packets.iter().for_each(|packet| self.say_down(link, packet, 0));
        self.say(Said::Streamed(link));
    }

    fn stream_snapshot(&mut self, link: Link) -> Zxid {
        let cursor = Cursor::new(&self.state.tree());
        let zxid = cursor.began_at();
        let mut stream = Vec::new();
        let mut send = |mut bytes: Vec<u8>| {
            stream.append(&mut bytes);
            true
        };
        assert!(walk::stream(&self.state, &*self.clock, cursor, &mut send));
        write::ustring(&mut stream, Some(SNAPSHOT_END));
        self.say(Said::Down { link, frame: Down::Snapshot(zxid, stream) });
        self.say(Said::Streamed(link));
        zxid
    }

    fn close_learner(&mut self, link: Link, _why: &str) {
        self.say(Said::CloseLearner(link));
    }

    fn dial_master(&mut self, leader: Sid) {
        self.say(Said::DialMaster(leader));
    }

    fn to_master(&mut self, packet: ToMaster) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.say(Said::Up(bytes.into()));
    }

    fn close_master(&mut self, _why: &str) {
        self.say(Said::CloseMaster);
    }

    fn consumed(&mut self, _bytes: usize) {}
}
