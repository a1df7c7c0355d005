//! What the server as a whole has done (reference: `ServerStats`).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::request::replies::Packets;

/// Packets and latencies since the start or the last reset. Latencies in milliseconds.
#[derive(Debug)]
pub struct ServerStats {
    received: AtomicU64,
    sent: AtomicU64,
    min_latency: AtomicI64,
    max_latency: AtomicI64,
    total_latency: AtomicI64,
    latencies: AtomicI64,
    last_response_bytes: AtomicI64,
    min_response_bytes: AtomicI64,
    max_response_bytes: AtomicI64,
}

/// What one turn of a connection adds up before it is counted: several requests, one addition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Replies made.
    pub replies: u64,
    /// Sum of their latencies.
    pub total_latency: i64,
    /// The largest.
    pub max_latency: i64,
    /// The smallest; meaningful once there was a reply.
    pub min_latency: i64,
}

impl Tally {
    /// One more reply.
    pub fn add(&mut self, latency: i64) {
        self.min_latency = if self.replies == 0 { latency } else { self.min_latency.min(latency) };
        self.max_latency = self.max_latency.max(latency);
        self.total_latency += latency;
        self.replies += 1;
    }
}

impl Default for ServerStats {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            min_latency: AtomicI64::new(i64::MAX),
            max_latency: AtomicI64::new(0),
            total_latency: AtomicI64::new(0),
            latencies: AtomicI64::new(0),
            last_response_bytes: AtomicI64::new(-1),
            min_response_bytes: AtomicI64::new(-1),
            max_response_bytes: AtomicI64::new(-1),
        }
    }
}

impl ServerStats {
    /// Packets came from clients.
    pub fn count_received(&self, packets: u64) {
        self.received.fetch_add(packets, Relaxed);
    }

    /// Requests were answered.
    pub fn count_replies(&self, tally: Tally) {
        if tally.replies == 0 {
            return;
        }
        self.total_latency.fetch_add(tally.total_latency, Relaxed);
        self.latencies.fetch_add(tally.replies.cast_signed(), Relaxed);
        if tally.min_latency < self.min_latency.load(Relaxed) {
            self.min_latency.fetch_min(tally.min_latency, Relaxed);
        }
        if tally.max_latency > self.max_latency.load(Relaxed) {
            self.max_latency.fetch_max(tally.max_latency, Relaxed);
        }
    }

    /// These packets went to a client.
    pub fn count_packets(&self, packets: Packets) {
        self.sent.fetch_add(packets.count, Relaxed);
        if packets.last == 0 {
            return;
        }
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.last_response_bytes.store(signed(packets.last), Relaxed);
        let least = self.min_response_bytes.load(Relaxed);
        if least == -1 || signed(packets.min) < least {
            self.min_response_bytes.store(signed(packets.min), Relaxed);
        }
        self.max_response_bytes.fetch_max(signed(packets.max), Relaxed);
    }

    /// Packets from clients.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Packets to clients.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Smallest, sum, count and largest of latencies.
    pub fn latency(&self) -> (i64, i64, i64, i64) {
        let least = self.min_latency.load(Relaxed);
        let least = if least == i64::MAX { 0 } else { least };
        (
            least,
            self.total_latency.load(Relaxed),
            self.latencies.load(Relaxed),
            self.max_latency.load(Relaxed),
        )
    }

    /// Last, smallest and largest reply in bytes; -1 before the first.
    pub fn response_bytes(&self) -> (i64, i64, i64) {
        let load = |value: &AtomicI64| value.load(Relaxed);
        (load(&self.last_response_bytes), load(&self.min_response_bytes), load(&self.max_response_bytes))
    }

    /// Back to the beginning, but for reply sizes, as the reference does.
    pub fn reset(&self) {
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.min_latency.store(i64::MAX, Relaxed);
        self.max_latency.store(0, Relaxed);
        self.total_latency.store(0, Relaxed);
        self.latencies.store(0, Relaxed);
    }
}
