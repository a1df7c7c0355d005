//! ZooKeeper's records and their binary codec: what every other module speaks.
//!
//! - [`read`]: a bounded reader; it never allocates more than the bytes it was given.
//! - [`write`]: an appending writer over `Vec<u8>`.
//! - [`ids`]: newtypes for the numbers of the protocol (zxid, session id, xid).
//! - [`op`], [`code`]: operation codes and error codes, one table each; unknown values survive.
//! - [`records`]: every record of `zookeeper.jute`, declared once, in files named as its modules.
//!
//! This crate does no IO and knows no runtime. Its input may be hostile: it must not panic on any.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod code;
pub mod ids;
pub mod multi;
pub mod op;
pub mod read;
pub mod records;
pub mod txn;
pub mod write;

pub use code::Code;
pub use ids::{SessionId, Zxid};
pub use op::OpCode;
pub use read::{DecodeError, Reader};
pub use records::{Buffer, Record, Ustring, Vector};
