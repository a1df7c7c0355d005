//! A four-letter word and what the server has to say. No input panics or takes memory out of proportion; a
//! word that is not allowed tells nothing and changes nothing.
//!
//! The first byte tells what the server is and which words are allowed, four are the word, eight what may
//! follow it; of the rest the server's names, paths and numbers are made.

use std::cell::Cell;
use std::net::{Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;

use oxkeeper::admin::Out;
use oxkeeper::admin::four_letter::{Whitelist, answer, extra_bytes, is_word};
use oxkeeper::admin::report::{
    Bucket, ConfReport, ConnectionReport, DigestReport, DirsReport, DumpedConnection, Mode, QuorumConfReport,
    ServerReport, SessionReport, Sizes, Source, Watch, WatchSummary, last_operation,
};

use jute_fuzz::peak_bytes;

const WORST_FACTOR: usize = 256;
const SLACK_BYTES: usize = 64 << 10;

struct Fuzzed<'a> {
    flags: u8,
    words: Vec<&'a [u8]>,
    mask: Cell<i64>,
    resets: Cell<u32>,
}

impl Fuzzed<'_> {
    fn number(&self, index: usize) -> i64 {
        let word = self.words.get(index % self.words.len().max(1)).copied().unwrap_or_default();
        word.iter().fold(0_i64, |number, byte| number.wrapping_mul(0x101) ^ i64::from(*byte).rotate_right(8))
    }

    fn strings(&self) -> Vec<String> {
        self.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    fn numbers(&self) -> Vec<i64> {
        (0..self.words.len()).map(|index| self.number(index)).collect()
    }

    fn address(&self, index: usize) -> SocketAddr {
        let number = self.number(index);
        let host = Ipv6Addr::from(u128::from(number.cast_unsigned()).rotate_left(64));
        SocketAddr::from((host, number as u16))
    }
}

