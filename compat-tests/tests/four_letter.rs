//! Every four-letter word, asked of both servers after the same short script.
//!
//! What may differ (times, sizes, ports, process facts) is replaced by a word; all else, line
//! ends included, must be equal.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use compat_tests::compare::{judged, side_by_side};
use compat_tests::results::Case;
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, Reply, op};
use compat_tests::{artifacts, four_letter};

/// Asked in this order: those that reset something come last.
const WORDS: [&str; 24] = [
    "ruok", "isro", "srvr", "stat", "conf", "cons", "dump", "dirs", "envi", "wchs", "wchc", "wchp", "mntr",
    "hash", "gtmk", "crst", "cons", "srst", "srvr", "telnet", "RUOK", "nope", "orst", "lsnp",
];

/// Two sessions, a few writes and reads, watches of both tables.
struct Visitors {
    first: Client,
    second: Client,
}

fn expect(reply: Reply, err: i32) -> Result<Reply> {
    ensure!(reply.err == err, "expected code {err}, got {reply:?}");
    Ok(reply)
}

fn visit(addr: SocketAddr) -> Result<Visitors> {
    let mut first = Client::connect(addr, 30_000)?;
    let mut second = Client::connect(addr, 20_000)?;
    expect(first.call(1, op::CREATE, &Body::create("/a", b"data", 0))?, 0)?;
    expect(first.call(2, op::CREATE, &Body::create("/a/e", b"", 1))?, 0)?;
    expect(first.call(3, op::CREATE, &Body::create("/a/s", b"", 3))?, 0)?;
    expect(second.call(1, op::CREATE, &Body::create("/b", b"", 1))?, 0)?;
    expect(second.call(2, op::CREATE, &Body::create("/b", b"", 1))?, -110)?;
    expect(second.call(3, op::GET_DATA, &Body::path_and_watch("/a", true))?, 0)?;
    expect(second.call(4, op::EXISTS, &Body::path_and_watch("/none", true))?, -101)?;
    expect(first.call(4, op::GET_DATA, &Body::path_and_watch("/a", true))?, 0)?;
    expect(first.call(5, op::GET_CHILDREN, &Body::path_and_watch("/a", true))?, 0)?;
    expect(first.call(6, op::SET_DATA, &Body::set_data("/a/e", b"1", -1))?, 0)?;
    expect(first.call(-2, op::PING, &Body::new())?, 0)?;
    Ok(Visitors { first, second })
}

/// Replaces what two runs cannot share. `names` maps session ids to names.
fn normalise(word: &str, answer: &str, port: u16, visitors: &Visitors) -> String {
    let mut text = answer.replace(&format!(":{port}"), ":<port>").replace(&format!("={port}\n"), "=<port>\n");
    for (id, name) in [(visitors.first.session, "<first>"), (visitors.second.session, "<second>")] {
        text = text.replace(&format!("0x{id:x}"), name);
    }
    let mut lines: Vec<String> = text.split('\n').map(|line| normalise_line(word, line)).collect();
    match word {
        // One row per connection, in the order of a hash set.
        "cons" | "stat" => {
            if let Some(first) = lines.iter().position(|line| line.starts_with(" /")) {
                let rows = lines[first..].iter().take_while(|line| line.starts_with(" /")).count();
                lines[first..first + rows].sort();
            }
        }
        "wchc" | "wchp" | "dump" => {
            lines.retain(|line| line != "0 expire at <time>:");
            lines = grouped(&lines);
            lines.sort();
        }
        _ => {}
    }
    lines.join("\n")
}

/// Puts the owner's line in front of each indented line, so that rows can be sorted.
fn grouped(lines: &[String]) -> Vec<String> {
    let mut owner = String::new();
    let mut rows = Vec::new();
    for line in lines {
        if line.starts_with('\t') {
            rows.push(format!("{owner} {line}"));
        } else {
            owner.clone_from(line);
            rows.push(line.clone());
        }
    }
    rows
}

fn normalise_line(word: &str, line: &str) -> String {
    let until = |mark: &str| line.split(mark).next().unwrap_or_default().to_owned();
    match word {
        "mntr" => until("\t"),
        "envi" => until("="),
        "dirs" => until(":"),
        "hash" => line.to_owned(),
        "conf" if line.starts_with("data") => until("="),
        // How many buckets are left empty depends on when the tick came.
        "dump" if line.contains("Sets (") => match line.split_once(" (") {
            Some((what, numbers)) => {
                format!("{what} (<buckets>){}", numbers.split_once(')').map_or("", |(_, rest)| rest))
            }
            None => line.to_owned(),
        },
        "dump" if line.contains("expire at ") => {
            let (count, _) = line.split_once(" expire at ").unwrap_or((line, ""));
            format!("{count} expire at <time>:")
        }
        "dump" if line.starts_with("\tip: ") => {
            let (address, session) = line.split_once(" sessionId").unwrap_or((line, ""));
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            format!("{host}:<client> sessionId{session}")
        }
        "srvr" | "stat" if line.starts_with("Zookeeper version: ") => {
            "Zookeeper version: <version>".to_owned()
        }
        "srvr" | "stat" if line.starts_with("Latency ") => "Latency min/avg/max: <numbers>".to_owned(),
        "cons" | "stat" if line.starts_with(" /") => connection(line),
        _ => line.to_owned(),
    }
}

