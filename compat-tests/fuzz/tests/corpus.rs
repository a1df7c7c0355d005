//! The committed inputs of every target, and mutations of them, where there is no fuzzer.

use std::path::PathBuf;

use jute_fuzz::corpus::{play, play_mutations};
use oxkeeper_fuzz::TARGETS;

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

/// What the README lists, what cargo-fuzz can run, and what the tests play are the same targets.
#[test]
fn every_target_has_a_program_a_corpus_and_a_row() {
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(home.join(name)).expect("it can be read");
    let (manifest, readme) = (read("Cargo.toml"), read("README.md"));
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} has no program");
        assert!(readme.contains(&format!("\n| `{name}` |")), "{name} has no row");
        assert!(read(&format!("fuzz_targets/{name}.rs")).contains(&format!("oxkeeper_fuzz::{name}(input)")));
    }
    for folder in std::fs::read_dir(corpus()).expect("it can be read") {
        let name = folder.expect("it can be read").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} is played by no target");
    }
}
