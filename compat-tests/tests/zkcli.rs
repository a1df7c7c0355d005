//! The shell (`zkCli.sh`'s class) fed the same long session against both servers, every line of
//! output compared. Only wall-clock times, session ids and the port are replaced; zxids are not.

use anyhow::{Result, bail};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::side_by_side;
use compat_tests::results::Case;
use compat_tests::server::{Options, Server};
use compat_tests::shell::Shell;

const SESSION: &str = include_str!("../clients/zkcli/session.txt");

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
    let mut shell = Shell::start(&server.connect_string(), &[], &["-waitforconnection"])?;
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
            let (status, rest) = shell.end()?;
            record(&format!("quit ({status})"), rest);
            break;
        }
        let (lines, alive) = shell.run(command, events_due)?;
        record(command, lines);
        if !alive {
            shell = Shell::start(&server.connect_string(), &[], &["-waitforconnection"])?;
            let (welcome, _) = shell.run("printwatches", 1)?;
            record("(start)", welcome);
        }
    }
    if !server.alive() {
        bail!("the server died during the session");
    }
    Ok(transcript)
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
            let mut shell = Shell::start(&server.connect_string(), &[], &words)?;
            let (status, lines) = shell.end()?;
            let lines: Vec<String> = lines.iter().map(|line| normalise(command, line, &port)).collect();
            transcript.push_str(&format!("> {command} ({status})\n{}\n", lines.join("\n")));
        }
        Ok(transcript)
    })
}
