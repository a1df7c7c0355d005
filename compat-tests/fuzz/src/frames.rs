//! Bytes from several connections, all the way to the replies, on a real server without sockets and threads. No
//! input panics; memory stays in proportion; the digest predicted for every transaction is the tree's digest
//! after it; replies are whole frames in the order of the requests; what is in the tree at the end can be
//! written and loaded; and what connections made the server hold is given back.
//!
//! The input is a script: a byte that says who does what, then what it needs. See [`Server`] for what is
//! done, and [`crate::script`] for requests that are spelled out in a few bytes.

use crate::script::request;
use crate::server::{CONNECTIONS, Server};
use jute_fuzz::peak_bytes;

/// An empty state costs this: tables come in pieces.
const SLACK_BYTES: usize = 4 << 20;
/// A request of a few bytes becomes a node, its access control list and a place in four tables.
const WORST_FACTOR: usize = 4096;

/// Plays `input`.
pub fn frames(input: &[u8]) {
    let Some((switches, script)) = input.split_first() else { return };
    let peak = peak_bytes(|| {
        let mut server = Server::new(*switches);
        play(&mut server, script);
        server.turn();
        server.check_end();
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
}

/// Bit 7 of a step: the client does not read what it is sent, until its next step without it.
const READS_NOTHING: u8 = 0x80;
/// Bit 6 of a step in which time passes: the server does not run meanwhile.
const IS_PAUSED: u8 = 0x40;

fn play(server: &mut Server, script: &[u8]) {
    let mut rest = script;
    while let Some((control, tail)) = rest.split_first() {
        rest = tail;
        let who = usize::from(control & 3) % CONNECTIONS;
        server.set_reads(who, control & READS_NOTHING == 0);
        match control >> 2 & 7 {
            0 => server.receive(who, piece(&mut rest)),
            1 => server.receive_frame(who, piece(&mut rest)),
            2 => server.turn(),
            3 => {
                let passed = byte(&mut rest);
                server.pass_time(i64::from(passed) * 50, control & IS_PAUSED != 0);
            }
            4 => server.reconnect(who),
            5 => server.hang_up(who),
            _ => server.receive_frame(who, &request(&mut rest)),
        }
    }
}

fn byte(rest: &mut &[u8]) -> u8 {
    let Some((first, tail)) = rest.split_first() else { return 0 };
    *rest = tail;
    *first
}

/// As many bytes as the next byte says.
fn piece<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let count = usize::from(byte(rest)).min(rest.len());
    let (piece, tail) = rest.split_at(count);
    *rest = tail;
    piece
}
