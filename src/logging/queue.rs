//! Lines on their way to the stream: bounded, and never waited for.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::limit::Limiter;
use super::{grouped, stamped};

/// Bytes of one line; what is longer is cut.
pub const LINE_BYTES_MAX: usize = 8 << 10;
/// Bytes of lines that wait; as many again may be in the hands of the thread that writes.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How often the thread looks for lines that were held back, in the worst case.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a stream that takes nothing at the moment and does not block.
const RETRY: Duration = Duration::from_millis(20);

/// Takes lines of any thread; one thread writes them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    news: Condvar,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Lines that found no space, or were not taken by the stream, since the last one that told so.
    dropped: u64,
    writing: bool,
    ending: bool,
    /// No more is written: the stream's reader is gone, or the last line is out.
    over: bool,
}

/// What the thread that writes has taken from the queue.
struct Taken {
    lines: Vec<u8>,
    dropped: u64,
    /// Whether no more will come.
    ending: bool,
}

impl Queue {
    /// Adds a line with its line end, or drops it when too many wait.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.over {
            return;
        }
        let whole = state.lines.len() + line.len().min(LINE_BYTES_MAX) <= WAITING_BYTES_MAX;
        if whole {
            append(&mut state.lines, line);
        } else {
            state.dropped += 1;
        }
        self.news.notify_one();
    }

    /// Waits until everything is written, but no longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let waits = |state: &mut State| !state.over && (state.writing || !state.lines.is_empty());
        drop(self.settled.wait_timeout_while(self.lock(), patience, waits));
    }

    /// Lets the thread write what there is, and end. Waits for that, but no longer than this.
    pub(super) fn finish(&self, patience: Duration) {
        let mut state = self.lock();
        state.ending = true;
        self.news.notify_one();
        drop(self.settled.wait_timeout_while(state, patience, |state| !state.over));
    }

    /// Writes lines until [`finish`](Self::finish), or until nobody can read them any more.
    pub(super) fn write_to(&self, mut stream: impl Write, limiter: &Limiter) {
        loop {
            let Taken { lines, dropped, ending } = self.take();
            let mut notes = Vec::new();
            if dropped > 0 {
                let text = format!(
                    "dropped {} log lines: standard output was not read in time, or could not be written",
                    grouped(dropped)
                );
                append(&mut notes, stamped(Level::WARN, &text).as_bytes());
            }
            for (level, text) in limiter.summaries(ending) {
                append(&mut notes, stamped(level, &text).as_bytes());
            }
            let lost = match write_all(&mut stream, &lines) {
                Ok(()) => {
                    write_all(&mut stream, &notes).map_err(|failed| Failed { lines: dropped, ..failed })
                }
                Err(failed) => Err(Failed { lines: dropped + failed.lines, ..failed }),
            };
            let mut state = self.lock();
            state.writing = false;
            if let Err(failed) = lost {
                state.dropped += failed.lines;
                state.over |= failed.gone;
            }
            state.over |= ending;
            if state.over {
                state.lines = Vec::new();
            }
            self.settled.notify_all();
            if state.over {
                return;
            }
        }
    }

    /// Waits for lines, or for a while.
    fn take(&self) -> Taken {
        let idle = |state: &mut State| state.lines.is_empty() && !state.ending;
        let waited = self.news.wait_timeout_while(self.lock(), LOOK, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        Taken {
            lines: std::mem::take(&mut state.lines),
            dropped: std::mem::take(&mut state.dropped),
            ending: state.ending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends a line, cut if it is too long.
fn append(lines: &mut Vec<u8>, line: &[u8]) {
    if line.len() <= LINE_BYTES_MAX {
        lines.extend_from_slice(line);
        return;
    }
    let note = format!("… ({} bytes in all)\n", line.len());
    let text = line.get(..LINE_BYTES_MAX - note.len()).unwrap_or_default();
    // A character that would be cut in two goes.
    let text = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    lines.extend_from_slice(text.as_bytes());
    lines.extend_from_slice(note.as_bytes());
}

/// What could not be written.
struct Failed {
    /// Whether nothing can be written any more.
    gone: bool,
    /// Lines that are lost.
    lines: u64,
}

fn write_all(stream: &mut impl Write, mut lines: &[u8]) -> Result<(), Failed> {
    while !lines.is_empty() {
        match stream.write(lines) {
            Ok(0) => return Err(Failed { gone: true, lines: 0 }),
            Ok(count) => lines = lines.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(error) => {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count();
                let gone = error.kind() == io::ErrorKind::BrokenPipe;
                return Err(Failed { gone, lines: lost as u64 });
            }
        }
    }
    Ok(())
}

/// The subscriber writes each line at once.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, pipe};
    use std::sync::Arc;
    use std::thread::JoinHandle;

    use super::*;
    use crate::clock::ManualClock;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn writing_to(stream: PipeWriter) -> (Arc<Queue>, JoinHandle<()>) {
        let queue = Arc::new(Queue::default());
        let lines = queue.clone();
        let limiter = Limiter::new(Box::new(ManualClock::default()));
        (queue, std::thread::spawn(move || lines.write_to(stream, &limiter)))
    }

    fn rest_of(mut reader: PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn lines_come_out_whole_in_order_and_before_the_end() {
        let (reader, stream) = pipe().unwrap();
        let (queue, thread) = writing_to(stream);
        queue.push(b"one\n");
        queue.push(b"two\n");
        queue.finish(LONG);
        thread.join().unwrap();
        assert_eq!(rest_of(reader), "one\ntwo\n");
    }

    #[test]
    fn a_log_whose_reader_is_gone_is_given_up() {
        let (reader, stream) = pipe().unwrap();
        drop(reader);
        let (queue, thread) = writing_to(stream);
        queue.push(b"one\n");
        thread.join().unwrap();
        queue.push(b"two\n");
        queue.flush(LONG);
        queue.finish(LONG);
        assert!(queue.lock().lines.is_empty());
    }

    #[test]
    fn a_log_that_nobody_reads_holds_up_nobody_and_counts_what_it_drops() {
        let (reader, stream) = pipe().unwrap();
        let (queue, thread) = writing_to(stream);
        let line = format!("{}\n", "x".repeat(999));
        let pushed = 5 * WAITING_BYTES_MAX / line.len();
        for _ in 0..pushed {
            queue.push(line.as_bytes());
        }
        queue.flush(SOON);
        queue.finish(SOON);
        assert!(queue.lock().lines.len() <= WAITING_BYTES_MAX);

        // Someone reads it after all.
        let text = rest_of(reader);
        thread.join().unwrap();
        let kept = text.lines().filter(|line| line.starts_with('x')).count();
        let told: usize = text
            .lines()
            .filter_map(|line| line.split_once(" WARN dropped ")?.1.split_once(" log lines: "))
            .map(|(count, _)| count.replace(',', "").parse::<usize>().unwrap())
            .sum();
        assert!(told > 0);
        assert_eq!(kept + told, pushed);
    }

    #[test]
    fn a_stream_that_fails_once_is_used_again() {
        struct FullOnce(bool, PipeWriter);
        impl Write for FullOnce {
            fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
                let failed = std::mem::replace(&mut self.0, true);
                if failed { self.1.write(lines) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (reader, stream) = pipe().unwrap();
        let queue = Queue::default();
        let limiter = Limiter::new(Box::new(ManualClock::default()));
        std::thread::scope(|scope| {
            scope.spawn(|| queue.write_to(FullOnce(false, stream), &limiter));
            queue.push(b"one\n");
            queue.flush(LONG);
            queue.push(b"two\n");
            queue.finish(LONG);
        });
        let text = rest_of(reader);
        assert!(text.starts_with("two\n"), "{text}");
        assert!(text.contains(" WARN dropped 1 log lines: "), "{text}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut lines = Vec::new();
        append(&mut lines, format!("{}\n", "ä".repeat(500_000)).as_bytes());
        assert!(lines.len() <= LINE_BYTES_MAX);
        let text = String::from_utf8(lines).unwrap();
        assert!(text.ends_with("ä… (1000001 bytes in all)\n"), "{}", &text[text.len() - 40..]);
    }
}
