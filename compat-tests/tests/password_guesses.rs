//! Many guesses at passwords: each is answered as the reference answers it, nobody is locked out, and the log tells of
//! all of them without filling up.

use std::fs;

use anyhow::{Context, Result, ensure};
use compat_tests::artifacts;
use compat_tests::compare::on_both;
use compat_tests::results::Case;
use compat_tests::sasl::{PROVIDER, Response, challenge, login, shown, step};
use compat_tests::server::{Kind, Options, Server};
use compat_tests::wire::{Body, Client, op};

const JAAS: &str = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n \
                    user_bob=\"bobsecret\"; };\n";
/// The hash of `super:test`, from the reference's documentation.
const SUPER: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
const GUESSES: usize = 400;
/// A path that only the superuser may read.
const CLOSED: &str = "/closed";

fn connect(server: &Server) -> Result<Client> {
    Client::connect(server.addr(), 10_000)
}

/// Answers and how often each came, in the order in which they came first.
fn counted(answers: impl Iterator<Item = Result<String>>) -> Result<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for answer in answers {
        let answer = answer?;
        match counts.iter_mut().find(|(one, _)| *one == answer) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer, 1)),
        }
    }
    Ok(format!("{counts:?}"))
}

/// A login by DIGEST-MD5.
fn guess(server: &Server, number: usize) -> Result<String> {
    let mut client = connect(server)?;
    let challenge = challenge(&mut client)?;
    let response = Response::of("bob", &format!("guess{number}")).to(&challenge)?;
    Ok(shown(step(&mut client, 2, Some(&response))))
}

/// Credentials of the digest scheme, which prove something whatever they are.
fn guess_super(server: &Server, password: &str) -> Result<String> {
    let mut client = connect(server)?;
    let credentials = format!("super:{password}");
    let answer = client.call(-4, op::AUTH, &Body::auth("digest", credentials.as_bytes()))?;
    let read = client.call(2, op::GET_DATA, &Body::path_and_watch(CLOSED, false))?;
    Ok(format!("{} then {}", answer.err, read.err))
}

/// How many times the log tells of a text: its lines, and those that were counted in place of being written.
fn told(log: &str, text: &str) -> (usize, usize) {
    let (mut lines, mut counted) = (0, 0);
    for line in log.lines().filter(|line| line.contains(text)) {
        match line.split_once("… ").and_then(|(_, rest)| rest.split_once(" more in ")) {
            Some((number, _)) => counted += number.replace(',', "").parse::<usize>().unwrap_or_default(),
            None => lines += 1,
        }
    }
    (lines, counted)
}

#[test]
fn guesses_are_answered_as_by_the_reference_and_do_not_fill_the_log() -> Result<()> {
    if !artifacts::available(&["java", "mvn"])? {
        return Ok(());
    }
    let home = tempfile::tempdir().context("a directory")?;
    let jaas = home.path().join("jaas.conf");
    fs::write(&jaas, JAAS).context("write a login configuration")?;
    let options = Options::default()
        .property(PROVIDER.0, PROVIDER.1)
        .property("java.security.auth.login.config", jaas.to_str().context("a path of text")?)
        .property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER);
    let case = Case::new(
        "password-guesses",
        "guesses at passwords",
        "hundreds of wrong logins by DIGEST-MD5 and at the superuser's digest, then the right ones",
    );
    on_both(&case, |kind| {
        let mut server = Server::start(kind, &options)?;
        let create = Body::new().string(CLOSED).buffer(b"x").acl("digest", "nobody:x").int(0);
        ensure!(connect(&server)?.call(1, op::CREATE, &create)?.err == 0, "the node is not made");
        let wrong = counted((0..GUESSES).map(|number| guess(&server, number)))?;
        login(&mut connect(&server)?, "bob", "bobsecret").context("the right password, at once")?;
        let at_super = counted((0..GUESSES).map(|number| guess_super(&server, &format!("guess{number}"))))?;
        let right = guess_super(&server, "test")?;
        ensure!(right == "0 then 0", "the superuser is {right}");
        if kind == Kind::Oxkeeper {
            server.stop()?;
            let log = server.log();
            for text in ["SASL authentication failed: ", "a wrong password for the superuser"] {
                let (lines, counted) = told(&log, text);
                ensure!(
                    lines + counted == GUESSES,
                    "{lines} lines of {text:?}, and {counted} counted:\n{log}"
                );
                ensure!(lines < GUESSES, "every guess has a line of its own");
            }
            for secret in ["guess", "bobsecret", "super:test"] {
                ensure!(!log.contains(secret), "the log holds {secret:?}");
            }
        }
        Ok(format!("{wrong}\n{at_super}\n{right}"))
    })
}
