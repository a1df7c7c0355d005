//! The server's log lines, written so that whoever reads them cannot harm the server.
//!
//! Threads that log never wait for the stream: a thread of its own writes the lines. When nobody reads
//! them, or too slowly, lines are dropped and counted; when the stream is gone, they are dropped. A line
//! has [`LINE_BYTES_MAX`] bytes at most, and of lines of one kind only so many are written in ten seconds.

mod limit;
mod queue;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
mod trail;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use self::queue::LINE_BYTES_MAX;
pub use self::shown::{Shown, shown};
pub use self::trail::Trail;

use self::limit::{Limiter, RateLimit};
use self::queue::Queue;
use crate::clock::RealClock;

/// How long the end of the server waits for its last lines to be read.
const PATIENCE: Duration = Duration::from_secs(1);
/// Which lines are written: levels, by module if need be.
const VARIABLE: &str = "OXKEEPER_LOG";

/// The running log. Dropped, it waits a moment for the last lines to be written.
#[derive(Debug)]
pub struct Log(Arc<Queue>);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.finish(PATIENCE);
    }
}

/// The lines of this process, once its log runs.
static LINES: OnceLock<Arc<Queue>> = OnceLock::new();

/// Waits a moment for what was logged to be written: for who ends the process without returning from `main`.
pub fn settle() {
    if let Some(lines) = LINES.get() {
        lines.flush(PATIENCE);
    }
}

/// Writes a line that an operator has asked for, whatever the level of the log and however many there were.
pub fn say(text: &str) {
    if let Some(lines) = LINES.get() {
        lines.push(stamped(Level::INFO, text).as_bytes());
    }
}

/// Sends all log lines of this process to standard output. Call it once.
///
/// # Errors
/// The system gives no thread or no descriptor.
pub fn start() -> io::Result<Log> {
    // A descriptor of its own: the lock of `io::stdout` would be held while the stream hangs.
    let stream = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let limiter = Arc::new(Limiter::new(Box::new(RealClock)));
    let queue = Arc::new(Queue::default());
    // A second call, which nobody makes, would leave the first one's lines.
    let _first = LINES.set(queue.clone());
    let (lines, kinds) = (queue.clone(), limiter.clone());
    std::thread::Builder::new().name("log".into()).spawn(move || lines.write_to(stream, &kinds))?;

    let asked = std::env::var(VARIABLE).ok();
    let (filter, misunderstood) = match asked.as_deref().map(EnvFilter::try_new) {
        None => (EnvFilter::new("info"), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("info"), Some(error)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(io::stdout().is_terminal())
        .log_internal_errors(false)
        .with_writer(queue.clone());
    tracing_subscriber::registry().with(filter).with(RateLimit(limiter)).with(lines).init();
    if let Some(error) = misunderstood {
        let asked = asked.unwrap_or_default();
        tracing::warn!("{VARIABLE}={} is not understood, so it is info: {error}", shown(&asked));
    }
    log_panics(queue.clone());
    Ok(Log(queue))
}

/// The hook of the standard library would wait for standard error, which may hang too.
fn log_panics(queue: Arc<Queue>) {
    std::panic::set_hook(Box::new(move |panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name").to_owned();
        let mut text = format!("thread {name}: {panic}");
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            text.push_str(&format!("\n{backtrace}"));
        }
        queue.push(stamped(Level::ERROR, &text).as_bytes());
        queue.flush(PATIENCE);
    }));
}

/// A line as the subscriber writes it.
fn stamped(level: Level, text: &str) -> String {
    let mut line = String::new();
    // Writing to a string cannot fail; a clock before 1970 may, and then the line has no time.
    let _time = SystemTime.format_time(&mut tracing_subscriber::fmt::format::Writer::new(&mut line));
    line.push_str(&format!(" {level:>5} {text}\n"));
    line
}

/// A number as people read it: 1,204.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!([0, 999, 1_204, 1_000_000].map(grouped), ["0", "999", "1,204", "1,000,000"]);
    }

    #[test]
    fn a_line_of_our_own_looks_like_the_subscriber_s() {
        let line = stamped(Level::WARN, "text");
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(rest, " WARN text\n");
    }
}
