//! Where connections hand over what must take its turn. Many put in, the pipeline takes all that waits
//! at once: that is what makes one sync serve many writes.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::request::Request;

/// Requests waiting for the pipeline. Each connection bounds what it has in here; see `net`.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Request>,
    /// Requests that were taken out and wait for space, while the disk is full.
    held_back: Option<usize>,
    stopped: bool,
}

impl Queue {
    /// Puts in several at once, in order. After [`Queue::stop`] they are dropped: the server is going.
    pub fn push(&self, requests: &mut Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.stopped {
            requests.clear();
            return;
        }
        let was_empty = inner.requests.is_empty();
        inner.requests.append(requests);
        drop(inner);
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Takes everything, waiting up to `patience` for something. False when stopped and empty.
    pub fn take(&self, batch: &mut Vec<Request>, patience: Duration) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.requests.is_empty() && !inner.stopped {
            (inner, _) = self.arrived.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
        }
        let count = inner.requests.len();
        inner.held_back = inner.held_back.map(|held_back| held_back + count);
        batch.append(&mut inner.requests);
        !(inner.stopped && batch.is_empty())
    }

    /// Lets nothing more in; what is inside is still served.
    pub fn stop(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.arrived.notify_one();
    }

    /// Whether [`Queue::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// The pipeline holds so many back while the disk is full; `None` when it is not.
    pub(super) fn set_held_back(&self, requests: Option<usize>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).held_back = requests;
    }

    /// Whether writes wait for space on a full disk.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).held_back.is_some()
    }

    /// How many wait, held back or not.
    #[must_use]
    pub fn len(&self) -> usize {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.held_back.unwrap_or(0) + inner.requests.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
