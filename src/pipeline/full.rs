//! A full disk: writes wait, everything else goes on.
//!
//! A transaction for which the log finds no space keeps its zxid and its place; all that was prepared
//! before it is synced and answered, all that came after it waits behind it. Nothing is answered that is
//! not durable, so what a client sees is a slow server: it may give up its connection, come back to its
//! session and read. No session expires meanwhile, as its end would be a transaction too, and each has
//! its whole timeout again when there is space.
//!
//! What waits is bounded: a request that was not prepared yet goes when its connection has gone, with
//! all others of that connection, so that none of them is carried out without those before it.

use std::collections::HashSet;
use std::time::Duration;

use jute::SessionId;

use super::Pipeline;
use super::round::{Staged, What};
use crate::request::{Body, Request};
use crate::txnlog::{Log, LogError};

/// How long a full disk is left alone between two attempts.
const RETRY_MS: i64 = 200;
/// Time between two lines in the server's log while the disk stays full.
const REMIND_MS: i64 = 60_000;

impl Pipeline {
    /// Repeats what finds the disk full until there is space. `backlog` is what waits for it, and grows.
    /// `None`: the server is stopping, and what waited must not be gone on with.
    pub(super) fn with_space<T>(
        &mut self,
        backlog: &mut Vec<Request>,
        mut attempt: impl FnMut(&mut Log) -> Result<T, LogError>,
    ) -> Result<Option<T>, LogError> {
        let mut since = None;
        let mut remind_ms = 0;
        loop {
            let error = match attempt(&mut self.log) {
                Err(error) if error.is_retryable() => error,
                done => {
                    if let (Some(since), Ok(_)) = (since, &done) {
                        self.space_again(since);
                    }
                    return done.map(Some);
                }
            };
            let now = self.clock.now_ms();
            let since = *since.get_or_insert(now);
            if now >= remind_ms {
                remind_ms = now + REMIND_MS;
                let (waiting, for_ms) = (backlog.len(), now - since);
                tracing::error!(waiting, for_ms, "the disk is full, so writes wait and reads go on: {error}");
            }
            if !self.wait_for_space(backlog) {
                tracing::warn!(
                    waiting = backlog.len(),
                    "stopping with a full disk; what waits is not carried out"
                );
                return Ok(None);
            }
        }
    }

    fn space_again(&self, since_ms: i64) {
        self.queue.set_held_back(None);
        let now = self.clock.now_ms();
        self.state.sessions().renew_all(now);
        tracing::info!(after_ms = now - since_ms, "there is space on the disk again; writes go on");
    }

    /// Takes in what comes, for the time between two attempts. False when the server is stopping.
    fn wait_for_space(&mut self, backlog: &mut Vec<Request>) -> bool {
        let is_gone = |request: &&Request| request.client.as_ref().is_some_and(|client| client.is_closed());
        let id = |request: &Request| request.client.as_ref().map(|client| client.id);
        // Whoever is gone by now has put everything into the queue, which is emptied below.
        let gone: HashSet<_> = backlog.iter().filter(is_gone).filter_map(id).collect();
        let until = self.clock.now_ms() + RETRY_MS;
        let mut arrived = Vec::new();
        self.queue.set_held_back(Some(backlog.len()));
        loop {
            let left = until - self.clock.now_ms();
            self.queue.take(&mut arrived, Duration::from_millis(u64::try_from(left).unwrap_or(0)));
            if self.queue.is_stopped() {
                return false;
            }
            self.serve_returning(&mut arrived);
            backlog.append(&mut arrived);
            if left <= 0 {
                break;
            }
        }
        backlog.retain(|request| id(request).is_none_or(|id| !gone.contains(&id)));
        self.queue.set_held_back(Some(backlog.len()));
        true
    }

    /// Answers clients that come back to their session: that takes no transaction.
    fn serve_returning(&mut self, arrived: &mut Vec<Request>) {
        let returns = |request: &mut Request| matches!(&request.body, Body::Connect(connect) if connect.session_id != SessionId::NONE);
        let last_zxid = self.state.tree().last_zxid();
        let returning = arrived.extract_if(.., returns);
        let stage = |mut request: Request| match std::mem::replace(&mut request.body, Body::Malformed) {
            Body::Connect(connect) => {
                Some(Staged { what: What::returning(connect, &request, last_zxid), request })
            }
            _ => None,
        };
        let staged: Vec<_> = returning.filter_map(stage).collect();
        if !staged.is_empty() {
            self.apply_and_answer(staged, last_zxid);
        }
    }
}
