//! Connections that have not said yet who they are: so many, and the oldest gives way to the newest. Who belongs
//! here says so at once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// So many may be there at a time.
const MOST: usize = 64;

/// Those of one port.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: Mutex<VecDeque<CancellationToken>>,
}

/// One of them, for as long as this lives.
pub(super) struct Entry<'a> {
    port: &'a Pending,
    /// Cancelled when it has to give way.
    pub(super) end: CancellationToken,
}

impl Pending {
    /// Takes in one more.
    pub(super) fn enter(&self) -> Entry<'_> {
        let end = CancellationToken::new();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.cancel();
        }
        waiting.push_back(end.clone());
        Entry { port: self, end }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // Cancelled, so that it is known among the others.
        self.end.cancel();
        let mut waiting = self.port.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| !other.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_too_many_gives_way() {
        let pending = Pending::default();
        let mut entries: Vec<_> = (0..MOST).map(|_| pending.enter()).collect();
        drop(entries.pop());
        let newest = [pending.enter(), pending.enter()];
        assert!(entries[0].end.is_cancelled());
        assert!(entries[1..].iter().chain(&newest).all(|entry| !entry.end.is_cancelled()));
        drop((entries, newest));
        assert_eq!(pending.waiting.lock().unwrap().len(), 0);
    }
}
