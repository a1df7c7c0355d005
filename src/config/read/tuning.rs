//! The part of reading that is about what a member seldom changes.

use super::{Reading, Result};
use crate::config::tuning::Tuning;

/// The least that is kept (reference: `ZKDatabase.DEFAULT_COMMIT_LOG_COUNT`).
const COMMIT_LOG_COUNT: i32 = 500;

impl Reading<'_> {
    pub(super) fn tuning(&mut self) -> Result<Tuning> {
        let kept = self.source.property_int("commitLogCount", COMMIT_LOG_COUNT);
        if kept < COMMIT_LOG_COUNT {
            self.source
                .warnings
                .push(format!("commitLogCount={kept} is too small; keeping {COMMIT_LOG_COUNT} transactions"));
        }
        let epoch_wait_ms = self.source.property_int("leader.maxTimeToWaitForEpoch", -1);
        let retry_ms = self.source.property_int("leaderConnectDelayDuringRetryMs", 100);
        Ok(Tuning {
            commit_log_count: usize::try_from(kept.max(COMMIT_LOG_COUNT)).unwrap_or_default(),
            snap_syncs_max: self.syncs_max("leader.maxConcurrentSnapSyncs", 10),
            diff_syncs_max: self.syncs_max("leader.maxConcurrentDiffSyncs", 100),
            epoch_wait_ms: (epoch_wait_ms >= 0).then_some(epoch_wait_ms.into()),
            observer_connects_ms: self.source.property_number("observer.reconnectDelayMs", 0),
            observer_looks_ms: self.source.property_number("observer.election.DelayMs", 200),
            master_retry_ms: u64::try_from(retry_ms).unwrap_or(0),
            ack_logging_every: self.source.property_int("leader.ackLoggingFrequency", 1000).into(),
            election_keepalive: self.source.flag("tcpKeepAlive", false),
            leader_nodelay: self.source.flag("leader.nodelay", true),
            learner_nodelay: self.source.flag("follower.nodelay", true),
            reachable_ms: self.reachable_ms()?,
        })
    }

    /// With less than one a leader of the reference cannot lead (`LearnerSyncThrottler`).
    fn syncs_max(&mut self, key: &str, default: i32) -> usize {
        let max = self.source.property_int(key, default);
        if max < 1 {
            self.source.warnings.push(format!("{key}={max} would let no observer come; using {default}"));
        }
        usize::try_from(if max < 1 { default } else { max }).unwrap_or_default()
    }

    fn reachable_ms(&self) -> Result<Option<u32>> {
        const ENABLED: &str = "multiAddress.reachabilityCheckEnabled";
        const TIMEOUT: &str = "multiAddress.reachabilityCheckTimeoutMs";
        let checks = self.source.boolean(ENABLED, self.source.flag(ENABLED, true))?;
        let of_property = self.source.property(TIMEOUT).and_then(|text| text.parse().ok());
        let timeout_ms = self.source.number(TIMEOUT, i32::MIN, i32::MAX)?.or(of_property).unwrap_or(1000);
        Ok(u32::try_from(timeout_ms).ok().filter(|ms| checks && *ms > 0))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tuning::Tuning;
    use crate::config::{Config, Environment};

    fn config(more: &str) -> Config {
        let text = format!("dataDir=/d\nclientPort=1\n{more}");
        Config::parse("zoo.cfg", text.as_bytes(), &Environment::default()).unwrap()
    }

    #[test]
    fn what_is_not_set_is_as_in_the_reference() {
        let expected = Tuning {
            commit_log_count: 500,
            snap_syncs_max: 10,
            diff_syncs_max: 100,
            epoch_wait_ms: None,
            observer_connects_ms: 0,
            observer_looks_ms: 200,
            master_retry_ms: 100,
            ack_logging_every: 1000,
            election_keepalive: false,
            leader_nodelay: true,
            learner_nodelay: true,
            reachable_ms: Some(1000),
        };
        assert_eq!(config("").ensemble.tuning, expected);
    }

    #[test]
    fn what_is_set_counts() {
        let expected = Tuning {
            commit_log_count: 700,
            snap_syncs_max: 2,
            diff_syncs_max: 3,
            epoch_wait_ms: Some(0),
            observer_connects_ms: 4,
            observer_looks_ms: 5,
            master_retry_ms: 6,
            ack_logging_every: 8,
            election_keepalive: true,
            leader_nodelay: false,
            learner_nodelay: false,
            reachable_ms: Some(7),
        };
        let all = "commitLogCount=700\nleader.maxConcurrentSnapSyncs=2\nleader.maxConcurrentDiffSyncs=3\n\
                   leader.maxTimeToWaitForEpoch=0\nobserver.reconnectDelayMs=4\nobserver.election.DelayMs=5\n\
                   leaderConnectDelayDuringRetryMs=6\nleader.ackLoggingFrequency=8\ntcpKeepAlive=true\nleader.nodelay=false\n\
                   follower.nodelay=false\nmultiAddress.reachabilityCheckTimeoutMs=7\n";
        let config = config(all);
        assert_eq!(config.ensemble.tuning, expected);
        assert!(config.without_effect.is_empty(), "{:?}", config.without_effect);
    }

    #[test]
    fn what_would_serve_nobody_is_replaced_with_a_warning() {
        let config = config("commitLogCount=7\nleader.maxConcurrentSnapSyncs=0\n");
        let Tuning { commit_log_count, snap_syncs_max, .. } = config.ensemble.tuning;
        assert_eq!((commit_log_count, snap_syncs_max), (500, 10));
        for key in ["commitLogCount=7", "leader.maxConcurrentSnapSyncs=0"] {
            assert!(config.warnings.iter().any(|warning| warning.contains(key)), "{:?}", config.warnings);
        }
    }

    #[test]
    fn nobody_is_found_unreachable_where_that_is_off() {
        let off = "multiAddress.reachabilityCheckEnabled=false\n";
        assert_eq!(config(off).ensemble.tuning.reachable_ms, None);
    }
}
