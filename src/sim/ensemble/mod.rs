//! Whole ensembles in a test: real cores, replicas, trees, sessions, watches, logs, snapshots and client connections,
//! on simulated disks, one clock and a network of messages as bytes. Everything follows from one number.
//!
//! - [`node`]: a member on its disk: recovery, writer, connections.
//! - [`carrier`]: what a member says to others, until the network takes it.
//! - [`network`]: messages on their way: delays, lost connections, partitions one way and both.
//! - [`world`]: who acts when, and what must hold after every step; [`messages`]: what members say, carried;
//!   [`faults`]: what goes wrong, what clients do, and that all is well soon after.
//!
//! The clients, what they remember, and the properties of what they saw are those of [`super::server`].

mod carrier;
mod ensemble_test;
mod faults;
mod messages;
mod network;
mod node;
mod world;
