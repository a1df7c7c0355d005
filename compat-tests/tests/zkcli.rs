//! The shell (`zkCli.sh`'s class) fed the same long session against both servers, every line of
//! output compared. Only wall-clock times, session ids and the port are replaced; zxids are not.

use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::side_by_side;
use compat_tests::programs::JVM;
use compat_tests::results::Case;
use compat_tests::server::{Options, Server};

const LIMIT: Duration = Duration::from_secs(30);
const SESSION: &str = include_str!("../clients/zkcli/session.txt");

/// One running shell.
struct Shell {
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
    fn start(server: &Server, arguments: &[&str]) -> Result<Self> {
        let (reader, writer) = std::io::pipe().context("make a pipe")?;
        let mut command = Command::new("java");
        command.args(JVM).args(["-Dfile.encoding=UTF-8", "-Dcompat.log=OFF", "-cp"]);
        command.arg(artifacts::class_path_without_line_editor(REFERENCE)?);
        command
            .args(["org.apache.zookeeper.ZooKeeperMain", "-server", &server.connect_string()])
            .args(arguments);
        // One pipe for both streams keeps what is printed to either in order.
        command.stdout(writer.try_clone().context("share the pipe")?).stderr(writer).stdin(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let stdin = child.stdin.take().context("the shell's input")?;
        Ok(Self { child, stdin, lines: lines_of(reader), marks: 0 })
    }

    fn write(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).with_context(|| format!("feed {line:?}"))
    }

    /// Feeds one line and collects its output: first the command's own lines, then the events.
    /// An unknown word fed behind it marks where the output ends. Some lines end the shell itself
    /// (a number that is none, for one): the second value is then false.
    fn run(&mut self, line: &str, events_due: usize) -> Result<(Vec<String>, bool)> {
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

fn options() -> Options {
    Options::default()
        .property("zookeeper.extendedTypesEnabled", "true")
        .property("zookeeper.enforceQuota", "true")
        .property("znode.container.checkIntervalMs", "3600000")
}

/// Replaces what two runs cannot share.
fn normalise(command: &str, line: &str, port: &str) -> String {
    for prefix in ["ctime = ", "mtime = "] {
        if line.starts_with(prefix) {
            return format!("{prefix}<time>");
        }
    }
    if let Some(id) = line.strip_prefix("ephemeralOwner = 0x") {
        let shown = if id == "0" { "0x0" } else { "<session>" };
        return format!("ephemeralOwner = {shown}");
    }
    if command.starts_with("getEphemerals") && line.starts_with('[') {
        let mut names: Vec<&str> = line.trim_matches(['[', ']']).split(", ").collect();
        names.sort_unstable();
        return format!("[{}]", names.join(", "));
    }
    line.replace(port, "<port>")
}

fn session(server: &mut Server) -> Result<String> {
    let port = server.addr().port().to_string();
    let mut shell = Shell::start(server, &["-waitforconnection"])?;
    let mut transcript = String::new();
    let mut record = |command: &str, lines: Vec<String>| {
        transcript.push_str(&format!("> {command}\n"));
        let mut lines: Vec<String> = lines.iter().map(|line| normalise(command, line, &port)).collect();
        if command == "whoami" {
            lines.sort();
        }
        for line in lines {
            transcript.push_str(&format!("{line}\n"));
        }
    };
    let (welcome, _) = shell.run("printwatches", 1)?;
    record("(start)", welcome);
    for line in SESSION.lines().filter(|line| !line.starts_with('#')) {
        let (events_due, command) = match line.split_once(' ') {
            Some((count, rest)) if count.parse::<usize>().is_ok() => (count.parse()?, rest),
            _ => (0, line),
        };
        if command == "quit" {
            shell.write(command)?;
            let status = wait(&mut shell.child)?;
            // Whether the farewell event is still printed is a race inside the shell.
            let mut rest: Vec<String> = shell.lines.iter().filter(|text| !text.is_empty()).collect();
            rest.retain(|text| text != "WATCHER::" && !text.starts_with("WatchedEvent "));
            record(&format!("quit ({status})"), rest);
            break;
        }
        let (lines, alive) = shell.run(command, events_due)?;
        record(command, lines);
        if !alive {
            shell = Shell::start(server, &["-waitforconnection"])?;
            let (welcome, _) = shell.run("printwatches", 1)?;
            record("(start)", welcome);
        }
    }
    if !server.alive() {
        bail!("the server died during the session");
    }
    Ok(transcript)
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

fn case(name: &str, what: &str) -> Case {
    Case::new(name, &format!("zkCli.sh {REFERENCE}"), what)
}

#[test]
fn every_command_of_the_shell() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(&case("zkcli", "every command, in one session"), &options(), session)
}

/// Commands given as arguments: one command per process, and its exit status.
#[test]
fn commands_as_arguments() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(&case("zkcli-arguments", "commands given as arguments"), &options(), |server| {
        let port = server.addr().port().to_string();
        let mut transcript = String::new();
        for command in
            ["create /x y", "get -s /x", "get /none", "ls -R /", "nonsense", "delete /x", "version", "quit"]
        {
            let words: Vec<&str> = ["-waitforconnection"].into_iter().chain(command.split(' ')).collect();
            let mut shell = Shell::start(server, &words)?;
            let status = wait(&mut shell.child)?;
            let mut lines: Vec<String> = shell.lines.iter().filter(|text| !text.is_empty()).collect();
            lines.retain(|text| text != "WATCHER::" && !text.starts_with("WatchedEvent "));
            let lines: Vec<String> = lines.iter().map(|line| normalise(command, line, &port)).collect();
            transcript.push_str(&format!("> {command} ({status})\n{}\n", lines.join("\n")));
        }
        Ok(transcript)
    })
}
