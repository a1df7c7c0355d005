//! Where connections hand over what must take its turn. Many put in, the writer takes all that waits at once:
//! that is what makes one sync serve many writes.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::request::{ConnectionId, Request};

/// Requests waiting for the writer. Each connection bounds what it has in here; see `net`.
#[derive(Debug, Default)]
pub struct Inbox {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Request>,
    /// Connections that have gone; what they asked for was put in before.
    gone: Vec<ConnectionId>,
    stopped: bool,
}

/// What was taken out at once.
#[derive(Debug, Default)]
pub struct Taken {
    /// Requests, in the order in which they came.
    pub requests: Vec<Request>,
    /// Connections that had gone by then. Everything they asked for is in `requests`, or was taken before.
    pub gone: Vec<ConnectionId>,
}

impl Inbox {
    /// Puts in several at once, in order. After [`Inbox::stop`] they are dropped: the server is going.
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

    /// A connection has gone. Nobody is woken for it.
    pub fn push_gone(&self, connection: ConnectionId) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.stopped {
            inner.gone.push(connection);
        }
    }

    /// Takes everything, waiting up to `timeout` for requests. False when stopped and empty.
    pub fn take(&self, taken: &mut Taken, timeout: Duration) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.requests.is_empty() && !inner.stopped && !timeout.is_zero() {
            (inner, _) = self.arrived.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner);
        }
        taken.requests.append(&mut inner.requests);
        taken.gone.append(&mut inner.gone);
        !(inner.stopped && taken.requests.is_empty())
    }

    /// Lets nothing more in; what is inside is still served.
    pub fn stop(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.arrived.notify_one();
    }

    /// Whether [`Inbox::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }
}
