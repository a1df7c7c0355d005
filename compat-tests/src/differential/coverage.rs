//! What a run has asked and been answered: kinds of requests and of other steps, error codes, events,
//! each with its count.
//!
//! A comparison says nothing of what was never asked, so a long run must have seen every kind of step,
//! every error that can be provoked, and every kind of event.

use std::collections::BTreeMap;
use std::fmt;

use super::script::{OPS, Step, op_name};
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

/// Steps that are no requests.
const STEPS: &[&str] = &["frame", "bytes", "connect", "drop", "expire", "restart", "word"];

/// Events by type.
const EVENTS: &[(i32, &str)] =
    &[(1, "NodeCreated"), (2, "NodeDeleted"), (3, "NodeDataChanged"), (4, "NodeChildrenChanged")];

/// Counts.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    ops: BTreeMap<i32, u64>,
    errors: BTreeMap<i32, u64>,
    events: BTreeMap<i32, u64>,
    steps: BTreeMap<String, u64>,
}

impl Coverage {
    /// Counts a request and its answer.
    pub(super) fn note(&mut self, op: i32, answer: Option<&Item>) {
        *self.ops.entry(op).or_default() += 1;
        if let Some(Item::Reply { err, .. }) = answer {
            *self.errors.entry(*err).or_default() += 1;
        }
    }

    /// Counts a step that is not a request, by the first word of its line.
    pub(super) fn note_step(&mut self, step: &Step) {
        if !matches!(step, Step::Send { .. }) {
            let line = step.to_string();
            let verb = line.split(' ').next().unwrap_or_default();
            *self.steps.entry(verb.to_owned()).or_default() += 1;
        }
    }

    /// Counts the events among what came.
    pub(super) fn note_events(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Event { kind: (event, _), .. } = item {
                *self.events.entry(*event).or_default() += 1;
            }
        }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.ops, &other.ops);
        add(&mut self.errors, &other.errors);
        add(&mut self.events, &other.events);
        add(&mut self.steps, &other.steps);
    }

    /// What never came up.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let unseen = |names: &[(i32, &'static str)], seen: &BTreeMap<i32, u64>| -> Vec<String> {
            let missing = names.iter().filter(|(number, _)| !seen.contains_key(number));
            missing.map(|(_, name)| (*name).to_owned()).collect()
        };
        let ops: Vec<_> = OPS.iter().map(|(name, op)| (*op, *name)).collect();
        let steps =
            STEPS.iter().filter(|step| !self.steps.contains_key(**step)).map(|step| (*step).to_owned());
        [unseen(&ops, &self.ops), unseen(ERRORS, &self.errors), unseen(EVENTS, &self.events), steps.collect()]
            .concat()
    }
}

fn add<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key.clone()).or_default() += count;
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
        write!(f, " of unknown kinds {unknown}\nother steps:")?;
        self.steps.iter().try_for_each(|(step, count)| write!(f, " {step} {count},"))?;
        write!(f, "\nanswers:")?;
        named(f, ERRORS, &self.errors)?;
        write!(f, "\nevents:")?;
        named(f, EVENTS, &self.events)
    }
}

/// Counts with their names, where they have one.
fn named(f: &mut fmt::Formatter<'_>, names: &[(i32, &str)], counts: &BTreeMap<i32, u64>) -> fmt::Result {
    for (number, count) in counts {
        match names.iter().find(|(known, _)| known == number) {
            Some((_, name)) => write!(f, " {name} {count},")?,
            None => write!(f, " {number} {count},")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::script::op;
    use super::*;

    #[test]
    fn what_never_came_up_is_named() {
        let mut coverage = Coverage::default();
        coverage.note(op("create"), Some(&Item::Reply { xid: 1, zxid: 1, err: -110, body: vec![] }));
        coverage.note_step(&Step::Restart);
        let missing = coverage.missing();
        for seen in ["create", "NODEEXISTS", "restart"] {
            assert!(!missing.iter().any(|name| name == seen), "{seen}");
        }
        for unseen in ["delete", "OK", "expire", "NodeCreated"] {
            assert!(missing.iter().any(|name| name == unseen), "{unseen}");
        }
    }
}
