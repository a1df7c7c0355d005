//! Oxkeeper.
