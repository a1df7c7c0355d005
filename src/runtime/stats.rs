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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_many_replies_counts_as_each_of_them_would() {
        let stats = ServerStats::default();
        assert_eq!(stats.latency(), (0, 0, 0, 0));
        stats.count_replies(Tally::default());
        assert_eq!(stats.latency(), (0, 0, 0, 0), "nothing was answered");
        let tally = |latencies: &[i64]| {
            let mut tally = Tally::default();
            latencies.iter().for_each(|latency| tally.add(*latency));
            tally
        };
        stats.count_replies(tally(&[9, 4, 7]));
        assert_eq!(stats.latency(), (4, 20, 3, 9));
        stats.count_replies(tally(&[5, 12]));
        assert_eq!(stats.latency(), (4, 37, 5, 12));
        stats.count_replies(tally(&[0]));
        assert_eq!(stats.latency(), (0, 37, 6, 12));
        stats.reset();
        stats.count_replies(tally(&[3]));
        assert_eq!(stats.latency(), (3, 3, 1, 3));
    }

    #[test]
    fn sizes_are_those_of_replies_and_the_least_and_largest_stay() {
        let stats = ServerStats::default();
        let packets = |count, last, min, max| Packets { count, last, min, max, ..Packets::default() };
        stats.count_packets(packets(1, 0, 0, 0));
        assert_eq!((stats.sent(), stats.response_bytes()), (1, (-1, -1, -1)), "not a reply");
        stats.count_packets(packets(3, 20, 10, 90));
        assert_eq!((stats.sent(), stats.response_bytes()), (4, (20, 10, 90)));
        stats.count_packets(packets(1, 50, 50, 50));
        assert_eq!(stats.response_bytes(), (50, 10, 90));
        stats.count_packets(packets(2, 100, 5, 100));
        assert_eq!((stats.sent(), stats.response_bytes()), (7, (100, 5, 100)));
        stats.count_received(2);
        stats.count_received(3);
        assert_eq!(stats.received(), 5);
        stats.reset();
        assert_eq!((stats.sent(), stats.received()), (0, 0));
        assert_eq!(stats.response_bytes(), (100, 5, 100), "sizes stay, as those of the reference do");
    }
}