/// ` /127.0.0.1:1234[1](queued=0,…)` without the client's port and the times.
fn connection(line: &str) -> String {
    let (address, rest) = line.split_once('[').unwrap_or((line, ""));
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let timed = ["est=", "lresp=", "llat=", "minlat=", "avglat=", "maxlat="];
    let fields: Vec<String> = rest
        .split(',')
        .map(|field| match timed.iter().find(|name| field.starts_with(**name)) {
            Some(name) => format!("{name}<n>{}", if field.ends_with(')') { ")" } else { "" }),
            None => field.to_owned(),
        })
        .collect();
    format!("{host}:<client>[{}", fields.join(","))
}

#[test]
fn every_word_answers_alike() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    side_by_side(
        &Case::new("four-letter", "four-letter words", "every word answers alike"),
        &Options::default(),
        |server| {
            // The questions asked while the server started are forgotten first.
            server.ask("srst")?;
            let visitors = visit(server.addr())?;
            let mut transcript = String::new();
            for word in WORDS {
                if word == "mntr" {
                    continue; // compared by key, below
                }
                let answer = server.ask(word)?;
                transcript.push_str(&format!(
                    "> {word}\n{}<end>\n",
                    normalise(word, &answer, server.addr().port(), &visitors)
                ));
            }
            let mask =
                four_letter::ask_bytes(server.addr(), &[b"stmk".as_slice(), &306i64.to_be_bytes()].concat())?;
            transcript.push_str(&format!(
                "> stmk\n{}<end>\n> gtmk\n{}<end>\n",
                String::from_utf8_lossy(&mask),
                server.ask("gtmk")?
            ));
            ensure!(server.alive(), "the server died of a word");
            Ok(transcript)
        },
    )
}

#[test]
fn words_outside_the_whitelist_are_refused_alike() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let options = Options::default().line("4lw.commands.whitelist=conf, ruok,nope");
    let case = Case::new("four-letter-whitelist", "four-letter words", "words outside the whitelist");
    side_by_side(&case, &options, |server| {
        let visitors = visit(server.addr())?;
        let mut transcript = String::new();
        for word in WORDS {
            let answer = server.ask(word)?;
            let shown = normalise(word, &answer, server.addr().port(), &visitors);
            // How often the server was asked while it started is chance.
            let chance = |line: &&str| line.starts_with("Received: ") || line.starts_with("Sent: ");
            let shown: Vec<&str> = shown.split('\n').filter(|line| !chance(line)).collect();
            transcript.push_str(&format!("> {word}\n{}<end>\n", shown.join("\n")));
        }
        Ok(transcript)
    })
}

/// Keys of `mntr` with whether the value is a number, and the values that must be equal.
fn mntr(server: &Server) -> Result<Vec<(String, String)>> {
    let visitors = visit(server.addr())?;
    let answer = server.ask("mntr")?;
    drop(visitors);
    answer
        .lines()
        .map(|line| {
            let (key, value) =
                line.split_once('\t').with_context(|| format!("a line without TAB: {line:?}"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[test]
fn mntr_has_every_key_of_the_reference() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    /// Values that the same short script must bring about on both.
    const EQUAL: [&str; 14] = [
        "zk_server_state",
        "zk_znode_count",
        "zk_watch_count",
        "zk_ephemerals_count",
        "zk_num_alive_connections",
        "zk_outstanding_requests",
        "zk_global_sessions",
        "zk_local_sessions",
        "zk_approximate_data_size",
        "zk_digest_mismatches_count",
        "zk_auth_failed_count",
        "zk_last_processed_zxid",
        "zk_stale_sessions_expired",
        "zk_connection_rejected",
    ];
    let reference = Server::start(Kind::Apache(artifacts::REFERENCE), &Options::default())?;
    let expected = mntr(&reference)?;
    let server = Server::start(judged(), &Options::default())?;
    let actual = mntr(&server)?;
    let keys = |list: &[(String, String)]| list.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
    // Numbers about a Java virtual machine exist only where there is one.
    let missing: Vec<String> = keys(&expected)
        .difference(&keys(&actual))
        .filter(|key| !key.starts_with("zk_jvm_"))
        .cloned()
        .collect();
    ensure!(missing.is_empty(), "{} keys of mntr are missing: {missing:?}", missing.len());
    for key in EQUAL {
        let value = |list: &[(String, String)]| {
            list.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
        };
        ensure!(
            value(&expected) == value(&actual),
            "{key}: the reference says {:?}, judged {:?}",
            value(&expected),
            value(&actual)
        );
    }
    let number = |value: &str| value.parse::<f64>().is_ok();
    for (key, value) in &expected {
        let ours = actual.iter().find(|(name, _)| name == key).map_or("0", |(_, value)| value);
        ensure!(number(value) == number(ours), "{key}: the reference says {value:?}, judged {ours:?}");
    }
    Ok(())
}
