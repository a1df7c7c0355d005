//! The exact text of every word.

use std::cell::Cell;
use std::ops::ControlFlow;

use super::*;
use crate::admin::report::*;

struct Fixed {
    serving: bool,
    read_only: bool,
    mode: Mode,
    connections: Vec<ConnectionReport>,
    quorum: Option<QuorumConfReport>,
    mask: Cell<i64>,
    resets: Cell<(u32, u32)>,
}

impl Default for Fixed {
    fn default() -> Self {
        Self {
            serving: true,
            read_only: false,
            mode: Mode::Standalone,
            connections: Vec::new(),
            quorum: None,
            mask: Cell::new(306),
            resets: Cell::default(),
        }
    }
}

fn connection() -> ConnectionReport {
    ConnectionReport {
        remote: "127.0.0.1:50000".parse().unwrap(),
        interest_ops: 1,
        queued: 0,
        received: 3,
        sent: 2,
        session: Some(SessionReport {
            id: 0x0100_0000_0001_0000,
            last_operation: last_operation(1),
            established_unix_ms: 1_795_223_134_000,
            timeout_ms: 30_000,
            last_cxid: 10,
            last_zxid: 0x1f,
            last_response_ms: 77,
            last_latency_ms: 4,
            min_latency_ms: 0,
            avg_latency_ms: 2,
            max_latency_ms: 9,
        }),
    }
}

impl Source for Fixed {
    fn is_serving(&self) -> bool {
        self.serving
    }
    fn is_read_only(&self) -> bool {
        self.read_only
    }
    fn server(&self) -> ServerReport {
        ServerReport {
            version: VERSION.to_owned(),
            latency_min_ms: 0,
            latency_avg_ms: 0.3333,
            latency_max_ms: 7,
            received: 12,
            sent: 11,
            connections: 1,
            outstanding: 0,
            zxid: 0x1_0000_0002,
            mode: self.mode,
            node_count: 5,
            proposal_sizes: Some(Sizes { last_bytes: 48, min_bytes: 36, max_bytes: 120 }),
        }
    }
    fn connections(&self, tell: &mut dyn FnMut(ConnectionReport) -> ControlFlow<()>) {
        let _enough = self.connections.iter().cloned().try_for_each(tell);
    }
    fn conf(&self) -> ConfReport {
        ConfReport {
            client_port: 2181,
            secure_client_port: -1,
            data_dir: "/data/version-2".to_owned(),
            data_dir_bytes: 536,
            data_log_dir: "/log/version-2".to_owned(),
            data_log_bytes: 67_108_880,
            tick_time_ms: 2000,
            max_client_cnxns: 60,
            min_session_timeout_ms: 4000,
            max_session_timeout_ms: 40_000,
            client_port_listen_backlog: -1,
            server_id: 0,
            quorum: self.quorum.clone(),
        }
    }
    fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("zookeeper.version".to_owned(), VERSION.to_owned()),
            ("host.name".to_owned(), "<NA>".to_owned()),
        ]
    }
    fn sessions_by_expiry(&self) -> Vec<Bucket<i64>> {
        vec![
            Bucket { expires_unix_ms: 1_795_223_134_000, members: vec![0x1a, 0x1b] },
            Bucket { expires_unix_ms: 1_795_223_136_000, members: vec![-1] },
        ]
    }
    fn ephemeral_owners(&self) -> Vec<i64> {
        vec![0x1a]
    }
    fn ephemerals_of(&self, session: i64, tell: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        assert_eq!(session, 0x1a);
        let _enough = ["/a", "/b"].into_iter().try_for_each(tell);
    }
    fn connections_by_expiry(&self) -> Vec<Bucket<DumpedConnection>> {
        let connection = DumpedConnection { remote: "[::1]:50001".parse().unwrap(), session: 0x1a };
        vec![Bucket { expires_unix_ms: 1_795_223_140_000, members: vec![connection] }]
    }
    fn watch_summary(&self) -> WatchSummary {
        WatchSummary { connections: 2, paths: 3, watches: 4 }
    }
    fn watches_by_session(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
        let watches = [Watch::Session(0x1a), Watch::Path("/a"), Watch::Path("/b")];
        let _enough = watches.into_iter().try_for_each(tell);
    }
    fn watches_by_path(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
        let watches = [Watch::Path("/a"), Watch::Session(0x1a), Watch::Session(0x1b)];
        let _enough = watches.into_iter().try_for_each(tell);
    }
    fn dirs(&self) -> DirsReport {
        DirsReport { data_dir_bytes: 536, log_dir_bytes: 67_108_880 }
    }
    fn monitor(&self) -> Vec<(String, String)> {
        vec![("avg_latency".to_owned(), "0.3333".to_owned()), ("znode_count".to_owned(), "5".to_owned())]
    }
    fn digests(&self) -> Vec<DigestReport> {
        vec![DigestReport { zxid: 0x1f, digest: 1_371_985_504 }, DigestReport { zxid: 0x20, digest: -5 }]
    }
    fn trace_mask(&self) -> i64 {
        self.mask.get()
    }
    fn set_trace_mask(&self, mask: i64) {
        self.mask.set(mask);
    }
    fn reset_stats(&self) {
        self.resets.set((self.resets.get().0 + 1, self.resets.get().1));
    }
    fn reset_connections(&self) {
        self.resets.set((self.resets.get().0, self.resets.get().1 + 1));
    }
}

