//! A failing script made short: parts are left out as long as the servers still part ways.

use std::ops::Range;

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

/// Whether they part twice. What parts them once, on a busy machine or because a server could not start, is not what
/// the script shows: taken for it, everything that shows something would be left out.
fn parts_again(setup: &Setup, steps: &[Step]) -> Option<Mismatch> {
    let first = parts(setup, steps)?;
    let again = parts(setup, steps);
    if again.is_none() {
        println!("{} steps made the servers part once and not again:\n{}", steps.len(), first.story);
    }
    again
}

/// What is left without a part. Requests that were sent at once are not joined with what came after them: the reference
/// answers some requests, `auth` for one, ahead of those that wait, so that it would part from itself.
fn without(steps: &[Step], part: Range<usize>) -> Vec<Step> {
    let ends_a_burst = |step: &Step| !matches!(step, Step::Send { more: true, .. });
    let mut left = steps[..part.start].to_vec();
    if steps[part.clone()].iter().any(ends_a_burst)
        && let Some(Step::Send { more, .. }) = left.last_mut()
    {
        *more = false;
    }
    left.extend_from_slice(&steps[part.end..]);
    left
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
            let candidate = without(&best, start..end);
            if candidate.is_empty() {
                break;
            }
            tried += 1;
            if let Some(found) = parts_again(setup, &candidate) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::script::{parse, print};

    #[test]
    fn a_burst_that_loses_its_end_is_not_joined_with_the_next_request() -> anyhow::Result<()> {
        let steps = parse(
            "send+ 3 1 getData \"/a\" b1\nsend+ 3 2 delete \"/a\" i-1\nsend 3 3 delete \"/b\" i-1\n\
             send 3 4 auth i-1 \"digest\" \":\"\n",
        )?;
        assert_eq!(
            print(&without(&steps, 2..3)),
            "send+ 3 1 getData \"/a\" b1\nsend 3 2 delete \"/a\" i-1\nsend 3 4 auth i-1 \"digest\" \":\"\n"
        );
        assert_eq!(print(&without(&steps, 1..2)), print(&[&steps[..1], &steps[2..]].concat()));
        Ok(())
    }
}
