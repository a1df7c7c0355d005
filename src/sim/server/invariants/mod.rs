//! What must hold of everything that clients saw, given what the log says happened. One property a file.

mod acknowledged;
mod events;
mod fenced;
mod overheard;
mod permitted;
mod quotas;
mod reads;
mod session_ends;
mod sizes;

use jute::txn::TxnEntry;

use super::history::History;

/// Panics at the first thing that is wrong.
pub(in crate::sim) fn check(history: &History, logged: &[TxnEntry]) {
    acknowledged::check(history, logged);
    fenced::check(history, logged);
    session_ends::check(logged);
    reads::check(history, logged);
    events::check(history, logged);
    permitted::check(history, logged);
    overheard::check(history, logged);
    quotas::check(logged);
    sizes::check(history, logged);
}