fn all() -> Whitelist {
    Whitelist::of(&["*".to_owned()])
}

/// What is written before the connection is closed.
fn said(word: [u8; 4], extra: Option<[u8; 8]>, whitelist: &Whitelist, source: &Fixed) -> String {
    let mut said = Vec::new();
    let mut send = |piece: Vec<u8>| {
        said.extend(piece);
        true
    };
    let mut out = Out::new(&mut send);
    answer(word, extra, whitelist, source, &mut out);
    out.finish();
    String::from_utf8(said).unwrap()
}

#[track_caller]
fn check(source: &Fixed, word: &[u8; 4], expected: &str) {
    assert_eq!(said(*word, None, &all(), source), expected);
}

const STATS: &str = "Latency min/avg/max: 0/0.3333/7\nReceived: 12\nSent: 11\nConnections: 1\nOutstanding: 0\n\
                     Zxid: 0x100000002\nMode: standalone\nNode count: 5\n";

#[test]
fn srvr_is_the_head_of_the_server() {
    check(&Fixed::default(), b"srvr", &format!("Zookeeper version: {VERSION}\n{STATS}"));
    let leader = Fixed { mode: Mode::Leader, ..Fixed::default() };
    let text = said(*b"srvr", None, &all(), &leader);
    assert!(text.ends_with("Mode: leader\nNode count: 5\nProposal sizes last/min/max: 48/36/120\n"));
}

#[test]
fn the_version_has_the_form_that_strict_clients_match() {
    let (release, built) = VERSION.split_once(", built on ").unwrap();
    assert!(release.starts_with("3.9.5-"));
    assert!(release.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)));
    let shape: String = built.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00 00:00 UTC");
}

#[test]
fn stat_lists_connections_in_brief() {
    let source = Fixed { connections: vec![connection()], ..Fixed::default() };
    let clients = "Clients:\n /127.0.0.1:50000[1](queued=0,recved=3,sent=2)\n\n";
    check(&source, b"stat", &format!("Zookeeper version: {VERSION}\n{clients}{STATS}"));
    check(&Fixed::default(), b"stat", &format!("Zookeeper version: {VERSION}\nClients:\n\n{STATS}"));
}

#[test]
fn a_read_only_server_says_so() {
    let source = Fixed { read_only: true, mode: Mode::ReadOnly, ..Fixed::default() };
    let text = said(*b"srvr", None, &all(), &source);
    assert_eq!(text.lines().nth(1), Some("READ-ONLY mode; serving only read-only clients"));
    assert!(text.contains("\nMode: read-only\n"));
    check(&source, b"isro", "ro");
}

#[test]
fn cons_lists_connections_in_full() {
    let without_requests = ConnectionReport {
        interest_ops: 0,
        remote: "[2001:db8::1]:9".parse().unwrap(),
        session: connection().session.map(|session| SessionReport { last_cxid: -1, ..session }),
        ..connection()
    };
    let without_session = ConnectionReport { session: None, interest_ops: 5, ..connection() };
    let connections = vec![connection(), without_requests, without_session];
    check(
        &Fixed { connections, ..Fixed::default() },
        b"cons",
        " /127.0.0.1:50000[1](queued=0,recved=3,sent=2,sid=0x100000000010000,lop=CREA,est=1795223134000,\
         to=30000,lcxid=0xa,lzxid=0x1f,lresp=77,llat=4,minlat=0,avglat=2,maxlat=9)\n \
         /[2001:db8:0:0:0:0:0:1]:9[0](queued=0,recved=3,sent=2,sid=0x100000000010000,lop=CREA,est=1795223134000,\
         to=30000,lzxid=0x1f,lresp=77,llat=4,minlat=0,avglat=2,maxlat=9)\n \
         /127.0.0.1:50000[5](queued=0,recved=3,sent=2)\n\n",
    );
}

#[test]
fn conf_lists_the_settings() {
    let alone = "clientPort=2181\nsecureClientPort=-1\ndataDir=/data/version-2\ndataDirSize=536\n\
                 dataLogDir=/log/version-2\ndataLogSize=67108880\ntickTime=2000\nmaxClientCnxns=60\n\
                 minSessionTimeout=4000\nmaxSessionTimeout=40000\nclientPortListenBacklog=-1\nserverId=0\n";
    check(&Fixed::default(), b"conf", alone);
    let quorum = QuorumConfReport {
        init_limit: 10,
        sync_limit: 5,
        election_alg: 3,
        election_ports: vec![3888, 3889],
        quorum_ports: vec![2888],
        peer_type: 0,
        membership: Some("server.1=a:2888:3888:participant\nversion=0".to_owned()),
    };
    let member = Fixed { quorum: Some(quorum), ..Fixed::default() };
    let more = "initLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888|3889\nquorumPort=2888\npeerType=0\n\
                membership: \nserver.1=a:2888:3888:participant\nversion=0";
    check(&member, b"conf", &format!("{alone}{more}"));
}

