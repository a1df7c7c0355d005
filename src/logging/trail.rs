//! Lines of the audit log: to a file of their own, as the reference's `RFAAUDIT` appender lays them out, or among the
//! server's log lines. None is held back for being one of many.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::limit::Limiter;
use super::queue::Queue;
use super::{LINES, PATIENCE, stamped};
use crate::clock::RealClock;

/// Where the audit log goes.
#[derive(Debug)]
pub struct Trail {
    /// `None` among the lines of the server.
    file: Option<Arc<Queue>>,
}

impl Trail {
    /// Among the lines of the server.
    #[must_use]
    pub const fn among_lines() -> Self {
        Self { file: None }
    }

    /// At the end of a file, which is made if need be. A thread of its own writes it, so nobody waits for the disk; what
    /// the disk is too slow for is counted, and a line says so.
    ///
    /// # Errors
    /// The file cannot be opened, or there can be no more threads.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "a log is not data: no crash of it is simulated")]
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let queue = Arc::new(Queue::default());
        let lines = Arc::clone(&queue);
        let nothing_held_back = Limiter::new(Box::new(RealClock));
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || lines.write_to(file, &nothing_held_back))?;
        Ok(Self { file: Some(queue) })
    }

    /// Writes a line: an error if it `is_failure`, as the reference has it.
    pub fn write(&self, text: &str, is_failure: bool) {
        let level = if is_failure { Level::ERROR } else { Level::INFO };
        match &self.file {
            Some(queue) => queue.push(laid_out(level, text).as_bytes()),
            None => {
                if let Some(lines) = LINES.get() {
                    lines.push(stamped(level, text).as_bytes());
                }
            }
        }
    }

    /// Nothing more is written. Waits a moment for the last lines.
    pub fn finish(&self) {
        if let Some(queue) = &self.file {
            queue.finish(PATIENCE);
        }
    }
}

/// `%d{ISO8601} %p %c{2}: %m%n` of the reference's `logback.xml`, with the time of UTC.
fn laid_out(level: Level, text: &str) -> String {
    let mut now = String::new();
    // Writing to a string cannot fail; a clock before 1970 may, and then the line has no time.
    let _time = SystemTime.format_time(&mut Writer::new(&mut now));
    let (date, time) = now.split_once('T').unwrap_or_default();
    let time = time.get(..12).unwrap_or_default().replace('.', ",");
    format!("{date} {time} {level} audit.Slf4jAuditLogger: {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_every_line_in_the_layout_of_the_reference() {
        let held = tempfile::tempdir().unwrap();
        let path = held.path().join("audit.log");
        std::fs::write(&path, "before\n").unwrap();
        let trail = Trail::to_file(&path).unwrap();
        for number in 0..500 {
            trail.write(&format!("operation=create\tnumber={number}"), number == 499);
        }
        trail.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (501, "before"));
        let (time, rest) = lines[1].split_at(23);
        let digits = |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let shape: String = digits(time);
        assert_eq!(shape, "0000-00-00 00:00:00,000");
        assert_eq!(rest, " INFO audit.Slf4jAuditLogger: operation=create\tnumber=0");
        assert!(lines[500].ends_with(" ERROR audit.Slf4jAuditLogger: operation=create\tnumber=499"));
    }
}
