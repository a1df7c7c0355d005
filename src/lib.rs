//! Oxkeeper: a coordination server that speaks Apache ZooKeeper's protocols.
//!
//! The map, in reading order; `docs/ARCHITECTURE.md` tells the rest. An arrow goes only upwards.
//!
//! - `jute` (its own crate): the records everybody speaks.
//! - [`clock`], [`disk`], [`metrics`], [`logging`]: the seams to time, files, monitoring and the log.
//! - [`secret`]: what no log line shows.
//! - `prefixes`: hashes of a path and its ancestors, which quotas and watches look up.
//! - [`tree`], [`watch`], [`session`], [`zab`]: what the data is, who wants to know, who is alive, how
//!   servers agree. Pure; none knows another.
//! - [`audit`]: the lines that say who did what. Pure.
//! - [`auth`]: the schemes by which a client proves who it is. Pure.
//! - [`txnlog`], [`snapshot`]: what is on disk. [`store`]: one member's directory of both.
//! - [`request`]: what one request means: checked against what will be, answered from what is. Pure.
//! - [`replica`]: one server's part in everything that takes its turn. Pure.
//! - [`runtime`]: what turns: the writer thread, the locks, what a connection is to the rest of the server.
//! - [`net`]: clients' connections. [`quorum`]: other servers'. [`admin`]: operators' questions.
//! - [`config`], [`cli`]: what was asked for.
//! - [`tools`]: what operators do with the files of a server that is not running.
//! - [`server`]: puts it all together; the only module that knows all of them.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod admin;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod disk;
pub mod logging;
pub mod metrics;
pub mod net;
mod prefixes;
pub mod quorum;
pub mod replica;
pub mod request;
pub mod revocation;
pub mod runtime;
pub mod secret;
pub mod server;
pub mod session;
#[cfg(test)]
mod sim;
pub mod snapshot;
pub mod store;
#[cfg(test)]
mod tidy;
pub mod tls;
pub mod tools;
pub mod tree;
pub mod txnlog;
pub mod watch;
pub mod zab;
