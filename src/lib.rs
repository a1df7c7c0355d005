//! Oxkeeper.

pub mod session;
pub mod tree;
pub mod watch;
