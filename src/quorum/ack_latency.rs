//! How long a learner takes to acknowledge a proposal, of one in so many (`leader.ackLoggingFrequency`; reference:
//! `Leader.processAck`, which counts from the request).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jute::Zxid;

use crate::metrics::Summary;
use crate::zab::ToLearner;

/// Proposals that are waited for. A learner that is brought up to date acknowledges none of what it is sent.
const WAITED_MAX: usize = 64;

/// What one learner was sent and has not acknowledged.
pub(super) struct AckLatency {
    every: i64,
    latency: Option<Arc<Summary>>,
    /// With the time of sending.
    sent: Mutex<VecDeque<(Zxid, i64)>>,
}

impl AckLatency {
    /// Looks at zxids that are multiples of `every`; at none where that is below 1.
    pub(super) fn new(every: i64, latency: Option<Arc<Summary>>) -> Self {
        Self { every, latency, sent: Mutex::default() }
    }

    fn is_sampled(&self, zxid: Zxid) -> bool {
        self.every > 0 && zxid.0 % self.every == 0
    }

    /// It is sent a packet.
    pub(super) fn sends(&self, packet: &ToLearner, now_ms: impl FnOnce() -> i64) {
        if let ToLearner::Proposal(proposal) = packet
            && self.is_sampled(proposal.zxid)
        {
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            if sent.len() == WAITED_MAX {
                sent.pop_front();
            }
            sent.push_back((proposal.zxid, now_ms()));
        }
    }

    /// It has acknowledged one.
    pub(super) fn hears(&self, zxid: Zxid, now_ms: impl FnOnce() -> i64) {
        if !self.is_sampled(zxid) {
            return;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        while sent.front().is_some_and(|(before, _)| *before < zxid) {
            sent.pop_front();
        }
        if let Some((_, sent_ms)) = sent.pop_front_if(|(next, _)| *next == zxid)
            && let Some(latency) = &self.latency
        {
            latency.observe(now_ms() - sent_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::zab::Proposal;

    #[test]
    fn one_acknowledgement_in_so_many_is_timed() {
        let metrics = Metrics::new();
        let summary = metrics.ack_latency.of("2").unwrap();
        let timed = AckLatency::new(10, Some(Arc::clone(&summary)));
        let never = AckLatency::new(0, Some(Arc::clone(&summary)));
        for zxid in 1..=40 {
            let packet = ToLearner::Proposal(Proposal { zxid: Zxid(zxid), payload: bytes::Bytes::new() });
            timed.sends(&packet, || zxid);
            never.sends(&packet, || zxid);
        }
        for zxid in 15..=40 {
            timed.hears(Zxid(zxid), || zxid + 7);
            never.hears(Zxid(zxid), || zxid + 7);
        }
        assert_eq!((summary.count(), summary.sum()), (3, 21), "10 was never acknowledged");
        (1..=1000).for_each(|n| {
            let zxid = Zxid(n * 10);
            timed.sends(&ToLearner::Proposal(Proposal { zxid, payload: bytes::Bytes::new() }), || 0);
        });
        assert_eq!(timed.sent.lock().unwrap().len(), WAITED_MAX);
    }
}
