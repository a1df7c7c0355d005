//! What turns: the writer thread that drives the replica, the locks around what it shares with connections and
//! operators, and what a connection is to the rest of the server.
//!
//! Everything here but the thread itself runs in the simulator too.

pub mod budget;
pub mod client;
mod delivery;
#[cfg(test)]
mod delivery_test;
mod disk_full;
#[cfg(test)]
mod disk_full_test;
mod driver;
mod inbox;
#[cfg(test)]
mod inbox_test;
pub mod listening;
mod log_keeper;
pub mod log_port;
#[cfg(test)]
mod log_port_test;
mod log_thread;
mod member;
pub mod outbox;
pub mod peers;
pub mod reply_caches;
pub mod snapshots;
#[cfg(test)]
mod snapshots_test;
pub mod stage_metrics;
pub mod standing;
pub mod state;
pub mod stats;
pub mod trail;
pub mod walk;
#[cfg(test)]
mod walk_test;
mod writer;
#[cfg(test)]
mod writer_test;

pub use self::client::Client;
pub use self::inbox::Inbox;
pub use self::log_keeper::LogKeeper;
pub use self::log_port::LogPort;
pub use self::log_thread::LogThread;
pub use self::member::turns::Turns;
pub use self::member::{MemberParts, MemberWriter};
pub use self::state::State;
pub use self::writer::{NoSnapshots, Parts, Snapshots, Turn, Writer};
