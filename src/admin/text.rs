//! The answers of the four-letter words, to the letter.
//!
//! Reference: the classes of `server/command`, and the dump methods they call.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::Out;
use super::report::{Bucket, ConnectionReport, Mode, SessionReport, Sizes, Source, Watch};
use crate::metrics::java;

/// Writing to an [`Out`] cannot fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{ let _ = writeln!($out, $($text)*); }};
}
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{ let _ = write!($out, $($text)*); }};
}

pub(super) fn ruok(_: &dyn Source, out: &mut Out<'_>) {
    out.push_str("imok");
}

pub(super) fn isro(source: &dyn Source, out: &mut Out<'_>) {
    out.push_str(if source.is_read_only() { "ro" } else { "rw" });
}

pub(super) fn gtmk(source: &dyn Source, out: &mut Out<'_>) {
    put!(out, "{}", source.trace_mask());
}

pub(super) fn srvr(source: &dyn Source, out: &mut Out<'_>) {
    version(source, out);
    stats(source, out);
}

pub(super) fn stat(source: &dyn Source, out: &mut Out<'_>) {
    version(source, out);
    out.push_str("Clients:\n");
    connections(source, out, true);
    stats(source, out);
}

fn version(source: &dyn Source, out: &mut Out<'_>) {
    line!(out, "Zookeeper version: {}", source.server().version);
    if source.is_read_only() {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
}

fn stats(source: &dyn Source, out: &mut Out<'_>) {
    let server = source.server();
    let average = java::double(server.latency_avg_ms);
    line!(out, "Latency min/avg/max: {}/{average}/{}", server.latency_min_ms, server.latency_max_ms);
    line!(out, "Received: {}", server.received);
    line!(out, "Sent: {}", server.sent);
    line!(out, "Connections: {}", server.connections);
    line!(out, "Outstanding: {}", server.outstanding);
    line!(out, "Zxid: 0x{:x}", server.zxid);
    line!(out, "Mode: {}", server.mode.name());
    line!(out, "Node count: {}", server.node_count);
    if let (Mode::Leader, Some(Sizes { last_bytes, min_bytes, max_bytes })) =
        (server.mode, server.proposal_sizes)
    {
        line!(out, "Proposal sizes last/min/max: {last_bytes}/{min_bytes}/{max_bytes}");
    }
}

pub(super) fn cons(source: &dyn Source, out: &mut Out<'_>) {
    connections(source, out, false);
}

fn connections(source: &dyn Source, out: &mut Out<'_>, brief: bool) {
    source.connections(&mut |connection| {
        connection_line(out, &connection, brief);
        out.flow()
    });
    out.push_str("\n");
}

fn connection_line(out: &mut Out<'_>, connection: &ConnectionReport, brief: bool) {
    let ConnectionReport { remote, interest_ops, queued, received, sent, session } = connection;
    put!(out, " {}[{interest_ops:x}](queued={queued},recved={received},sent={sent}", socket(*remote));
    if let (false, Some(session)) = (brief, session) {
        session_part(out, session);
    }
    out.push_str(")\n");
}

fn session_part(out: &mut Out<'_>, session: &SessionReport) {
    put!(out, ",sid=0x{:x},lop={}", session.id, session.last_operation);
    put!(out, ",est={},to={}", session.established_unix_ms, session.timeout_ms);
    if session.last_cxid >= 0 {
        put!(out, ",lcxid=0x{:x}", session.last_cxid);
    }
    put!(out, ",lzxid=0x{:x},lresp={}", session.last_zxid, session.last_response_ms);
    put!(out, ",llat={},minlat={}", session.last_latency_ms, session.min_latency_ms);
    put!(out, ",avglat={},maxlat={}", session.avg_latency_ms, session.max_latency_ms);
}

/// A socket address as `InetSocketAddress.toString` prints an unresolved name: a slash, IPv6 in
/// brackets and never shortened.
fn socket(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{}", address.port()),
        IpAddr::V6(ip) => {
            let groups: Vec<_> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/[{}]:{}", groups.join(":"), address.port())
        }
    }
}

pub(super) fn crst(source: &dyn Source, out: &mut Out<'_>) {
    source.reset_connections();
    out.push_str("Connection stats reset.\n");
}

pub(super) fn srst(source: &dyn Source, out: &mut Out<'_>) {
    source.reset_stats();
    out.push_str("Server stats reset.\n");
}

