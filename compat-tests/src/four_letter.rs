//! Four-letter words: one connection, one word, text until the server closes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// An answer may be long, and the machine busy.
const LIMIT: Duration = Duration::from_secs(20);

/// Sends `word` and returns everything the server answered before it closed.
pub fn ask(addr: SocketAddr, word: &str) -> Result<String> {
    ask_within(addr, word, LIMIT)
}

/// Like [`ask`], of a server that may not answer at all: the reference forgets who asks while it starts.
pub fn ask_within(addr: SocketAddr, word: &str, limit: Duration) -> Result<String> {
    exchange(addr, word.as_bytes(), limit).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}

/// Like [`ask`], for words that carry bytes behind them.
pub fn ask_bytes(addr: SocketAddr, word: &[u8]) -> Result<Vec<u8>> {
    exchange(addr, word, LIMIT)
}

fn exchange(addr: SocketAddr, word: &[u8], limit: Duration) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))
        .with_context(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(limit)).context("set a read timeout")?;
    stream.write_all(word).with_context(|| format!("send {word:?} to {addr}"))?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // The reference may close before it has read all of what we sent, which resets the
        // connection after a complete answer.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        Err(e) => Err(e).with_context(|| format!("read the answer to {word:?} from {addr}")),
        Ok(_) => Ok(answer),
    }
}
