//! What two servers may differ in, made equal; everything else stays as it came.
//!
//! - Session ids become their distance from the first one of the server.
//! - Passwords become whether they are those of their sessions, which follow from the id.
//! - Times become a mark, after a check: they are of this run, to within seconds, all nodes that one zxid touched bear one
//!   time, and the time of a later zxid is never an earlier one.
//! - Children, ephemerals and identities have no order in the reference (it keeps them in hash
//!   tables), so they are sorted. An entry `auth` of an access control list becomes the identities of a connection:
//!   they are sorted among themselves. What else is in a list stays in the order in which the client wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::script::op_name;

/// Ids of sessions lie this close together.
const SESSIONS: i64 = 1 << 20;
/// What stands for a session.
const SESSION_MARK: i64 = 0x5E55_1000_0000_0000;
/// What stands for a time.
const TIME_MARK: &[u8; 8] = b"A-TIME--";
/// What stands for a time at which the zxid beside it did not happen.
const WRONG_TIME_MARK: &[u8; 8] = b"BAD-TIME";
/// Bytes of a stat.
const STAT: usize = 68;
/// A server was started so long before its first session was seen, at most.
const START_MS: i64 = 60_000;
/// What the clocks of two processes of one machine may differ by.
const AHEAD_MS: i64 = 2_000;
/// What the reference and Oxkeeper mix into the id of a session to make its password (reference:
/// `ZooKeeperServer.superSecret`).
const SUPER_SECRET: i64 = 0xB341_5C00;

/// What is known of one server.
#[derive(Debug)]
pub struct Normal {
    /// The first session after each start.
    first_sessions: Vec<i64>,
    /// No time of this run is earlier.
    since: i64,
    /// The time of each zxid.
    times: BTreeMap<i64, i64>,
    /// What connections proved to be in the scheme `digest`, as it is written and as it is shown to others.
    identities: BTreeSet<String>,
}

impl Normal {
    /// For a server whose first session is this one.
    #[must_use]
    pub fn new(first_session: i64) -> Self {
        Self {
            first_sessions: vec![first_session],
            since: now_ms().saturating_sub(START_MS),
            times: BTreeMap::new(),
            identities: BTreeSet::new(),
        }
    }

    /// A client sends these credentials in the scheme `digest` (reference:
    /// `DigestAuthenticationProvider.generateDigest`).
    pub fn proves(&mut self, credentials: &str) {
        let user = credentials.split(':').next().unwrap_or_default();
        self.identities.insert(format!("{user}:{}", STANDARD.encode(Sha1::digest(credentials))));
        self.identities.insert(format!("{user}:x"));
    }

    /// The server was started again; this is the first session since.
    pub fn started_again(&mut self, first_session: i64) {
        self.first_sessions.push(first_session);
    }

    fn session(&self, value: i64) -> Option<i64> {
        self.first_sessions.iter().zip(0..).find_map(|(first, start)| {
            let distance = value.wrapping_sub(*first);
            (0..SESSIONS).contains(&distance).then(|| SESSION_MARK + (start << 32) + distance)
        })
    }

    /// A reply's body.
    pub fn body(&mut self, kind: i32, mut body: Vec<u8>) -> Vec<u8> {
        let name = op_name(kind);
        let sorted = match name.as_str() {
            "getChildren" | "getEphemerals" | "getChildren2" => sort_vector(&body, 0, 1),
            "whoAmI" => sort_vector(&body, 0, 2),
            _ => None,
        };
        body = sorted.unwrap_or(body);
        if name == "getACL" {
            self.sort_identities(&mut body);
        }
        match name.as_str() {
            "multi" | "multiRead" => {
                // Results that cannot be read are compared as they are.
                let _ = self.results(&mut body);
            }
            "exists" | "getData" | "setData" | "getACL" | "setACL" | "getChildren2" | "create2"
            | "createContainer" | "createTTL" => {
                if let Some(at) = body.len().checked_sub(STAT) {
                    self.stat(&mut body, at);
                }
            }
            _ => {}
        }
        body
    }

