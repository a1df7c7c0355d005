//! What a run has asked and been answered: kinds of requests and error codes, each with its count.
//!
//! A comparison says nothing of what was never asked, so a long run must have seen every kind of request
//! and every error that can be provoked.

use std::collections::BTreeMap;
use std::fmt;

use super::script::{OPS, op_name};
use super::side::Item;

/// Errors that a run is answered with. The others need an ensemble, another configuration, or a race.
const ERRORS: &[(i32, &str)] = &[
    (0, "OK"),
    (-5, "MARSHALLINGERROR"),
    (-6, "UNIMPLEMENTED"),
    (-8, "BADARGUMENTS"),
    (-101, "NONODE"),
    (-102, "NOAUTH"),
    (-103, "BADVERSION"),
    (-108, "NOCHILDRENFOREPHEMERALS"),
    (-110, "NODEEXISTS"),
    (-111, "NOTEMPTY"),
    (-114, "INVALIDACL"),
    (-115, "AUTHFAILED"),
    (-121, "NOWATCHER"),
    (-125, "QUOTAEXCEEDED"),
];

/// Counts.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    ops: BTreeMap<i32, u64>,
    errors: BTreeMap<i32, u64>,
}

impl Coverage {
    /// Counts a request and its answer.
    pub(super) fn note(&mut self, op: i32, answer: Option<&Item>) {
        *self.ops.entry(op).or_default() += 1;
        if let Some(Item::Reply { err, .. }) = answer {
            *self.errors.entry(*err).or_default() += 1;
        }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.ops, &other.ops), (&mut self.errors, &other.errors)] {
            for (key, count) in theirs {
                *mine.entry(*key).or_default() += count;
            }
        }
    }

    /// What never came up.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let ops = OPS.iter().filter(|(_, op)| !self.ops.contains_key(op)).map(|(name, _)| (*name).to_owned());
        let errors = ERRORS
            .iter()
            .filter(|(code, _)| !self.errors.contains_key(code))
            .map(|(_, name)| (*name).to_owned());
        ops.chain(errors).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "requests:")?;
        let mut unknown = 0;
        for (op, count) in &self.ops {
            match OPS.iter().find(|(_, known)| known == op) {
                Some(_) => write!(f, " {} {count},", op_name(*op))?,
                None => unknown += count,
            }
        }
        write!(f, " of unknown kinds {unknown}\nanswers:")?;
        for (code, count) in &self.errors {
            match ERRORS.iter().find(|(known, _)| known == code) {
                Some((_, name)) => write!(f, " {name} {count},")?,
                None => write!(f, " {code} {count},")?,
            }
        }
        Ok(())
    }
}
