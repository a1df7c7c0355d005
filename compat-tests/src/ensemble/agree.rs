//! Whether the servers of an ensemble hold the same: nodes with their stats and access control lists, sessions, and
//! what they count of each other's digests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use super::status::mntr;
use super::{Ensemble, Load, Sync};
use crate::four_letter;
use crate::wire::{Body, Client, op, request};

/// Written by each server from its own configuration at its own time.
const CONFIG: &str = "/zookeeper/config";
/// Where the stat of that node has its modification time.
const MTIME: std::ops::Range<usize> = 24..32;
const STAT_BYTES: usize = 68;
const SHOWN: usize = 10;

/// What one server holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Data, stat and access control list of each node, by path.
    pub tree: BTreeMap<String, Vec<u8>>,
    /// Ids of the sessions it knows.
    pub sessions: BTreeSet<String>,
}

/// Looks at every server that runs, each through a session at that server.
pub fn pictures(ensemble: &mut Ensemble) -> Result<Vec<Picture>> {
    ensemble.settle()?;
    let mut trees = Vec::new();
    for at in ensemble.running() {
        let addr = ensemble.members()[at].addr();
        trees.push(tree(addr).with_context(|| format!("the tree of {}", ensemble.members()[at]))?);
    }
    ensemble.settle()?;
    let mut pictures = Vec::new();
    for (at, tree) in ensemble.running().into_iter().zip(trees) {
        let sessions = sessions(ensemble.members()[at].addr())?;
        pictures.push(Picture { tree, sessions });
    }
    Ok(pictures)
}

/// Fails unless every server that runs holds the same as the first.
pub fn assert_same(ensemble: &mut Ensemble) -> Result<Picture> {
    let pictures = pictures(ensemble)?;
    let names: Vec<String> =
        ensemble.running().iter().map(|at| ensemble.members()[*at].to_string()).collect();
    let mut rest = names.iter().zip(pictures);
    let (first_name, first) = rest.next().context("no server runs")?;
    for (name, picture) in rest {
        let mut differing: Vec<String> = Vec::new();
        let paths: BTreeSet<&String> = first.tree.keys().chain(picture.tree.keys()).collect();
        for path in paths {
            let (a, b) = (first.tree.get(path), picture.tree.get(path));
            if a != b {
                let shown = |bytes: Option<&Vec<u8>>| {
                    bytes.map_or_else(|| String::from("nothing"), |bytes| bytes.escape_ascii().to_string())
                };
                differing.push(format!("{path}:\n  {first_name} {}\n  {name} {}", shown(a), shown(b)));
            }
        }
        if !differing.is_empty() {
            let count = differing.len();
            differing.truncate(SHOWN);
            bail!("{first_name} and {name} differ in {count} nodes:\n{}", differing.join("\n"));
        }
        ensure!(
            first.sessions == picture.sessions,
            "{first_name} has the sessions {:?}, {name} {:?}",
            first.sessions,
            picture.sessions
        );
    }
    Ok(first)
}

/// Digests that each server that runs has compared with its tree and found different.
pub fn mismatches(ensemble: &Ensemble) -> Result<Vec<u64>> {
    let counted = |at: usize| {
        let member = &ensemble.members()[at];
        let mntr = mntr(member.addr())?;
        let count = mntr.get("zk_digest_mismatches_count").with_context(|| format!("mntr of {member}"))?;
        count.parse().with_context(|| format!("{member} counts {count:?} mismatches"))
    };
    ensemble.running().into_iter().map(counted).collect()
}

/// Fails if a server has found a digest different from its tree's. Only one that took a snapshot from its leader
/// under load may have: what follows on such a snapshot is partly in it already, and is compared nevertheless. It
/// must not go on doing so, which `writes` shows, writes that all servers get in step.
pub fn assert_no_mismatches(ensemble: &mut Ensemble, writes: u64) -> Result<()> {
    let before = mismatches(ensemble)?;
    for (at, count) in ensemble.running().into_iter().zip(&before) {
        let member = &ensemble.members()[at];
        ensure!(
            *count == 0 || member.syncs().contains(&Sync::Snap),
            "{member} took no snapshot and counted {count} digests that its tree did not have"
        );
    }
    let load = Load { sessions: 2, ..Load::default() }.start(&ensemble.addrs(), "/digests");
    load.wait_for(writes)?;
    load.stop()?;
    ensemble.settle()?;
    let after = mismatches(ensemble)?;
    ensure!(before == after, "digests that the trees did not have: {before:?} before, {after:?} after");
    Ok(())
}

fn tree(addr: SocketAddr) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut client = Client::connect(addr, 30_000)?;
    let mut tree = BTreeMap::new();
    let mut level = vec![String::from("/")];
    while !level.is_empty() {
        let mut next = Vec::new();
        for part in level.chunks(128) {
            let asked = part.iter().flat_map(|path| {
                let data = request(1, op::GET_DATA, &Body::path_and_watch(path, false));
                let acl = request(2, op::GET_ACL, &Body::new().string(path));
                [data, acl, request(3, op::GET_CHILDREN, &Body::path_and_watch(path, false))].concat()
            });
            client.send_bytes(&asked.collect::<Vec<_>>())?;
            for path in part {
                let data = client.receive()?;
                let acl = client.receive()?;
                let children = client.receive()?;
                ensure!(data.err == 0 && children.err == 0, "{path}: {} {}", data.err, children.err);
                let (mut data, mut acl) = (data.body, acl.body);
                if path == CONFIG {
                    blank_mtime(&mut data)?;
                    blank_mtime(&mut acl)?;
                }
                data.extend(acl);
                tree.insert(path.clone(), data);
                let parent = if path == "/" { "" } else { path };
                let mut rest = children.body.get(4..).context("children without a count")?;
                while let Some((length, behind)) = rest.split_first_chunk::<4>() {
                    let length = i32::from_be_bytes(*length) as usize;
                    let name = behind.get(..length).context("a name shorter than it says")?;
                    next.push(format!("{parent}/{}", String::from_utf8_lossy(name)));
                    rest = &behind[length..];
                }
            }
        }
        level = next;
    }
    client.call(4, op::CLOSE_SESSION, &Body::new())?;
    Ok(tree)
}

/// Takes the modification time out of an answer that ends with a stat.
fn blank_mtime(answer: &mut [u8]) -> Result<()> {
    let stat = answer.last_chunk_mut::<STAT_BYTES>().context("an answer without a stat")?;
    stat[MTIME].fill(0);
    Ok(())
}

/// Session ids in the part of `dump` that tells which sessions there are.
fn sessions(addr: SocketAddr) -> Result<BTreeSet<String>> {
    let dump = four_letter::ask(addr, "dump")?;
    let (known, _) =
        dump.split_once("ephemeral nodes dump").with_context(|| format!("dump of {addr}:\n{dump}"))?;
    let ids = known.split_whitespace().filter(|word| word.starts_with("0x"));
    Ok(ids.map(|id| id.trim_end_matches(':').to_owned()).collect())
}
