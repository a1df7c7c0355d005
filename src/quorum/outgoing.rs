//! What is sent over a connection to another server, in order.
//!
//! The writer thread writes to the socket itself while that is quicker than waking the connection's task: when
//! nothing stands before it, it is little, and the connection is plain. Whatever the socket does not take, and all else, is the task's, and
//! until the task has nothing left nobody but it writes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::stream::Writing;

/// The most that the writer thread writes itself, by [`Order::weight`]: beside more, a waking of the task is cheap.
pub(super) const DIRECT_BYTES: usize = 16 << 10;

/// Something to be sent.
pub(super) trait Order: Sized {
    /// About how many bytes it has; `None` for what only the task can send.
    fn weight(&self) -> Option<usize>;

    /// Appends its bytes.
    ///
    /// # Errors
    /// It comes back when only the task can send it.
    fn encode(self, out: &mut Vec<u8>) -> Result<(), Self>;
}

/// The sending side of a connection.
pub(super) struct Outgoing<O> {
    stream: Writing,
    waiting: Mutex<Waiting<O>>,
    /// The task was given something to do.
    given: Notify,
}

struct Waiting<O> {
    /// In front of all else: the rest of packets of which the socket took the beginning.
    rest: Rest,
    orders: VecDeque<O>,
    /// Of all orders.
    weight: usize,
    /// The task is writing, or was woken to.
    is_tasks: bool,
}

/// Encoded packets, of which some bytes may have left.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    pub(super) weight: usize,
}

impl<O: Order> Outgoing<O> {
    pub(super) fn new(stream: Writing) -> Self {
        let (rest, orders) = Default::default();
        let waiting = Mutex::new(Waiting { rest, orders, weight: 0, is_tasks: false });
        Self { stream, waiting, given: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<O>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind all that was put before. It may stay here until [`Outgoing::flush`].
    pub(super) fn push(&self, order: O) {
        let mut waiting = self.waiting();
        waiting.weight = waiting.weight.saturating_add(order.weight().unwrap_or(usize::MAX));
        waiting.orders.push_back(order);
    }

    /// Has everything sent: at once, where the socket takes it, or by the task. What is sent at once is counted
    /// before, and its weight is returned.
    pub(super) fn flush(&self, count: impl FnOnce(usize)) -> usize {
        let mut waiting = self.waiting();
        let Waiting { rest, orders, weight, is_tasks } = &mut *waiting;
        if *is_tasks || orders.is_empty() {
            return 0;
        }
        if *weight <= DIRECT_BYTES && self.stream.is_direct() {
            count(orders.len());
            rest.weight = std::mem::take(weight);
            while let Some(order) = orders.pop_front() {
                if let Err(order) = order.encode(&mut rest.bytes) {
                    orders.push_front(order);
                    break;
                }
            }
            // An error shows again when the task writes.
            let sent = self.stream.try_write(&rest.bytes).unwrap_or(0);
            if sent == rest.bytes.len() && orders.is_empty() {
                rest.bytes.clear();
                return std::mem::take(&mut rest.weight);
            }
            rest.bytes.drain(..sent);
        }
        *is_tasks = true;
        drop(waiting);
        self.given.notify_one();
        0
    }

    /// For the task: everything that waits, once there is something. Until the next call all else stays behind it.
    pub(super) async fn take(&self, orders: &mut VecDeque<O>) -> Rest {
        loop {
            {
                let mut waiting = self.waiting();
                waiting.is_tasks = !(waiting.rest.bytes.is_empty() && waiting.orders.is_empty());
                if waiting.is_tasks {
                    waiting.weight = 0;
                    orders.append(&mut waiting.orders);
                    return std::mem::take(&mut waiting.rest);
                }
            }
            self.given.notified().await;
        }
    }

    /// For the task: writes all of it.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn write_all(&self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await
    }
}
