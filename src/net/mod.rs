//! Clients: sockets, frames, handshakes. tokio lives here.
//!
//! One task per connection reads, answers reads on the spot, hands writes to the writer and writes
//! replies back. It never touches the tree but through `request`. No task serves frames, and no task holds the
//! tree, for longer than about a millisecond at a time. What a connection can make the server hold is
//! bounded here:
//!
//! | what | bound | when reached |
//! |---|---|---|
//! | frame | `jute.maxbuffer` | the connection closes |
//! | input buffer | bytes received, one frame | – |
//! | requests in the writer's hands | [`Limits::requests_max`], [`Limits::request_bytes_max`] | not read until some are answered |
//! | the same of all connections | `globalOutstandingLimit`, if it is set | who has some waits with more |
//! | unsent replies | [`Limits::unsent_bytes_max`] plus one reply | not read until the client reads |
//! | text of a four-letter word | two pieces of 32 KiB; 10 seconds for each, 60 for all | the connection closes |
//! | replies to reads behind a write | `window`, [`WAITING_BYTES_MAX`](crate::runtime::outbox::WAITING_BYTES_MAX) | no more are taken in; the connection closes |
//! | unread events | [`EVENT_BYTES_MAX`](crate::runtime::outbox::EVENT_BYTES_MAX) | the connection closes |
//! | watches | [`WATCH_BYTES_MAX`](crate::request::read::WATCH_BYTES_MAX) of memory | the connection closes |
//! | identities | [`IDENTITY_BYTES_MAX`](crate::runtime::client::IDENTITY_BYTES_MAX) | authentication fails |
//! | input, requests and replies of all connections | [`Budget`](crate::runtime::budget::Budget) | all but pings, closes, deletes and returning sessions wait, then close |
//! | connections | `maxClientCnxns`, `maxCnxns`, the system's limit of open files less some for files | closed at accept |
//! | TLS handshakes that are not done | [`Secure`]; 10 seconds for each | closed at once |
//! | bytes of TLS records in and out | one record; 64 KiB and one record | not read until the client reads |
//! | time without a session | `nio.sessionlessCnxnTimeout` | the connection closes |

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod accept;
#[cfg(test)]
mod accept_test;
#[cfg(test)]
mod access_test;
#[cfg(test)]
mod answers_test;
#[cfg(test)]
mod audit_test;
#[cfg(test)]
mod bounds_test;
mod connection;
mod descriptors;
#[cfg(test)]
mod figures_test;
mod first_frame;
pub mod frame;
mod identify;
#[doc(hidden)]
pub mod in_memory;
#[cfg(test)]
mod listing_test;
mod meter;
pub mod protocol;
#[cfg(test)]
mod protocol_test;
pub mod pump;
#[cfg(test)]
mod pump_test;
#[cfg(test)]
mod reads_test;
#[cfg(test)]
mod sasl_test;
mod secure;
#[cfg(test)]
mod session_test;
#[cfg(test)]
mod slices_test;
#[cfg(test)]
mod sweep_test;
#[cfg(test)]
mod testing;
mod tls_stream;
#[cfg(test)]
mod tls_test;
pub mod transport;
mod turn;
mod window;
mod words;

use std::sync::Arc;
use std::time::Duration;

pub use self::accept::{AcceptLimits, Acceptor, bind};
pub use self::descriptors::Descriptors;
pub use self::secure::{Secure, Security};

use crate::auth::Auth;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::runtime::client::Port;
use crate::runtime::{Inbox, State};

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Requests in the writer's hands above which the connection is not read.
    pub requests_max: usize,
    /// Their bytes above which the connection is not read.
    pub request_bytes_max: usize,
    /// Bytes of unsent replies above which the connection is not read.
    pub unsent_bytes_max: usize,
    /// Time to open a session.
    pub sessionless: Duration,
}

/// Answers what is not the client protocol: four-letter words.
pub trait Commands: Send + Sync {
    /// Whether these bytes, first on a connection, are a word.
    fn is_word(&self, word: [u8; 4]) -> bool;

    /// How many more bytes the word needs before it can be answered.
    fn extra_bytes(&self, word: [u8; 4]) -> usize;

    /// Whether its answer walks much, so that few of its kind are made at a time.
    fn is_heavy(&self, word: [u8; 4]) -> bool;

    /// Makes the text to send to who asked by this port, before closing, and hands it to `send` in pieces of some
    /// tens of KiB. `send` may wait for the client; it says false when the client is gone or too slow. It takes a
    /// while: it is not called on a runtime thread.
    fn answer(&self, port: Port, word: [u8; 4], extra: &[u8], send: &mut dyn FnMut(Vec<u8>) -> bool);
}

/// No four-letter words: for servers that are driven without operators.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct NoWords;

impl Commands for NoWords {
    fn is_word(&self, _word: [u8; 4]) -> bool {
        false
    }
    fn extra_bytes(&self, _word: [u8; 4]) -> usize {
        0
    }
    fn is_heavy(&self, _word: [u8; 4]) -> bool {
        false
    }
    fn answer(&self, _port: Port, _word: [u8; 4], _extra: &[u8], _send: &mut dyn FnMut(Vec<u8>) -> bool) {}
}

/// What every connection shares.
pub struct Shared {
    /// The tree and who watches it.
    pub state: Arc<State>,
    /// Where writes go.
    pub inbox: Arc<Inbox>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Four-letter words.
    pub commands: Arc<dyn Commands>,
    /// Bounds.
    pub limits: Limits,
    /// How clients prove who they are.
    pub auth: Auth,
}