    /// The results of a multi or multiRead, one after the other.
    fn results(&mut self, body: &mut Vec<u8>) -> Option<()> {
        let mut at = 0;
        loop {
            let kind = i32::from_be_bytes(*body.get(at..)?.first_chunk::<4>()?);
            if *body.get(at + 4)? == 1 {
                return Some(());
            }
            at += 9;
            match op_name(kind).as_str() {
                "getChildren" => {
                    *body = sort_vector(body, at, 1)?;
                    let count = length(body, at)?;
                    at += 4;
                    for _ in 0..count {
                        at = after_string(body, at)?;
                    }
                }
                "create" => at = after_string(body, at)?,
                "getData" | "create2" => {
                    at = after_string(body, at)?;
                    self.stat(body, at);
                    at += STAT;
                }
                "setData" => {
                    self.stat(body, at);
                    at += STAT;
                }
                "delete" | "check" => {}
                _ => at += 4,
            }
        }
    }

    /// A stat: czxid, mzxid, ctime, mtime, three versions, owner.
    fn stat(&mut self, bytes: &mut [u8], at: usize) {
        for (zxid, time) in [(at, at + 16), (at + 8, at + 24)] {
            self.time(bytes, long(bytes, zxid), time);
        }
        self.session_at(bytes, at + 44);
    }

    /// Replaces the id of a session, if there is one.
    pub fn session_at(&self, bytes: &mut [u8], at: usize) {
        if let Some(mark) = long(bytes, at).and_then(|value| self.session(value)) {
            bytes[at..at + 8].copy_from_slice(&mark.to_be_bytes());
        }
    }

    /// Replaces the time of a zxid, if there is one, and checks it. What is not of this run stays, and so differs.
    pub fn time(&mut self, bytes: &mut [u8], zxid: Option<i64>, at: usize) {
        let is_of_this_run = |time: &i64| (self.since..=now_ms() + AHEAD_MS).contains(time);
        let Some(time) = long(bytes, at).filter(is_of_this_run) else { return };
        let zxid = zxid.unwrap_or(0);
        let earlier = self.times.range(..zxid).next_back().map(|(_, time)| *time);
        let later = self.times.range(zxid + 1..).next().map(|(_, time)| *time);
        let goes_back =
            earlier.is_some_and(|earlier| earlier > time) || later.is_some_and(|later| time > later);
        let known = *self.times.entry(zxid).or_insert(time);
        let is_right = known == time && !goes_back;
        bytes[at..at + 8].copy_from_slice(if is_right { TIME_MARK } else { WRONG_TIME_MARK });
    }

    /// Sorts a vector of paths inside of something larger.
    pub fn sort_paths(&self, bytes: &mut Vec<u8>, at: usize) {
        if let Some(sorted) = sort_vector(bytes, at, 1) {
            *bytes = sorted;
        }
    }

    /// Sorts what an entry `auth` became in access control lists, wherever they are: neighbours with the same
    /// permissions, each an identity of the scheme `digest` that somebody proved.
    pub fn sort_identities(&self, bytes: &mut [u8]) {
        const SCHEME: &[u8] = b"\0\0\0\x06digest";
        let starts = bytes.windows(SCHEME.len()).enumerate().filter(|(_, window)| *window == SCHEME);
        let mut runs: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
        let mut last_end = 0;
        for (at, _) in starts {
            let id_at = at + SCHEME.len();
            let (Some(start), Some(end)) = (at.checked_sub(4), after_string(bytes, id_at)) else { continue };
            let id = bytes.get(id_at + 4..end).and_then(|id| std::str::from_utf8(id).ok());
            if !id.is_some_and(|id| self.identities.contains(id)) {
                continue;
            }
            let entry = bytes[start..end].to_vec();
            match runs.last_mut() {
                Some((_, entries)) if start == last_end && entries[0][..4] == entry[..4] => {
                    entries.push(entry)
                }
                _ => runs.push((start, vec![entry])),
            }
            last_end = end;
        }
        for (start, mut entries) in runs {
            entries.sort_unstable();
            let sorted = entries.concat();
            bytes[start..start + sorted.len()].copy_from_slice(&sorted);
        }
    }

