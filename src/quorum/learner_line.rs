//! What a learner is to be sent, and what its connection and the port share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::Receiver;

use super::Shared;
use super::ack_latency::AckLatency;
use super::outgoing::{self, Outgoing};
use super::stream::Writing;
use crate::metrics::Summary;
use crate::zab::{Input, Link, Sid, ToLearner};

/// What was sent is told to the core in portions of at least this: each time wakes the writer.
pub(super) const DRAINED_BYTES: usize = 512 << 10;

/// What a learner's connection is to send.
pub(super) enum Order {
    /// A packet.
    Packet(ToLearner),
    /// What does not fit into memory. What is ordered after it waits until it is over.
    Stream(Receiver<Piece>),
}

/// A piece of a stream.
#[derive(Debug)]
pub(super) enum Piece {
    /// More of it.
    Bytes(Vec<u8>),
    /// It is whole.
    End,
    /// There is none; nothing was sent.
    Refused(String),
    /// It can never be whole.
    Broken(String),
}

impl outgoing::Order for Order {
    fn weight(&self) -> Option<usize> {
        match self {
            Self::Packet(packet) => Some(packet.weight()),
            Self::Stream(_) => None,
        }
    }

    fn encode(self, out: &mut Vec<u8>) -> Result<(), Self> {
        match self {
            Self::Packet(packet) => packet.encode(out),
            Self::Stream(_) => return Err(self),
        }
        Ok(())
    }
}

/// The sending side of a learner's connection.
pub(super) struct Line {
    pub(super) link: Link,
    pub(super) outgoing: Outgoing<Order>,
    /// How long it takes to acknowledge.
    pub(super) acks: AckLatency,
    shared: Arc<Shared>,
    /// How many packets wait for it.
    queue: Option<Arc<Summary>>,
    /// Bytes that have left and of which the core was not told.
    untold: AtomicUsize,
}

impl Line {
    pub(super) fn new(shared: Arc<Shared>, link: Link, learner: Option<Sid>, stream: Writing) -> Self {
        let key = learner.unwrap_or(-1).to_string();
        let queue = shared.metrics.learner_handler_qp_size.of(&key);
        let acks = AckLatency::new(shared.options.ack_logging_every, shared.metrics.ack_latency.of(&key));
        Self { link, outgoing: Outgoing::new(stream), acks, shared, queue, untold: AtomicUsize::new(0) }
    }

    /// Has everything sent that was ordered.
    pub(super) fn flush(&self) {
        let weight = self.outgoing.flush(|packets| self.count(packets));
        self.sent(weight);
    }

    /// So many packets waited.
    pub(super) fn count(&self, packets: usize) {
        if let Some(queue) = &self.queue {
            queue.observe(i64::try_from(packets).unwrap_or(i64::MAX));
        }
    }

    /// Packets of this weight have left.
    pub(super) fn sent(&self, weight: usize) {
        if weight > 0 && self.untold.fetch_add(weight, Ordering::Relaxed) + weight >= DRAINED_BYTES {
            let bytes = self.untold.swap(0, Ordering::Relaxed);
            self.shared.put(Input::Drained { link: self.link, bytes });
        }
    }
}
