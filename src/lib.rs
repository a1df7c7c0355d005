//! Oxkeeper.

pub mod request;
pub mod session;
pub mod tree;
pub mod watch;
