//! Oxkeeper.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disk;
pub mod metrics;
pub mod net;
pub mod pipeline;
pub mod request;
pub mod server;
pub mod session;
pub mod snapshot;
pub mod tree;
pub mod txnlog;
pub mod watch;
pub mod zab;