pub(super) fn conf(source: &dyn Source, out: &mut Out<'_>) {
    let conf = source.conf();
    line!(out, "clientPort={}", conf.client_port);
    line!(out, "secureClientPort={}", conf.secure_client_port);
    line!(out, "dataDir={}", conf.data_dir);
    line!(out, "dataDirSize={}", conf.data_dir_bytes);
    line!(out, "dataLogDir={}", conf.data_log_dir);
    line!(out, "dataLogSize={}", conf.data_log_bytes);
    line!(out, "tickTime={}", conf.tick_time_ms);
    line!(out, "maxClientCnxns={}", conf.max_client_cnxns);
    line!(out, "minSessionTimeout={}", conf.min_session_timeout_ms);
    line!(out, "maxSessionTimeout={}", conf.max_session_timeout_ms);
    line!(out, "clientPortListenBacklog={}", conf.client_port_listen_backlog);
    line!(out, "serverId={}", conf.server_id);
    let Some(quorum) = conf.quorum else { return };
    let joined = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join("|");
    line!(out, "initLimit={}", quorum.init_limit);
    line!(out, "syncLimit={}", quorum.sync_limit);
    line!(out, "electionAlg={}", quorum.election_alg);
    line!(out, "electionPort={}", joined(&quorum.election_ports));
    line!(out, "quorumPort={}", joined(&quorum.quorum_ports));
    line!(out, "peerType={}", quorum.peer_type);
    if let Some(membership) = quorum.membership {
        put!(out, "membership: \n{membership}");
    }
}

pub(super) fn envi(source: &dyn Source, out: &mut Out<'_>) {
    out.push_str("Environment:\n");
    for (name, value) in source.environment() {
        line!(out, "{name}={value}");
    }
}

pub(super) fn dirs(source: &dyn Source, out: &mut Out<'_>) {
    let dirs = source.dirs();
    line!(out, "datadir_size: {}", dirs.data_dir_bytes);
    line!(out, "logdir_size: {}", dirs.log_dir_bytes);
}

pub(super) fn dump(source: &dyn Source, out: &mut Out<'_>) {
    out.push_str("SessionTracker dump:\nSession ");
    buckets(out, &source.sessions_by_expiry(), |session| format!("0x{session:x}"));
    out.push_str("ephemeral nodes dump:\n");
    let owners = source.ephemeral_owners();
    line!(out, "Sessions with Ephemerals ({}):", owners.len());
    for session in owners {
        line!(out, "0x{session:x}:");
        source.ephemerals_of(session, &mut |path| {
            line!(out, "\t{path}");
            out.flow()
        });
    }
    out.push_str("Connections dump:\nConnections ");
    buckets(out, &source.connections_by_expiry(), |connection| {
        format!("ip: {} sessionId: 0x{:x}", socket(connection.remote), connection.session)
    });
}

fn buckets<T>(out: &mut Out<'_>, buckets: &[Bucket<T>], name: impl Fn(&T) -> String) {
    let members: usize = buckets.iter().map(|bucket| bucket.members.len()).sum();
    line!(out, "Sets ({})/({members}):", buckets.len());
    for Bucket { expires_unix_ms, members } in buckets {
        line!(out, "{} expire at {}:", members.len(), java::date(*expires_unix_ms));
        for member in members {
            line!(out, "\t{}", name(member));
        }
    }
}

pub(super) fn wchs(source: &dyn Source, out: &mut Out<'_>) {
    let summary = source.watch_summary();
    line!(out, "{} connections watching {} paths", summary.connections, summary.paths);
    line!(out, "Total watches:{}", summary.watches);
}

pub(super) fn wchc(source: &dyn Source, out: &mut Out<'_>) {
    source.watches_by_session(&mut |watch| {
        match watch {
            Watch::Session(session) => line!(out, "0x{session:x}"),
            Watch::Path(path) => line!(out, "\t{path}"),
        }
        out.flow()
    });
    out.push_str("\n");
}

pub(super) fn wchp(source: &dyn Source, out: &mut Out<'_>) {
    source.watches_by_path(&mut |watch| {
        match watch {
            Watch::Path(path) => line!(out, "{path}"),
            Watch::Session(session) => line!(out, "\t0x{session:x}"),
        }
        out.flow()
    });
    out.push_str("\n");
}

pub(super) fn mntr(source: &dyn Source, out: &mut Out<'_>) {
    let server = source.server();
    line!(out, "zk_version\t{}", server.version);
    line!(out, "zk_server_state\t{}", server.mode.name());
    for (key, value) in source.monitor() {
        line!(out, "zk_{key}\t{value}");
    }
}

pub(super) fn hash(source: &dyn Source, out: &mut Out<'_>) {
    for entry in source.digests() {
        line!(out, "{:x}: {}", entry.zxid, entry.digest);
    }
}
