//! Peers that note what a member says to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jute::Zxid;

use crate::runtime::peers::Peers;
use crate::zab::{Link, Notification, Sid, ToLearner, ToMaster};

/// What the member said to others.
#[derive(Clone, Default)]
pub(super) struct Told {
    said: Arc<Mutex<Vec<String>>>,
    /// Packets may still be here.
    has_unsent: Arc<AtomicBool>,
}

impl Told {
    fn note(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Relaxed)
    }
}

impl Peers for Told {
    fn notify(&mut self, _to: Sid, _notification: Notification) {}
    fn dial(&mut self) {}
    fn listen(&mut self, is_open: bool) {
        self.note(format!("listen {is_open}"));
    }
    fn to_learner(&mut self, link: Link, packet: ToLearner) {
        self.has_unsent.store(true, Ordering::Relaxed);
        self.note(format!("to learner {}: {packet:?}", link.0));
    }
    fn stream_log(&mut self, _: Link, _: Option<Zxid>, _: Zxid, _: Zxid) {}
    fn stream_snapshot(&mut self, _link: Link) -> Zxid {
        Zxid::ZERO
    }
    fn close_learner(&mut self, link: Link, _why: &str) {
        self.note(format!("close learner {}", link.0));
    }
    fn dial_master(&mut self, leader: Sid) {
        self.note(format!("dial {leader}"));
    }
    fn to_master(&mut self, packet: ToMaster) {
        self.has_unsent.store(true, Ordering::Relaxed);
        self.note(match packet {
            ToMaster::Hello(_) => "hello".into(),
            ToMaster::AckEpoch(_) => "ack epoch".into(),
            ToMaster::NewLeaderAck(_) => "ack new leader".into(),
            ToMaster::Ack(ack) => format!("ack {:x}", ack.zxid().0),
            ToMaster::Ping { .. } => "ping".into(),
            ToMaster::Request(request) => format!("request {}", request.cxid),
            ToMaster::Revalidate { .. } => "revalidate".into(),
        });
    }
    fn close_master(&mut self, why: &str) {
        self.note(format!("close master: {why}"));
    }
    fn consumed(&mut self, bytes: usize) {
        self.note(format!("consumed {bytes}"));
    }
    fn flush(&mut self) {
        self.has_unsent.store(false, Ordering::Relaxed);
    }
}
