//! A failing script made short: parts are left out as long as the servers still part ways.

use anyhow::Result;

use super::pair::{Mismatch, Pair};
use super::script::Step;

/// Tries, at most; each may start both servers anew.
const TRIES: usize = 400;

/// Tries scripts on pairs of servers, anew after each difference.
struct Trial {
    pair: Option<Pair>,
    tries: usize,
}

impl Trial {
    fn fails(&mut self, steps: &[Step]) -> Result<Option<Mismatch>> {
        self.tries += 1;
        let mut pair = match self.pair.take() {
            Some(pair) => pair,
            None => Pair::start()?,
        };
        let outcome = match pair.play(steps, true) {
            Ok(None) => pair.settle(steps.len()),
            other => other,
        };
        match outcome {
            Ok(None) => {
                self.pair = Some(pair);
                Ok(None)
            }
            Ok(mismatch) => Ok(mismatch),
            // A server that died answers nothing, which is a difference too.
            Err(error) => Ok(Some(Mismatch { step: steps.len(), story: format!("{error:#}\n") })),
        }
    }
}

/// Leaves out what is not needed to make the servers part. Returns the shortest script found and its
/// story; `None` if the whole script does not fail again.
pub fn shrink(steps: &[Step], mut tell: impl FnMut(usize, usize)) -> Result<Option<(Vec<Step>, Mismatch)>> {
    let mut trial = Trial { pair: None, tries: 0 };
    let Some(mut mismatch) = trial.fails(steps)? else { return Ok(None) };
    let mut best = steps[..mismatch.step.min(steps.len())].to_vec();
    let mut chunk = best.len().div_ceil(2).max(1);
    while trial.tries < TRIES {
        let mut at = 0;
        let mut shorter = false;
        while at < best.len() && trial.tries < TRIES {
            let end = (at + chunk).min(best.len());
            let candidate = [&best[..at], &best[end..]].concat();
            if candidate.is_empty() {
                break;
            }
            match trial.fails(&candidate)? {
                Some(found) => {
                    best = candidate;
                    best.truncate(found.step);
                    mismatch = found;
                    shorter = true;
                    tell(trial.tries, best.len());
                }
                None => at = end,
            }
        }
        if chunk == 1 && !shorter {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk.div_ceil(2).max(1) };
    }
    Ok(Some((best, mismatch)))
}
