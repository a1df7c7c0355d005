//! Bytes from several connections, all the way to the replies, on a state without sockets. No input
//! panics; memory stays in proportion; the digest predicted for every transaction is the tree's digest
//! after it; replies are whole frames in the order of the requests; and what is in the tree at the end can
//! be written and loaded.
//!
//! The input is a script: a byte that says who does what, then what it needs. See [`World`] for what is
//! done, and [`crate::script`] for requests that are spelled out in a few bytes.

use crate::meter::peak_bytes;
use crate::script::request;
use crate::world::{CONNECTIONS, World};

/// An empty state costs this: tables come in pieces.
const SLACK_BYTES: usize = 4 << 20;
/// A request of a few bytes becomes a node, its access control list and a place in four tables.
const WORST_FACTOR: usize = 4096;

/// Plays `input`.
pub fn frames(input: &[u8]) {
    let Some((switches, script)) = input.split_first() else { return };
    let peak = peak_bytes(|| {
        let mut world = World::new(*switches);
        play(&mut world, script);
        world.commit();
        world.check_end();
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
}

fn play(world: &mut World, script: &[u8]) {
    let mut rest = script;
    while let Some((control, tail)) = rest.split_first() {
        rest = tail;
        let who = usize::from(control & 3) % CONNECTIONS;
        match control >> 2 & 7 {
            0 => world.receive(who, piece(&mut rest)),
            1 => world.receive_frame(who, piece(&mut rest)),
            2 => world.commit(),
            3 => {
                let passed = byte(&mut rest);
                world.pass_time(i64::from(passed) * 50);
            }
            4 => world.reconnect(who),
            5 => world.hang_up(who),
            _ => world.receive_frame(who, &request(&mut rest)),
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
