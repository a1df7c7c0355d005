//! Oxkeeper.

pub mod clock;
pub mod disk;
pub mod pipeline;
pub mod request;
pub mod session;
pub mod snapshot;
pub mod tree;
pub mod txnlog;
pub mod watch;
pub mod zab;
