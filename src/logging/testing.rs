//! What is logged, for tests that look at it.

use std::io::{Result, Write};
use std::sync::{Arc, Mutex};

use tracing::subscriber::with_default;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The lines that this thread logs meanwhile, and what `act` returns.
pub(crate) fn logged_by<T>(act: impl FnOnce() -> T) -> (String, T) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let outcome = with_default(subscriber, act);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (text, outcome)
}
