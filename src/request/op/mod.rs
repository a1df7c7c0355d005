//! One file per kind of write: what is checked, in which order, and what it becomes.

pub(super) mod check;
pub(super) mod create;
pub(super) mod delete;
mod quota;
pub(super) mod set_acl;
pub(super) mod set_data;
