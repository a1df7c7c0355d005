//! A load generator for any server that speaks ZooKeeper's client protocol.
//!
//! - [`workload`]: what is asked: operation, connections, requests in flight, size.
//! - [`client`]: a blocking client, for setting up and cleaning up.
//! - [`socket`]: the bytes, plain or with TLS.
//! - [`digest`]: sessions that log in.
//! - [`crowd`]: connections that only stand there.
//! - [`connection`]: one nonblocking connection with its requests in flight.
//! - [`driver`]: runs a workload over many connections on one thread, and measures.
//! - [`process`]: CPU time and memory of the server, from `/proc`.
//! - [`report`]: what came out.
//!
//! It is closed-loop: each connection keeps a fixed number of requests in flight. Latency is what a
//! request saw from being queued for the socket to its reply being read from it.

pub mod client;
pub mod connection;
pub mod crowd;
pub mod digest;
pub mod driver;
pub mod process;
pub mod report;
pub mod socket;
pub mod workload;

pub use client::Client;
pub use driver::run;
pub use report::Report;
pub use socket::Target;
pub use workload::{Op, Workload};
