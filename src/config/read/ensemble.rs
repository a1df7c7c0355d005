//! The part of reading that is about how a member takes part.

use super::{Reading, Result};
use crate::config::ensemble::Ensemble;

/// Keys that ask for more than this version has, when they are `true`, and why they cannot be passed over.
const REFUSED: &[(&str, &str)] = &[
    (
        "reconfigEnabled",
        "this version cannot change the members of a running ensemble; set reconfigEnabled=false on every member",
    ),
    (
        "localSessionsEnabled",
        "this version makes every session known to all members; set localSessionsEnabled=false on every member",
    ),
];

impl Reading<'_> {
    /// `initLimit` and `syncLimit` are read elsewhere; what follows from them when a key is not set is said here.
    pub(super) fn ensemble(
        &mut self,
        tick_time_ms: i32,
        init_limit: i32,
        sync_limit: i32,
    ) -> Result<Ensemble> {
        let any = (i32::MIN, i32::MAX);
        let connect_limit = self.number("connectToLearnerMasterLimit", 0, any)?;
        let ticks = |ticks: i32| u64::try_from(i64::from(tick_time_ms) * i64::from(ticks)).unwrap_or(0);
        let positive = |ms: i32| u64::try_from(ms).ok().filter(|ms| *ms > 0);
        let least = self.source.property_int("fastleader.minNotificationInterval", 200).max(1);
        let most = self.source.property_int("fastleader.maxNotificationInterval", 60_000).max(least);
        let (peers, peers_problem) = match self.peers()? {
            Ok(peers) => (peers, None),
            Err(problem) => (None, Some(problem)),
        };
        Ok(Ensemble {
            connect_limit_ticks: if connect_limit > 0 { connect_limit } else { init_limit },
            leader_serves: self.source.property("leaderServes") != Some("no"),
            observer_logs: match self.source.property("syncEnabled") {
                Some(value) => value.eq_ignore_ascii_case("true"),
                None => self.source.boolean("syncEnabled", true)?,
            },
            listens_on_all: self.source.boolean("quorumListenOnAllIPs", false)?,
            election_bind_retries: u32::try_from(self.source.property_int("electionPortBindRetry", 3))
                .unwrap_or(3),
            election_connect_ms: positive(self.source.property_int("cnxTimeout", 5000)).unwrap_or(5000),
            election_handshake_ms: positive(self.source.property_int("quorumCnxnTimeoutMs", -1))
                .unwrap_or(ticks(sync_limit)),
            notification_ms: (least.into(), most.into()),
            has_several_addresses: self.several_addresses()?,
            forces_snapshots: self.source.flag("forceSnapshotSync", false),
            log_share: self.log_share(),
            peers,
            peers_problem,
            tuning: self.tuning()?,
            refusals: self.refusals()?,
        })
    }

    /// Whether a server line may have several addresses.
    pub(super) fn several_addresses(&self) -> Result<bool> {
        Ok(self.source.boolean("multiAddress.enabled", false)?
            || self.source.flag("multiAddress.enabled", false))
    }

    /// Reference: `ZKDatabase.getSnapshotSizeFactor`.
    fn log_share(&self) -> f64 {
        const USUAL: f64 = 0.33;
        let asked =
            self.source.property("snapshotSizeFactor").and_then(|text| text.trim().parse::<f64>().ok());
        asked.filter(|share| *share <= 1.0).unwrap_or(USUAL)
    }

    fn refusals(&self) -> Result<Vec<String>> {
        let mut refusals = Vec::new();
        for (key, why) in REFUSED {
            if self.source.boolean(key, false)? {
                refusals.push(format!("{key}=true: {why}"));
            }
        }
        if let Some(port) =
            self.source.number("observerMasterPort", i32::MIN, i32::MAX)?.filter(|port| *port > 0)
        {
            refusals.push(format!(
                "observerMasterPort={port}: this version does not let observers learn from followers; remove the \
                 key, and observers learn from the leader"
            ));
        }
        if let Some(path) = self.source.text("oraclePath").filter(|path| !path.is_empty()) {
            refusals.push(format!(
                "oraclePath={path}: this version knows no oracle that decides between two voters; use three voters, \
                 and remove the key"
            ));
        }
        Ok(refusals)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    const MEMBER: &str = "dataDir=/d\nclientPort=1\ntickTime=1000\ninitLimit=5\nsyncLimit=2\n";

    fn config(more: &str) -> Config {
        Config::parse("zoo.cfg", format!("{MEMBER}{more}").as_bytes(), &Environment::default()).unwrap()
    }

    #[test]
    fn what_is_not_set_follows_from_the_limits() {
        let ensemble = config("").ensemble;
        assert_eq!((ensemble.connect_limit_ticks, ensemble.election_handshake_ms), (5, 2000));
        assert!(ensemble.leader_serves && ensemble.observer_logs && !ensemble.listens_on_all);
        assert_eq!((ensemble.election_bind_retries, ensemble.election_connect_ms), (3, 5000));
        assert_eq!((ensemble.notification_ms, ensemble.refusals), ((200, 60_000), Vec::new()));
    }

    #[test]
    fn what_is_set_counts() {
        let ensemble = config(
            "leaderServes=no\nsyncEnabled=false\nquorumListenOnAllIPs=true\nelectionPortBindRetry=0\n\
             cnxTimeout=70\nquorumCnxnTimeoutMs=80\nconnectToLearnerMasterLimit=9\n\
             fastleader.minNotificationInterval=10\nfastleader.maxNotificationInterval=20\n",
        )
        .ensemble;
        assert!(!ensemble.leader_serves && !ensemble.observer_logs && ensemble.listens_on_all);
        assert_eq!((ensemble.election_bind_retries, ensemble.election_connect_ms), (0, 70));
        assert_eq!((ensemble.election_handshake_ms, ensemble.connect_limit_ticks), (80, 9));
        assert_eq!(ensemble.notification_ms, (10, 20));
    }

    /// Trap 40: passed over, they would leave a port open that somebody believes to be guarded.
    #[test]
    fn what_this_version_has_not_is_refused_with_its_key() {
        for (line, key) in [
            ("reconfigEnabled=true", "reconfigEnabled"),
            ("localSessionsEnabled=true", "localSessionsEnabled"),
            ("observerMasterPort=2191", "observerMasterPort"),
            ("oraclePath=/x", "oraclePath"),
        ] {
            let refusals = config(line).ensemble.refusals;
            assert!(matches!(refusals.as_slice(), [one] if one.starts_with(key)), "{line}: {refusals:?}");
        }
        assert!(config("reconfigEnabled=false\nobserverMasterPort=0\n").ensemble.refusals.is_empty());
    }
}
