//! What operators can ask, and the answers.
//!
//! The server hands over plain facts through [`report::Source`]; this module only puts them into words. It
//! never reads the tree, a session or a file, but for the figures of the process itself in
//! [`report::environment`].
//!
//! - [`report`]: what a server can say of itself.
//! - [`commands`]: every command, one row each.
//! - [`four_letter`]: the answers as text, for the client port.
//! - [`metrics_http`]: the Prometheus endpoint.

pub mod commands;
pub mod four_letter;
pub mod metrics_http;
mod out;
pub mod report;
mod text;

pub use self::out::Out;
