//! Plays the inputs that are committed, and mutations of them, without a fuzzer.

use std::path::{Path, PathBuf};

use crate::Targets;

fn inputs(corpus: &Path, target: &str) -> Vec<PathBuf> {
    let folder = corpus.join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has no corpus");
    inputs
}

/// Plays every input below `corpus`: what was found once stays found.
///
/// # Panics
/// When a target does, or has no inputs.
pub fn play(corpus: &Path, targets: &Targets) {
    for (name, target) in targets {
        for path in inputs(corpus, name) {
            let input = std::fs::read(&path).expect("an input can be read");
            // The only line a failure leaves behind that says which input it was.
            println!("{}", path.display());
            target(&input);
        }
    }
}

/// A sequence of numbers that looks random and is the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 33) as usize
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() % bound.max(1)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Some of one input and some of another, with some bytes changed.
fn mutate(inputs: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = inputs[numbers.below(inputs.len())].clone();
    for _ in 0..numbers.below(4) {
        let other = &inputs[numbers.below(inputs.len())];
        let piece = &other[numbers.below(other.len())..];
        let piece = &piece[..numbers.below(piece.len() + 1)];
        let at = numbers.below(input.len() + 1);
        input.splice(at..at, piece.iter().copied());
    }
    for _ in 0..numbers.below(8) {
        let at = numbers.below(input.len());
        match (numbers.below(3), input.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << numbers.below(8),
            (1, Some(byte)) => *byte = numbers.next() as u8,
            (_, Some(_)) => drop(input.remove(at)),
            (_, None) => input.push(numbers.next() as u8),
        }
    }
    input
}

/// Plays mutations of the inputs below `corpus`: 200 for each target, or as many as the variable `MUTATIONS` says; the
/// first of them in `FIRST`, and one target's name in `TARGET`.
///
/// # Panics
/// When a target does; it says for which input.
pub fn play_mutations(corpus: &Path, targets: &Targets) {
    let number = |name, default| variable(name).map_or(default, |value| value.parse().expect("a number"));
    let (first, count) = (number("FIRST", 0), number("MUTATIONS", 200));
    let only = variable("TARGET");
    for (name, target) in targets {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let read = |path: &PathBuf| std::fs::read(path).expect("an input can be read");
        let inputs: Vec<_> = inputs(corpus, name).iter().map(read).collect();
        for number in first..first + count {
            let input = mutate(&inputs, &mut Numbers(number));
            if std::panic::catch_unwind(|| target(&input)).is_err() {
                panic!("{name}: number {number}: {input:?}");
            }
        }
    }
}
