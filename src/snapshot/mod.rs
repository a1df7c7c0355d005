//! Fuzzy snapshots.