    /// The answer to a connect request.
    #[must_use]
    pub fn hello(&self, frame: &[u8]) -> String {
        let (Some(head), Some(session)) = (frame.get(..8), long(frame, 8)) else {
            return format!("{frame:02x?}");
        };
        let length =
            frame.get(16..20).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        let end = 20 + usize::try_from(length.unwrap_or(0)).unwrap_or(0);
        let password = frame.get(20..end).unwrap_or_default();
        let kind = match password {
            password if password.iter().all(|byte| *byte == 0) => "zeros",
            password if *password == password_of(session) => "its password",
            _ => "another password",
        };
        let session = self.session(session).unwrap_or(session);
        format!("{head:02x?} session {session:x} {kind} {length:?} rest {:02x?}", frame.get(end..))
    }

    /// Text of a four-letter word: ids of sessions, wherever they are.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("0x") {
            let digits = rest[at + 2..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - at - 2);
            let number = &rest[at + 2..at + 2 + digits];
            let session = u64::from_str_radix(number, 16).ok().and_then(|id| self.session(id.cast_signed()));
            out.push_str(&rest[..at]);
            match session {
                Some(mark) => out.push_str(&format!("0x{mark:x}")),
                None => out.push_str(&rest[at..at + 2 + digits]),
            }
            rest = &rest[at + 2 + digits..];
        }
        out + rest
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}

/// The password of a session: what `java.util.Random` makes of its id.
fn password_of(session: i64) -> [u8; 16] {
    const MULTIPLIER: i64 = 0x5_DEEC_E66D;
    const MASK: i64 = (1 << 48) - 1;
    let mut seed = (session ^ SUPER_SECRET ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for bytes in password.chunks_exact_mut(4) {
        seed = seed.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        bytes.copy_from_slice(&((seed >> 16) as i32).to_le_bytes());
    }
    password
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.get(at..)?.first_chunk::<8>()?))
}

fn length(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?)).ok()
}

/// The end of the string or buffer at `at`; null counts as empty.
fn after_string(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4)?;
    let end = at + 4 + length(bytes, at).unwrap_or(0);
    (end <= bytes.len()).then_some(end)
}

