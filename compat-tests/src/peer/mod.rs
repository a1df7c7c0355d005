//! Peers of an ensemble that do what a script says: a voter, a learner and a leader on plain sockets.
//!
//! Written from the protocol, with a codec of their own and nothing of the server's, so that a mistake in one is not
//! hidden by the other. Each takes down what the server under test says to it, one line a packet.

pub mod election;
pub mod leader;
pub mod learner;
pub mod notification;
pub mod packet;
pub mod replay;
pub mod tree;
pub mod wire;

pub use election::Voter;
pub use leader::Leader;
pub use learner::Learner;
pub use notification::{Form, Notification, State};
pub use packet::Packet;
pub use replay::Replay;
pub use tree::Tree;
pub use wire::{Heard, Wire};