#[test]
fn dump_lists_sessions_ephemerals_and_connections() {
    check(
        &Fixed::default(),
        b"dump",
        "SessionTracker dump:\nSession Sets (2)/(3):\n2 expire at Sat Nov 21 01:05:34 UTC 2026:\n\t0x1a\n\t0x1b\n\
         1 expire at Sat Nov 21 01:05:36 UTC 2026:\n\t0xffffffffffffffff\nephemeral nodes dump:\n\
         Sessions with Ephemerals (1):\n0x1a:\n\t/a\n\t/b\nConnections dump:\nConnections Sets (1)/(1):\n\
         1 expire at Sat Nov 21 01:05:40 UTC 2026:\n\tip: /[0:0:0:0:0:0:0:1]:50001 sessionId: 0x1a\n",
    );
}

#[test]
fn the_short_words_answer_in_a_line_or_two() {
    let source = Fixed::default();
    check(&source, b"ruok", "imok");
    check(&source, b"isro", "rw");
    check(&source, b"gtmk", "306");
    check(&source, b"dirs", "datadir_size: 536\nlogdir_size: 67108880\n");
    check(&source, b"hash", "1f: 1371985504\n20: -5\n");
    check(&source, b"wchs", "2 connections watching 3 paths\nTotal watches:4\n");
    check(&source, b"wchc", "0x1a\n\t/a\n\t/b\n\n");
    check(&source, b"wchp", "/a\n\t0x1a\n\t0x1b\n\n");
    check(&source, b"envi", &format!("Environment:\nzookeeper.version={VERSION}\nhost.name=<NA>\n"));
    let monitor = format!(
        "zk_version\t{VERSION}\nzk_server_state\tstandalone\nzk_avg_latency\t0.3333\nzk_znode_count\t5\n"
    );
    check(&source, b"mntr", &monitor);
}

#[test]
fn resets_reach_the_server() {
    let source = Fixed::default();
    check(&source, b"srst", "Server stats reset.\n");
    check(&source, b"crst", "Connection stats reset.\n");
    assert_eq!(source.resets.get(), (1, 1));
}

#[test]
fn stmk_takes_eight_more_bytes() {
    let source = Fixed::default();
    assert_eq!(extra_bytes(*b"stmk", &all()), 8);
    assert_eq!(extra_bytes(*b"gtmk", &all()), 0);
    assert_eq!(extra_bytes(*b"stmk", &Whitelist::of(&[])), 0);
    let mask = Some(4096i64.to_be_bytes());
    assert_eq!(said(*b"stmk", mask, &all(), &source), "4096");
    assert_eq!(source.mask.get(), 4096);
    assert_eq!(said(*b"stmk", None, &all(), &source), "");
}

#[test]
fn a_word_outside_the_whitelist_is_refused_by_name() {
    let source = Fixed::default();
    let few = Whitelist::of(&["ruok".to_owned()]);
    let refused = |name| format!("{name} is not executed because it is not in the whitelist.\n");
    assert_eq!(said(*b"mntr", None, &few, &source), refused("mntr"));
    assert_eq!(said(*b"stmk", None, &few, &source), refused("stmk"));
    assert_eq!(said([0xff, 0xf4, 0xff, 0xfd], None, &few, &source), refused("telnet close"));
    assert_eq!(said([0xff, 0xf4, 0xff, 0xfd], None, &all(), &source), "");
    assert_eq!(said(*b"ruok", None, &few, &source), "imok");
    assert!(few.allows("srvr"));
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    let source = Fixed { serving: false, ..Fixed::default() };
    let sentence = "This ZooKeeper instance is not currently serving requests";
    for word in [
        b"conf", b"cons", b"crst", b"dirs", b"dump", b"mntr", b"srvr", b"srst", b"stat", b"wchc", b"wchp",
        b"wchs",
    ] {
        check(&source, word, &format!("{sentence}\n"));
    }
    check(&source, b"hash", sentence);
    check(&source, b"isro", "null");
    check(&source, b"ruok", "imok");
    check(&source, b"gtmk", "306");
    assert_eq!(source.resets.get(), (0, 0));
}

#[test]
fn only_known_words_are_words() {
    assert!(is_word(*b"ruok") && is_word(*b"hash") && is_word([0xff, 0xf4, 0xff, 0xfd]));
    assert!(!is_word([0, 0, 0, 45]) && !is_word(*b"RUOK") && !is_word(*b"kill"));
}

#[test]
fn a_client_that_is_gone_ends_the_walk() {
    let mut connections = vec![connection(); 10_000];
    connections.iter_mut().for_each(|connection| connection.session = None);
    let source = Fixed { connections, ..Fixed::default() };
    let mut pieces = 0;
    let mut send = |_| {
        pieces += 1;
        pieces < 3
    };
    let mut out = Out::new(&mut send);
    answer(*b"cons", None, &all(), &source, &mut out);
    assert!(out.flow().is_break());
    out.finish();
    assert_eq!(pieces, 3);
}
