//! Clients that do their worst, each named after what it must not be able to do. Two others run along and must
//! not notice: see `compat_tests::hostile`.
//!
//!     cargo test -p compat-tests --test hostile
//!     cargo test -p compat-tests --test hostile -- unread_replies
//!     OXKEEPER_HOSTILE=long cargo test --release -p compat-tests --test hostile
//!
//! What each of them waited, and what the server spent, is printed in a line of its own.

mod cut;
mod fair;
mod fenced;
mod floods;
mod many;
mod memory;
mod operator;
