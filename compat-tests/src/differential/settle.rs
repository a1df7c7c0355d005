//! The end of a seed: everything there is to see is compared, then swept away for the next one.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::generate::SLOTS;
use super::pair::{Mismatch, Pair, story};
use super::script::{Field, op};
use super::side::{ADMIN, Item};
use crate::compare::judged;
use crate::server::Kind;

/// Words whose answers are compared.
const WORDS: [&str; 6] = ["srvr", "mntr", "wchs", "wchp", "dump", "isro"];
/// Nodes of a script's tree, at most; there to end a walk that does not end.
const NODES_MAX: usize = 200_000;

impl Pair {
    /// Compares the whole tree, words and the ends of all sessions, and removes what a script left.
    pub fn settle(&mut self, step: usize) -> Result<Option<Mismatch>> {
        let (paths, mismatch) = self.compare_tree(step)?;
        if mismatch.is_some() {
            return Ok(mismatch);
        }
        for word in WORDS {
            let came = self.word(word)?;
            if came[0] != came[1] {
                return Ok(Some(Mismatch { step, story: format!("at the end, {word}:\n{}", story(&came)) }));
            }
        }
        // The reference mispredicts its own digest at times; the judged server must not.
        let own = self.sides[1].server.ask("mntr")?;
        let mispredicted = own.lines().find(|line| line.starts_with("zk_digest_mismatches_count"));
        if mispredicted.is_some_and(|line| !line.ends_with("\t0")) && judged() == Kind::Oxkeeper {
            return Ok(Some(Mismatch { step, story: format!("at the end: {mispredicted:?}\n") }));
        }
        self.sweep_away(&paths, step)
    }

    /// Compares every node: children, data, stat, list. Returns the paths, parents first.
    fn compare_tree(&mut self, step: usize) -> Result<(Vec<String>, Option<Mismatch>)> {
        let mut paths = vec!["/".to_owned()];
        let mut at = 0;
        while at < paths.len() {
            let path = paths[at].clone();
            at += 1;
            let named = Field::Text(path.clone());
            let requests = [
                (op("getChildren2"), vec![named.clone(), Field::Byte(0)]),
                (op("getData"), vec![named.clone(), Field::Byte(0)]),
                (op("getACL"), vec![named]),
            ];
            let mut story_of_all = String::new();
            for (kind, body) in &requests {
                let items = self.both(ADMIN, *kind, body)?;
                if *kind == op("getChildren2") {
                    paths.extend(
                        children(&items[0])
                            .into_iter()
                            .map(|name| format!("{}/{name}", path.trim_end_matches('/'))),
                    );
                }
                if items[0] != items[1] {
                    let _ = write!(story_of_all, "{}", story(&items.map(|item| vec![item])));
                }
            }
            if !story_of_all.is_empty() {
                return Ok((
                    paths,
                    Some(Mismatch { step, story: format!("at the end, node {path}:\n{story_of_all}") }),
                ));
            }
            if paths.len() > NODES_MAX {
                bail!("the tree has more than {NODES_MAX} nodes");
            }
        }
        Ok((paths, None))
    }

    fn sweep_away(&mut self, paths: &[String], step: usize) -> Result<Option<Mismatch>> {
        for slot in 0..SLOTS {
            if self.sides[0].is_open(slot) {
                let items = self.both(slot, op("closeSession"), &[])?;
                for side in &mut self.sides {
                    drop(side.take(slot));
                }
                if items[0] != items[1] && !items.iter().any(|item| matches!(item, Item::Event { .. })) {
                    return Ok(Some(Mismatch { step, story: story(&items.map(|item| vec![item])) }));
                }
            }
        }
        let kept = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
        for path in paths.iter().rev().filter(|path| !kept.contains(&path.as_str())) {
            let items = self.both(ADMIN, op("delete"), &[Field::Text(path.clone()), Field::Int(-1)])?;
            if items[0] != items[1] {
                return Ok(Some(Mismatch {
                    step,
                    story: format!("deleting {path}:\n{}", story(&items.map(|item| vec![item]))),
                }));
            }
        }
        // What may have been shut is opened again.
        for path in kept {
            let mut body = vec![Field::Text(path.into()), Field::Int(1), Field::Int(31)];
            body.extend([Field::Text("world".into()), Field::Text("anyone".into()), Field::Int(-1)]);
            self.both(ADMIN, op("setACL"), &body)?;
            self.both(
                ADMIN,
                op("setData"),
                &[Field::Text(path.into()), Field::Text(String::new()), Field::Int(-1)],
            )?;
        }
        Ok(None)
    }
}

fn children(item: &Item) -> Vec<String> {
    let Item::Reply { body, err: 0, .. } = item else { return Vec::new() };
    let int = |at: usize| {
        let bytes = body.get(at..at + 4)?;
        usize::try_from(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).ok()
    };
    let mut names = Vec::new();
    let mut at = 4;
    for _ in 0..int(0).unwrap_or(0) {
        let Some(length) = int(at) else { break };
        let Some(name) = body.get(at + 4..at + 4 + length) else { break };
        names.push(String::from_utf8_lossy(name).into_owned());
        at += 4 + length;
    }
    names
}
