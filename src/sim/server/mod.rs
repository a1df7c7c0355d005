//! A whole server in a test: the real replica, tree, sessions, watches, log, snapshots and connections, on a
//! simulated disk, clock and network. Everything follows from one number.
//!
//! - [`machine`]: a process on its disk: recovery, writer, connections (`net::in_memory`).
//! - [`client`]: what one client does, expects and remembers.
//! - [`world`]: who acts when; what fails when.
//! - [`guarded`], [`quotas`]: access control lists and a quota, for what clients ask.
//! - [`history`]: what clients saw, and what the log says happened.
//! - [`invariants`]: what must hold, one property a file.

pub(super) mod client;
pub(super) mod guarded;
pub(super) mod history;
pub(super) mod invariants;
pub(super) mod machine;
mod quotas;
pub(super) mod requests;
mod server_test;
mod world;
