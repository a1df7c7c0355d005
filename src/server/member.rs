//! A member of an ensemble: recovered as far as its directory allows, it looks for its leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jute::Zxid;
use tokio_util::sync::CancellationToken;

use super::tls::Peers;
use super::{Ground, ServerError, Started, loading, members, options};
use crate::config::Config;
use crate::config::dynamic::Role;
use crate::quorum;
use crate::runtime::standing::Published;
use crate::runtime::{
    Inbox, LogKeeper, LogPort, LogThread, MemberParts, MemberWriter, NoSnapshots, Snapshots, Turns,
};
use crate::store::Directories;
use crate::txnlog::Log;
use crate::zab::{self, Proposal, Recovered, Serving, Sid, Zab};

/// Recovers, opens the election port, and is ready to take part.
pub(super) fn start(
    ground: &Ground<'_>,
    tls: Option<Peers>,
    runtime: &tokio::runtime::Handle,
) -> Result<Started, ServerError> {
    let Ground { config, disk, clock, metrics, directories } = ground;
    let me = number(config)?;
    let store = loading::store_options(config);
    let member = loading::load_member(disk, directories, &store, clock.as_ref(), metrics)?;
    let found = member.found;
    let last_zxid = found.tree.last_zxid();
    let state = ground.state(found.tree, &found.sessions, byte_of(me));
    Published::set(&state.standing, Serving::No);
    let logs = config.ensemble.observer_logs || config.peer_type != Role::Observer;
    let snapshots: Box<dyn Snapshots> = if logs && member.is_trusted {
        Box::new(ground.snapshots(&state, (found.snapshot, last_zxid))?)
    } else if logs {
        // Nothing here may be counted on, so there is nothing to begin with.
        Box::new(ground.snapshots(&state, (Some(last_zxid), last_zxid))?)
    } else {
        Box::new(NoSnapshots)
    };
    let log = Log::open(disk.clone(), options::log_options(config, directories), last_zxid)?;
    let spare = log.spare();
    let inbox = Arc::new(Inbox::default());
    let members = members::members(config);
    let (tls, stores) = tls.map(|Peers { tls, stores }| (tls, stores)).unzip();
    if let Some(stores) = stores.flatten() {
        // For as long as the process runs.
        runtime.spawn(stores.watch(CancellationToken::new()));
    }
    let peers = runtime.block_on(quorum::start(quorum::Parts {
        options: quorum::Options { tls, ..peer_options(config, me, directories)? },
        inbox: inbox.clone(),
        state: state.clone(),
        disk: disk.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        runtime: runtime.clone(),
    }))?;
    let keeper = LogKeeper::new(log, disk.clone(), directories.clone(), store, metrics.clone());
    let keeper = if logs { keeper } else { keeper.without_log() };
    let recovered = Recovered {
        logged: last_zxid,
        accepted: member.epochs.accepted,
        current: member.epochs.current,
        is_trusted: member.is_trusted,
        tail: member.tail.into_iter().map(proposal).collect(),
    };
    let turns = Turns::of(MemberWriter::new(MemberParts {
        state: state.clone(),
        inbox: inbox.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        log: LogPort::Threaded(LogThread::start(keeper, inbox.clone())?),
        snapshots,
        peers: Box::new(peers),
        options: options::replica_options(config),
        config: (members.text.clone(), Zxid(members.version)),
        leader_serves: config.ensemble.leader_serves,
        zab: Zab::member(zab_options(config, me), members, recovered, clock.now_ms()),
    }));
    tracing::info!(
        me,
        accepted = member.epochs.accepted,
        current = member.epochs.current,
        "looking for a leader"
    );
    Ok(Started { state, inbox, write: Box::new(move || Ok(turns.run()?)), spare })
}

/// Which member this server is.
fn number(config: &Config) -> Result<Sid, ServerError> {
    let listed = config.server_id.filter(|me| config.membership.servers.contains_key(me));
    listed.ok_or_else(|| ServerError::NotListed {
        path: config.data_dir.join("myid"),
        says: config.server_id.unwrap_or_default(),
    })
}

/// What goes into the top byte of session ids: as much of the number as fits (reference:
/// `SessionTrackerImpl.initializeNextSessionId`).
const fn byte_of(me: Sid) -> u8 {
    me.to_be_bytes()[7]
}

fn proposal((zxid, payload): (Zxid, Vec<u8>)) -> Proposal {
    Proposal { zxid, payload: Bytes::from(payload) }
}

fn zab_options(config: &Config, me: Sid) -> zab::Options {
    zab::Options {
        me,
        is_observer: config.peer_type == Role::Observer,
        tick_ms: config.tick_time_ms.into(),
        init_limit: config.init_limit_ticks.into(),
        sync_limit: config.sync_limit_ticks.into(),
        notification_ms: config.ensemble.notification_ms,
        force_snapshot: config.ensemble.forces_snapshots,
        tuning: tuning(config),
    }
}

fn sockets(config: &Config) -> quorum::Sockets {
    let tuning = &config.ensemble.tuning;
    quorum::Sockets {
        keepalive: tuning.election_keepalive,
        leader_nodelay: tuning.leader_nodelay,
        learner_nodelay: tuning.learner_nodelay,
        reachable_ms: tuning.reachable_ms.filter(|_| config.ensemble.has_several_addresses),
    }
}

const fn tuning(config: &Config) -> zab::Tuning {
    let set = &config.ensemble.tuning;
    zab::Tuning {
        kept_txns: set.commit_log_count,
        syncs_max: zab::Syncs { snap: set.snap_syncs_max, diff: set.diff_syncs_max },
        epoch_wait_ms: set.epoch_wait_ms,
        observer_connects_ms: set.observer_connects_ms,
        observer_looks_ms: set.observer_looks_ms,
    }
}

fn peer_options(config: &Config, me: Sid, directories: &Directories) -> Result<quorum::Options, ServerError> {
    let ensemble = &config.ensemble;
    let ticks = |ticks: i32| {
        let ms = i64::from(config.tick_time_ms).saturating_mul(ticks.into());
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    };
    Ok(quorum::Options {
        me,
        members: members::addresses(&config.membership),
        listen_on_all: ensemble.listens_on_all,
        several_addresses: ensemble.has_several_addresses,
        handshake: Duration::from_millis(ensemble.election_handshake_ms),
        dial: Duration::from_millis(ensemble.election_connect_ms),
        init: ticks(config.init_limit_ticks),
        dial_master: ticks(ensemble.connect_limit_ticks),
        dial_master_pause: Duration::from_millis(ensemble.tuning.master_retry_ms),
        sockets: sockets(config),
        ack_logging_every: ensemble.tuning.ack_logging_every,
        bind_retries: ensemble.election_bind_retries,
        data_bytes_max: config.read_bytes_max(),
        field_bytes_max: config.read_bytes_max(),
        rules: loading::store_options(config).rules,
        snapshots: directories.snapshots.clone(),
        compression: options::compression(config),
        logs: directories.logs.clone(),
        log_share: ensemble.log_share,
        auth: super::sasl::peers(ensemble, &config.membership)?,
        tls: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn what_is_not_set_is_as_the_core_has_it_by_itself() {
        let text = b"dataDir=/d\nclientPort=1\n";
        let config = Config::parse("zoo.cfg", text, &Environment::default()).unwrap();
        assert_eq!(tuning(&config), zab::Tuning::default());
    }
}
