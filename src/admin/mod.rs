//! What operators can ask, and the answers.
//!
//! The server room hands over plain facts through [`report::Source`]; this room only puts them into
//! words. It never reads the tree, a session or a file.
//!
//! - [`report`]: what a server can say of itself.
//! - [`commands`]: every command, one row each.
//! - [`four_letter`]: the answers as text, for the client port.
//! - [`metrics_http`]: the Prometheus endpoint.

pub mod commands;
pub mod four_letter;
pub mod metrics_http;
pub mod report;
mod text;
