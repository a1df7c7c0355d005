//! The writer thread.
mod queue;
pub use queue::Queue;
