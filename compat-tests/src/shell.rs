//! One shell of the reference (`zkCli.sh`'s class) that reads plain lines.

use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::artifacts::{self, REFERENCE};
use crate::class_data;
use crate::programs::JVM;

const LIMIT: Duration = Duration::from_secs(30);

/// One running shell. Dropping it kills it by its id.
#[derive(Debug)]
pub struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    marks: usize,
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shell {
    /// A shell of the server at `address`, with these flags of its JVM and these arguments.
    pub fn start(address: &str, flags: &[&str], arguments: &[&str]) -> Result<Self> {
        let (reader, writer) = std::io::pipe().context("make a pipe")?;
        let mut command = Command::new("java");
        command.args(JVM).args(class_data::flags(REFERENCE));
        command.args(["-Dfile.encoding=UTF-8", "-Dcompat.log=OFF"]).args(flags).arg("-cp");
        command.arg(artifacts::class_path_without_line_editor(REFERENCE)?);
        command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", address]).args(arguments);
        // One pipe for both streams keeps what is printed to either in order.
        command.stdout(writer.try_clone().context("share the pipe")?).stderr(writer).stdin(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let stdin = child.stdin.take().context("the shell's input")?;
        Ok(Self { child, stdin, lines: lines_of(reader), marks: 0 })
    }

    /// Feeds one line.
    pub fn write(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).with_context(|| format!("feed {line:?}"))
    }

    /// Feeds one line and collects its output: first the command's own lines, then the events.
    /// An unknown word fed behind it marks where the output ends. Some lines end the shell itself
    /// (a number that is none, for one): the second value is then false.
    pub fn run(&mut self, line: &str, events_due: usize) -> Result<(Vec<String>, bool)> {
        self.write(line)?;
        self.marks += 1;
        let mark = format!("mark{}", self.marks);
        // A shell that has just died cannot read the mark; the end of its output tells.
        let _ = self.write(&mark);
        let end = format!("Command not found: Command not found {mark}");
        let (mut own, mut events) = (Vec::new(), Vec::new());
        let mut sort = |text: String| {
            let list = if text.starts_with("WatchedEvent ") { &mut events } else { &mut own };
            if !text.is_empty() && text != "WATCHER::" {
                list.push(text);
            }
            events.len()
        };
        let mut seen = 0;
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(text) if text == end => break,
                Ok(text) => seen = sort(text),
                Err(RecvTimeoutError::Timeout) => bail!("the shell is silent after {line:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    own.retain(|text| !text.trim_start().starts_with("at "));
                    own.push(format!("(the shell ended, {})", wait(&mut self.child)?));
                    return Ok((own, false));
                }
            }
        }
        let deadline = Instant::now() + LIMIT;
        while seen < events_due && Instant::now() < deadline {
            if let Ok(text) = self.lines.recv_timeout(Duration::from_secs(1)) {
                seen = sort(text);
            }
        }
        // The usage text before the mark's own error belongs to the mark.
        let usage = own.iter().rposition(|text| text.starts_with("ZooKeeper -server host:port"));
        own.truncate(usage.context("the mark brought no usage text")?);
        own.extend(events);
        Ok((own, true))
    }

    /// Waits for its end: its exit status, and what it still printed. Whether the farewell event is still printed is a
    /// race inside the shell, so events are left out.
    pub fn end(&mut self) -> Result<(String, Vec<String>)> {
        let status = wait(&mut self.child)?;
        let mut rest: Vec<String> = self.lines.iter().filter(|text| !text.is_empty()).collect();
        rest.retain(|text| text != "WATCHER::" && !text.starts_with("WatchedEvent "));
        Ok((status, rest))
    }
}

fn lines_of(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            // Either end may go away first; both mean that the session is over.
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn wait(child: &mut Child) -> Result<String> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().context("wait for the shell")? {
            return Ok(status.to_string());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the shell does not end after quit");
}