/// Sorts a vector at `at` whose elements are so many strings each.
fn sort_vector(bytes: &[u8], at: usize, strings: usize) -> Option<Vec<u8>> {
    let count = length(bytes, at)?;
    let mut elements = Vec::new();
    let mut here = at + 4;
    for _ in 0..count {
        let start = here;
        for _ in 0..strings {
            here = after_string(bytes, here)?;
        }
        elements.push(bytes.get(start..here)?);
    }
    elements.sort_unstable();
    Some([bytes.get(..at + 4)?, &elements.concat(), bytes.get(here..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::super::script::op;
    use super::*;

    #[test]
    fn children_are_sorted_and_what_follows_stays() {
        let body = [&[0, 0, 0, 2][..], &[0, 0, 0, 1, b'b'], &[0, 0, 0, 1, b'a'], &[9, 8, 7]].concat();
        let sorted = [&[0, 0, 0, 2][..], &[0, 0, 0, 1, b'a'], &[0, 0, 0, 1, b'b'], &[9, 8, 7]].concat();
        assert_eq!(Normal::new(1 << 56).body(op("getChildren2"), body), sorted);
    }

    #[test]
    fn two_times_for_one_zxid_show() {
        let mut normal = Normal::new(1 << 56);
        let now = normal.since;
        let mut stat = |time: i64| {
            let body = [[5, 6, now, time].map(i64::to_be_bytes).concat(), vec![0; STAT - 32]].concat();
            normal.body(op("exists"), body)
        };
        let (first, same, other) = (stat(now + 1), stat(now + 1), stat(now + 2));
        assert_eq!(first, same);
        assert_ne!(first, other);
    }

    #[test]
    fn a_later_zxid_with_an_earlier_time_shows() {
        let mut normal = Normal::new(1 << 56);
        let begin = normal.since;
        let mut mark = |zxid: i64, time: i64| {
            let mut bytes = time.to_be_bytes();
            normal.time(&mut bytes, Some(zxid), 0);
            bytes
        };
        assert_eq!([mark(5, begin + 10), mark(9, begin + 10), mark(7, begin + 10)], [*TIME_MARK; 3]);
        assert_eq!([mark(4, begin + 11), mark(10, begin + 9)], [*WRONG_TIME_MARK; 2]);
        let too_late = now_ms() + 2 * AHEAD_MS;
        assert_eq!([mark(20, begin - 1), mark(20, too_late)], [begin - 1, too_late].map(i64::to_be_bytes));
    }

    /// The last one is what `java.util.Random` gives.
    #[test]
    fn a_password_is_that_of_its_session_or_another() {
        let normal = Normal::new(1 << 56);
        let answer = |session: i64, password: [u8; 16]| {
            let frame =
                [&[0; 8][..], &session.to_be_bytes(), &16_i32.to_be_bytes(), &password, &[0]].concat();
            normal.hello(&frame)
        };
        assert!(answer(1 << 56, password_of(1 << 56)).contains(" its password "));
        assert!(answer(1 << 56, password_of(2)).contains(" another password "));
        assert!(answer(1 << 56, [0; 16]).contains(" zeros "));
        let of_java =
            [0x6E, 0xD4, 0x7E, 0x88, 0x63, 0x78, 0xD8, 0x16, 0xFC, 0xFF, 0x98, 0xB3, 0xE4, 0xAE, 0x13, 0x08];
        assert_eq!(password_of(0x0100_0000_1234_0000), of_java);
    }

    /// The ids are what `DigestAuthenticationProvider` gives for `ann:secret` and `bob:x`.
    #[test]
    fn only_identities_that_were_proven_are_sorted_and_only_within_one_entry() {
        const ANN: &str = "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=";
        let mut normal = Normal::new(1 << 56);
        normal.proves("ann:secret");
        normal.proves("bob:x");
        let bob = format!("bob:{}", STANDARD.encode(Sha1::digest("bob:x")));
        let sorted = |list: &[(i32, &str)]| {
            let entries = list.iter().map(|(perms, id)| {
                let length = |text: &str| (text.len() as i32).to_be_bytes();
                [&perms.to_be_bytes()[..], &length("digest"), b"digest", &length(id), id.as_bytes()].concat()
            });
            let mut body = entries.collect::<Vec<_>>().concat();
            normal.sort_identities(&mut body);
            body
        };
        assert_eq!(sorted(&[(1, ANN), (1, &bob)]), sorted(&[(1, &bob), (1, ANN)]));
        assert_eq!(sorted(&[(1, "ann:x"), (1, "bob:x")]), sorted(&[(1, "bob:x"), (1, "ann:x")]));
        assert_ne!(sorted(&[(1, ANN), (2, &bob)]), sorted(&[(2, &bob), (1, ANN)]));
        assert_ne!(sorted(&[(1, ANN), (1, "eve:other")]), sorted(&[(1, "eve:other"), (1, ANN)]));
        assert_ne!(
            sorted(&[(1, ANN), (1, "eve:other"), (1, &bob)]),
            sorted(&[(1, &bob), (1, "eve:other"), (1, ANN)])
        );
    }

    #[test]
    fn sessions_in_text_become_distances() {
        let normal = Normal::new(0x1000_0000_0000_0000);
        assert_eq!(normal.text("0x1000000000000002 0x1f"), "0x5e55100000000002 0x1f");
    }
}
