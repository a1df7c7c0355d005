//! A failing script made short: parts are left out as long as the servers still part ways.

use super::pair::{Mismatch, Setup};
use super::play_alone;
use super::script::Step;

/// Whether fresh servers part. What earlier scripts left behind could make them part too, and then the
/// short script would show nothing to whoever plays it alone.
fn parts(setup: &Setup, steps: &[Step]) -> Option<Mismatch> {
    // A server that died answers nothing, which is a difference too.
    play_alone(setup, steps)
        .unwrap_or_else(|error| Some(Mismatch { step: steps.len(), story: format!("{error:#}\n") }))
}

/// Leaves out what is not needed to make the servers part, in at most `tries_max` tries: a count and no
/// time, so that a slow machine gets as far as a fast one. Returns the shortest script found and its story;
/// `None` if the whole script does not fail again.
pub fn shrink(
    setup: &Setup,
    steps: &[Step],
    tries_max: usize,
    mut tell: impl FnMut(usize, usize),
) -> Option<(Vec<Step>, Mismatch)> {
    let mut mismatch = parts(setup, steps)?;
    let mut tried = 1;
    let mut best = steps[..mismatch.step.min(steps.len())].to_vec();
    let mut chunk = best.len().div_ceil(2).max(1);
    while tried < tries_max {
        let mut shorter = false;
        // From the end: what is needed last is mostly close to it, and goes with what led to it.
        let mut end = best.len();
        while end > 0 && tried < tries_max {
            let start = end.saturating_sub(chunk);
            let candidate = [&best[..start], &best[end..]].concat();
            if candidate.is_empty() {
                break;
            }
            tried += 1;
            if let Some(found) = parts(setup, &candidate) {
                best = candidate;
                best.truncate(found.step);
                mismatch = found;
                shorter = true;
                tell(tried, best.len());
            }
            end = start.min(best.len());
        }
        if chunk == 1 && !shorter {
            break;
        }
        chunk = chunk.div_ceil(2).min(best.len().div_ceil(2)).max(1);
    }
    Some((best, mismatch))
}
