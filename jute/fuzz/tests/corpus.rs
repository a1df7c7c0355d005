//! The committed inputs of every target, and mutations of them, where there is no fuzzer.

use std::path::PathBuf;

use jute_fuzz::TARGETS;
use jute_fuzz::corpus::{play, play_mutations};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn the_committed_inputs_of_every_target_pass() {
    play(&corpus(), TARGETS);
}

#[test]
fn mutations_of_the_committed_inputs_pass() {
    play_mutations(&corpus(), TARGETS);
}
