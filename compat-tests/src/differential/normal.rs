//! What two servers may differ in, made equal; everything else stays as it came.
//!
//! - Session ids become their distance from the first one of the server.
//! - Passwords become what can be said about them.
//! - Times become a mark, after a check: all nodes that one zxid touched bear one time.
//! - Children, ephemerals and identities have no order in the reference (it keeps them in hash
//!   tables), so they are sorted.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

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
const HOUR_MS: i64 = 3_600_000;

/// What is known of one server.
#[derive(Debug)]
pub struct Normal {
    /// The first session after each start.
    first_sessions: Vec<i64>,
    clock: RangeInclusive<i64>,
    times: HashMap<i64, i64>,
}

impl Normal {
    /// For a server whose first session is this one.
    #[must_use]
    pub fn new(first_session: i64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(0);
        Self {
            first_sessions: vec![first_session],
            clock: now - HOUR_MS..=now + 24 * HOUR_MS,
            times: HashMap::new(),
        }
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
            sort_digests(&mut body);
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

    /// Replaces the time of a zxid, if there is one, and checks that it is always the same.
    pub fn time(&mut self, bytes: &mut [u8], zxid: Option<i64>, at: usize) {
        let Some(time) = long(bytes, at).filter(|time| self.clock.contains(time)) else { return };
        let known = *self.times.entry(zxid.unwrap_or(0)).or_insert(time);
        bytes[at..at + 8].copy_from_slice(if known == time { TIME_MARK } else { WRONG_TIME_MARK });
    }

    /// Sorts a vector of paths inside of something larger.
    pub fn sort_paths(&self, bytes: &mut Vec<u8>, at: usize) {
        if let Some(sorted) = sort_vector(bytes, at, 1) {
            *bytes = sorted;
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
        let session = self.session(session).unwrap_or(session);
        let kind = if password.iter().all(|byte| *byte == 0) { "zeros" } else { "a password" };
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

/// Sorts neighbouring entries of the scheme `digest` in access control lists, wherever they are: the
/// scheme `auth` stands for all of a connection's identities, which have no order.
pub fn sort_digests(bytes: &mut [u8]) {
    const SCHEME: &[u8] = b"\0\0\0\x06digest";
    let starts = bytes.windows(SCHEME.len()).enumerate().filter(|(_, window)| *window == SCHEME);
    let mut runs: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
    let mut last_end = 0;
    for (at, _) in starts {
        let (Some(start), Some(end)) = (at.checked_sub(4), after_string(bytes, at + SCHEME.len())) else {
            continue;
        };
        let entry = bytes[start..end].to_vec();
        match runs.last_mut() {
            Some((_, entries)) if start == last_end => entries.push(entry),
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
        let now = *normal.clock.start();
        let mut stat = |time: i64| {
            let body = [[5, 6, now, time].map(i64::to_be_bytes).concat(), vec![0; STAT - 32]].concat();
            normal.body(op("exists"), body)
        };
        let (first, same, other) = (stat(now + 1), stat(now + 1), stat(now + 2));
        assert_eq!(first, same);
        assert_ne!(first, other);
    }

    #[test]
    fn sessions_in_text_become_distances() {
        let normal = Normal::new(0x1000_0000_0000_0000);
        assert_eq!(normal.text("0x1000000000000002 0x1f"), "0x5e55100000000002 0x1f");
    }
}
