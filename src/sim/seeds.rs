//! Which seeds a simulation plays, and what it says when one fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Plays the seeds that `OXKEEPER_SEEDS` names as `A..B`, or the `usual` ones; `OXKEEPER_SEED` plays one alone. Says how many
/// they were. A seed that fails prints the command that repeats it, of the tests below `module`.
pub(crate) fn each(usual: Range<u64>, module: &str, mut play: impl FnMut(u64)) -> u64 {
    let number = |text: &str| text.parse::<u64>().expect("a seed is a number");
    let seeds = match (std::env::var("OXKEEPER_SEED"), std::env::var("OXKEEPER_SEEDS")) {
        (Ok(seed), _) => number(&seed)..number(&seed) + 1,
        (_, Ok(range)) => {
            let (first, end) = range.split_once("..").expect("OXKEEPER_SEEDS is A..B");
            number(first)..number(end)
        }
        _ => usual,
    };
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let played = catch_unwind(AssertUnwindSafe(|| play(seed)));
        assert!(
            played.is_ok(),
            "seed {seed} failed; repeat it with\nOXKEEPER_SEED={seed} cargo test --lib {module} -- --nocapture"
        );
    }
    count
}