impl Source for Fuzzed<'_> {
    fn is_serving(&self) -> bool {
        self.flags & 1 == 0
    }
    fn is_read_only(&self) -> bool {
        self.flags & 2 != 0
    }
    fn server(&self) -> ServerReport {
        let modes = [Mode::Standalone, Mode::Leader, Mode::Follower, Mode::Observer, Mode::ReadOnly];
        let number = |index| self.number(index);
        ServerReport {
            version: self.strings().concat(),
            latency_min_ms: number(0),
            latency_avg_ms: f64::from_bits(number(1).cast_unsigned()),
            latency_max_ms: number(2),
            received: number(3).cast_unsigned(),
            sent: number(4).cast_unsigned(),
            connections: self.words.len(),
            outstanding: number(5).cast_unsigned(),
            zxid: number(6),
            mode: modes[usize::from(self.flags >> 4) % modes.len()],
            node_count: number(7).cast_unsigned(),
            proposal_sizes: (self.flags & 4 != 0).then(|| Sizes {
                last_bytes: number(0),
                min_bytes: number(1),
                max_bytes: number(2),
            }),
        }
    }
    fn connections(&self, tell: &mut dyn FnMut(ConnectionReport) -> ControlFlow<()>) {
        let report = |index| {
            let number = |skip| self.number(index + skip);
            let session = SessionReport {
                id: number(0),
                last_operation: last_operation(number(1) as i32),
                established_unix_ms: number(2),
                timeout_ms: number(3) as i32,
                last_cxid: number(4),
                last_zxid: number(5),
                last_response_ms: number(6),
                last_latency_ms: number(7),
                min_latency_ms: number(0),
                avg_latency_ms: number(1),
                max_latency_ms: number(2),
            };
            ConnectionReport {
                remote: self.address(index),
                interest_ops: number(1) as u32,
                queued: number(2).cast_unsigned(),
                received: number(3).cast_unsigned(),
                sent: number(4).cast_unsigned(),
                session: (number(5) & 1 == 0).then_some(session),
            }
        };
        let _enough = (0..self.words.len()).map(report).try_for_each(tell);
    }
    fn conf(&self) -> ConfReport {
        let text = self.strings().concat();
        let number = |index| self.number(index) as i32;
        let quorum = QuorumConfReport {
            init_limit: number(0),
            sync_limit: number(1),
            election_alg: 3,
            election_ports: self.numbers().into_iter().map(|port| port as u16).collect(),
            quorum_ports: self.numbers().into_iter().map(|port| port as u16).collect(),
            peer_type: number(2),
            membership: (self.flags & 8 != 0).then(|| text.clone()),
        };
        ConfReport {
            client_port: number(0),
            secure_client_port: number(1),
            data_dir: text.clone(),
            data_dir_bytes: self.number(2).cast_unsigned(),
            data_log_dir: text,
            data_log_bytes: self.number(3).cast_unsigned(),
            tick_time_ms: number(4),
            max_client_cnxns: number(5),
            min_session_timeout_ms: number(6),
            max_session_timeout_ms: number(7),
            client_port_listen_backlog: number(0),
            server_id: self.number(1),
            quorum: (self.flags & 4 != 0).then_some(quorum),
        }
    }
    fn environment(&self) -> Vec<(String, String)> {
        self.strings().into_iter().map(|text| (text.clone(), text)).collect()
    }
    fn sessions_by_expiry(&self) -> Vec<Bucket<i64>> {
        vec![Bucket { expires_unix_ms: self.number(0), members: self.numbers() }]
    }
    fn ephemeral_owners(&self) -> Vec<i64> {
        vec![self.number(1)]
    }
    fn ephemerals_of(&self, _: i64, tell: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        let _enough = self.strings().iter().map(String::as_str).try_for_each(tell);
    }
    fn connections_by_expiry(&self) -> Vec<Bucket<DumpedConnection>> {
        let connection =
            |index| DumpedConnection { remote: self.address(index), session: self.number(index) };
        let connections = (0..self.words.len()).map(connection).collect();
        vec![Bucket { expires_unix_ms: self.number(2), members: connections }]
    }
    fn watch_summary(&self) -> WatchSummary {
        let count = |index| self.number(index) as usize;
        WatchSummary { connections: count(0), paths: count(1), watches: count(2) }
    }
    fn watches_by_session(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
        let strings = self.strings();
        let paths = strings.iter().map(|path| Watch::Path(path));
        let _enough = std::iter::once(Watch::Session(self.number(0))).chain(paths).try_for_each(tell);
    }
    fn watches_by_path(&self, tell: &mut dyn FnMut(Watch<'_>) -> ControlFlow<()>) {
        let path = self.strings().concat();
        let sessions = self.numbers().into_iter().map(Watch::Session);
        let _enough = std::iter::once(Watch::Path(&path)).chain(sessions).try_for_each(tell);
    }
    fn dirs(&self) -> DirsReport {
        let bytes = |index| self.number(index).cast_unsigned();
        DirsReport { data_dir_bytes: bytes(0), log_dir_bytes: bytes(1) }
    }
    fn monitor(&self) -> Vec<(String, String)> {
        self.environment()
    }
    fn digests(&self) -> Vec<DigestReport> {
        self.numbers().into_iter().map(|zxid| DigestReport { zxid, digest: !zxid }).collect()
    }
    fn trace_mask(&self) -> i64 {
        self.mask.get()
    }
    fn set_trace_mask(&self, mask: i64) {
        self.mask.set(mask);
    }
    fn reset_stats(&self) {
        self.resets.set(self.resets.get() + 1);
    }
    fn reset_connections(&self) {
        self.resets.set(self.resets.get() + 1);
    }
}

/// Asks `input`.
pub fn four_letter(input: &[u8]) {
    let Some(([flags, word @ ..], rest)) = input.split_first_chunk::<5>() else { return };
    let (extra, rest) = match rest.split_first_chunk::<8>() {
        Some((extra, rest)) => (Some(*extra), rest),
        None => (None, rest),
    };
    let words = rest.split(|byte| *byte == 0).take(64).collect();
    let source = Fuzzed { flags: *flags, words, mask: Cell::new(7), resets: Cell::new(0) };
    let allowed = match flags >> 6 {
        0 => vec!["*".to_owned()],
        1 => vec![String::from_utf8_lossy(word).into_owned()],
        2 => vec!["ruok".to_owned(), "mntr".to_owned()],
        _ => Vec::new(),
    };
    let whitelist = Whitelist::of(&allowed);
    let mut said = Vec::new();
    let peak = peak_bytes(|| {
        let follows = extra_bytes(*word, &whitelist);
        assert!(follows == 0 || follows == 8);
        let mut send = |piece: Vec<u8>| {
            said.extend(piece);
            true
        };
        let mut out = Out::new(&mut send);
        answer(*word, extra.filter(|_| follows == 8), &whitelist, &source, &mut out);
        out.finish();
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
    let may = std::str::from_utf8(word).is_ok_and(|word| whitelist.allows(word));
    if !is_word(*word) {
        assert!(said.is_empty());
    }
    if !may {
        assert_eq!(
            (source.mask.get(), source.resets.get()),
            (7, 0),
            "a word that is refused changed something"
        );
        let text = String::from_utf8_lossy(&said);
        assert!(
            text.is_empty() || text.ends_with("is not executed because it is not in the whitelist.\n"),
            "{text}"
        );
    }
}
