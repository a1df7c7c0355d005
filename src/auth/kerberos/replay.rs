//! Which authenticators were used already. Each counts once (RFC 4120 section 3.2.3; in the JDK,
//! `sun.security.krb5.internal.rcache`).
//!
//! Only what was decrypted with the service's key comes here, so only clients with a ticket can fill it; one of them
//! cannot fill the share of the others.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

/// Authenticators that are remembered, of all clients and of one. Ten minutes' worth, at 30 to 40 bytes each.
const ALL_MAX: usize = 1 << 20;
const CLIENT_MAX: u32 = 1 << 16;

/// Seconds of the client's time that are forgotten together.
const SLICE: i64 = 60;

/// A part of a hash: enough that nobody finds two with the same.
type Mark = [u8; 16];

/// Why an authenticator is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was used before.
    Replayed,
    /// There is no room to remember it.
    Full,
}

#[derive(Debug, Default)]
struct Slice {
    used: HashSet<Mark>,
    of_clients: HashMap<Mark, u32>,
}

/// The authenticators of the last minutes, by their clients' time.
#[derive(Debug)]
pub(super) struct Replays {
    slices: BTreeMap<i64, Slice>,
    all_max: usize,
    client_max: u32,
}

impl Default for Replays {
    fn default() -> Self {
        Self { slices: BTreeMap::new(), all_max: ALL_MAX, client_max: CLIENT_MAX }
    }
}

fn mark(bytes: &[u8]) -> Mark {
    let mut mark = Mark::default();
    for (to, from) in mark.iter_mut().zip(Sha256::digest(bytes)) {
        *to = from;
    }
    mark
}

impl Replays {
    /// Remembers an authenticator: of which client, when it was made, and its bytes as they came. What is older than
    /// `oldest`, and so would not be taken any more, is forgotten.
    pub(super) fn remember(
        &mut self,
        oldest: i64,
        client: &str,
        time: i64,
        sealed: &[u8],
    ) -> Result<(), Refusal> {
        self.slices = self.slices.split_off(&oldest.div_euclid(SLICE));
        let (client, sealed) = (mark(client.as_bytes()), mark(sealed));
        let index = time.div_euclid(SLICE);
        if self.slices.get(&index).is_some_and(|slice| slice.used.contains(&sealed)) {
            return Err(Refusal::Replayed);
        }
        let all: usize = self.slices.values().map(|slice| slice.used.len()).sum();
        let of_client: u32 = self.slices.values().filter_map(|slice| slice.of_clients.get(&client)).sum();
        if all >= self.all_max || of_client >= self.client_max {
            return Err(Refusal::Full);
        }
        let slice = self.slices.entry(index).or_default();
        slice.used.insert(sealed);
        *slice.of_clients.entry(client).or_default() += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authenticator_counts_once_until_it_is_too_old() {
        let mut replays = Replays::default();
        assert_eq!(replays.remember(0, "a", 100, b"1"), Ok(()));
        assert_eq!(replays.remember(0, "a", 100, b"1"), Err(Refusal::Replayed));
        assert_eq!(replays.remember(100, "a", 100, b"1"), Err(Refusal::Replayed));
        assert_eq!(replays.remember(100, "a", 100, b"2"), Ok(()));
        assert_eq!(replays.remember(100, "a", 700, b"3"), Ok(()));
        assert_eq!(replays.slices.len(), 2);
        assert_eq!(replays.remember(400, "a", 700, b"3"), Err(Refusal::Replayed));
        assert_eq!(replays.slices.len(), 1, "what is too old was forgotten");
    }

    #[test]
    fn one_client_does_not_fill_the_share_of_others() {
        let mut replays = Replays { all_max: 5, client_max: 3, ..Replays::default() };
        for number in 0..3u8 {
            assert_eq!(replays.remember(0, "a", 60 * i64::from(number), &[number]), Ok(()));
        }
        assert_eq!(replays.remember(0, "a", 0, b"more"), Err(Refusal::Full));
        assert_eq!(replays.remember(0, "b", 0, b"more"), Ok(()));
        assert_eq!(replays.remember(0, "c", 0, b"most"), Ok(()));
        assert_eq!(replays.remember(0, "d", 0, b"last"), Err(Refusal::Full));
        assert_eq!(replays.remember(120, "d", 120, b"last"), Ok(()), "room comes with time");
    }
}
