//! For tests: a disk that forgets, and what it is used for.
//!
//! - [`disk`]: [`SimDisk`](disk::SimDisk), files in memory with a written and a durable state.
//! - [`crash`]: what may be left of it after a power cut.
//! - [`model`]: a tree so plain that it can be believed; the judge of what recovery gives.
//! - [`storage_script`]: a server's storage, driven by a script.
//! - [`server`]: a whole server, its clients and its faults, from one number.
//! - [`ensemble`]: several servers, their clients and their network, from one number.
//! - [`check`]: every power cut of a script, and what must hold after each.

mod check;
mod crash;
mod disk;
mod ensemble;
mod file;
mod model;
pub(crate) mod random;
pub(crate) mod seeds;
mod server;
mod storage_script;

mod corruption_test;
mod crash_test;
mod fault_test;
mod leftover_test;
mod member_test;
mod mutant_test;
