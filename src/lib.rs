//! Oxkeeper.

pub mod disk;
pub mod snapshot;
pub mod txnlog;
