//! One snapshot as text or JSON, sums over it, and two compared. Reference: `SnapshotFormatter`,
//! `SnapshotRecursiveSummary`, `SnapshotComparer`. Where the reference prints children in no order,
//! they come sorted here.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jute::records::data::{Acl, StatPersisted};
use jute::{SessionId, Zxid};

use super::{Result, ToolError, text};
use crate::clock::{Clock, RealClock};
use crate::disk::RealDisk;
use crate::snapshot::{FIELD_BYTES_MAX, Loaded, Visitor, load};

/// A node without its name.
struct Node {
    data: Option<Vec<u8>>,
    stat: StatPersisted,
    children: Vec<String>,
}

impl Node {
    fn data_bytes(&self) -> i64 {
        self.data.as_ref().map_or(0, Vec::len) as i64
    }
}

/// All of a snapshot. The root's path is empty.
#[derive(Default)]
struct Content {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<SessionId, i32>,
}

impl Visitor for Content {
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> std::result::Result<(), String> {
        self.sessions.insert(id, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, _id: i64, _acl: Vec<Acl>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        _acl: i64,
        stat: StatPersisted,
    ) -> std::result::Result<(), String> {
        if let Some((parent, name)) = path.rsplit_once('/') {
            let parent = self.nodes.get_mut(parent);
            parent
                .ok_or_else(|| format!("node {path:?} comes before its parent"))?
                .children
                .push(name.to_owned());
        }
        let node = Node { data: data.map(<[u8]>::to_vec), stat, children: Vec::new() };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }
}

fn read(path: &Path) -> std::result::Result<(Content, Loaded), ToolError> {
    let mut content = Content::default();
    let loaded = load(&RealDisk, path, FIELD_BYTES_MAX, &mut content)?;
    if !content.nodes.contains_key("") {
        return Err(ToolError::files(format!("{}: the snapshot has no root node", path.display())));
    }
    content.nodes.values_mut().for_each(|node| node.children.sort());
    Ok((content, loaded))
}

/// Prints every node, with its data or only the length of it, and the sessions.
///
/// # Errors
/// The snapshot is damaged.
pub fn dump(path: &Path, with_data: bool, out: &mut dyn Write) -> Result {
    let (content, loaded) = read(path)?;
    writeln!(out, "ZNode Details (count={}):", content.nodes.len() + 1)?;
    let mut zxid = loaded.zxid_from_name;
    let mut ephemerals: BTreeMap<SessionId, u64> = BTreeMap::new();
    walk(&content, &mut |path, node| {
        let stat = &node.stat;
        zxid = zxid.max(stat.mzxid).max(stat.pzxid);
        *ephemerals.entry(stat.ephemeral_owner).or_default() += 1;
        writeln!(out, "----\n{}", if path.is_empty() { "/" } else { path })?;
        writeln!(out, "  cZxid = {:#016x}\n  ctime = {}", stat.czxid.0, text::date(stat.ctime))?;
        writeln!(out, "  mZxid = {:#016x}\n  mtime = {}", stat.mzxid.0, text::date(stat.mtime))?;
        writeln!(out, "  pZxid = {:#016x}\n  cversion = {}", stat.pzxid.0, stat.cversion)?;
        writeln!(out, "  dataVersion = {}\n  aclVersion = {}", stat.version, stat.aversion)?;
        writeln!(out, "  ephemeralOwner = {:#016x}", stat.ephemeral_owner.0)?;
        if with_data {
            writeln!(out, "  data = {}", BASE64_STANDARD.encode(node.data.as_deref().unwrap_or_default()))?;
        } else {
            writeln!(out, "  dataLength = {}", node.data_bytes())?;
        }
        Ok(())
    })?;
    writeln!(out, "----\nSession Details (sid, timeout, ephemeralCount):")?;
    for (id, timeout_ms) in &content.sessions {
        writeln!(out, "{:#016x}, {timeout_ms}, {}", id.0, ephemerals.get(id).unwrap_or(&0))?;
    }
    if let Some((zxid, _, digest)) = loaded.digest {
        writeln!(out, "Target zxid digest is: {:x}, {digest}", zxid.0)?;
    }
    writeln!(out, "----\nLast zxid: 0x{:x}", zxid.max(Zxid::ZERO).0)?;
    Ok(())
}

/// Parents first, without recursion: paths may be deep.
fn walk(content: &Content, visit: &mut dyn FnMut(&str, &Node) -> Result) -> Result {
    let mut stack = vec![String::new()];
    while let Some(path) = stack.pop() {
        let Some(node) = content.nodes.get(&path) else { continue };
        visit(&path, node)?;
        stack.extend(node.children.iter().rev().map(|name| format!("{path}/{name}")));
    }
    Ok(())
}

/// Prints names and sizes in the form of the disk usage viewer ncdu. `now_ms` stands in its head.
///
/// # Errors
/// The snapshot is damaged.
pub fn json(path: &Path, now_ms: i64, out: &mut dyn Write) -> Result {
    let (content, _) = read(path)?;
    write!(
        out,
        "[1,0,{{\"progname\":\"SnapshotFormatter.java\",\"progver\":\"0.01\",\"timestamp\":{now_ms}}}"
    )?;
    let mut inode = 1000;
    let mut stack = vec![Some(String::new())];
    while let Some(next) = stack.pop() {
        let Some(path) = next else {
            write!(out, "]")?;
            continue;
        };
        let Some(node) = content.nodes.get(&path) else { continue };
        inode += 1;
        let name = path.rsplit_once('/').map_or("/", |(_, name)| name);
        let open = if node.children.is_empty() { "" } else { "[" };
        let (name, bytes) = (escaped(name), node.data_bytes());
        write!(
            out,
            ",{open}{{\"name\":\"{name}\",\"asize\":{bytes},\"dsize\":{bytes},\"dev\":0,\"ino\":{inode}}}"
        )?;
        if !node.children.is_empty() {
            stack.push(None);
            stack.extend(node.children.iter().rev().map(|name| Some(format!("{path}/{name}"))));
        }
    }
    write!(out, "]")?;
    Ok(())
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Nodes and bytes below a node, itself included in both.
#[derive(Clone, Copy, Default)]
struct Sum {
    nodes: i64,
    bytes: i64,
}

/// The sums of every node: children come after their parent in the order of paths, so from the end.
fn sums(content: &Content) -> BTreeMap<&str, Sum> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for (path, node) in content.nodes.iter().rev() {
        let sum = sums.entry(path).or_default();
        sum.nodes += 1;
        sum.bytes += node.data_bytes();
        let sum = *sum;
        if let Some((parent, _)) = path.rsplit_once('/') {
            let above = sums.entry(parent).or_default();
            above.nodes += sum.nodes;
            above.bytes += sum.bytes;
        }
    }
    sums
}

/// Prints children and bytes below each node that has children, `max_depth` levels deep; 0 for all.
///
/// # Errors
/// The snapshot is damaged, or has no such node.
pub fn summary(path: &Path, start: &str, max_depth: usize, out: &mut dyn Write) -> Result {
    let (content, _) = read(path)?;
    let sums = sums(&content);
    let root = if start == "/" { "" } else { start };
    if !content.nodes.contains_key(root) {
        return Err(ToolError::call(format!("{start}: no such node in {}", path.display())));
    }
    let mut stack = vec![(root.to_owned(), 0)];
    while let Some((path, level)) = stack.pop() {
        let Some(node) = content.nodes.get(&path).filter(|node| !node.children.is_empty()) else { continue };
        if max_depth > 0 && level > max_depth {
            continue;
        }
        let (tab, sum) = ("--".repeat(level), sums.get(path.as_str()).copied().unwrap_or_default());
        let name = if path.is_empty() { "/" } else { &path };
        writeln!(out, "{tab} {name}\n{tab}   children: {}\n{tab}   data: {}", sum.nodes - 1, sum.bytes)?;
        stack.extend(node.children.iter().rev().map(|name| (format!("{path}/{name}"), level + 1)));
    }
    writeln!(out)?;
    Ok(())
}

/// When a difference is worth a line.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Differences of more bytes.
    pub bytes: i64,
    /// Differences of more nodes.
    pub nodes: i64,
    /// Print also what is filtered out.
    pub debug: bool,
}

/// Prints where two snapshots differ, level by level.
///
/// # Errors
/// A snapshot is damaged.
pub fn compare(left: &Path, right: &Path, thresholds: Thresholds, out: &mut dyn Write) -> Result {
    writeln!(out, "Successfully parsed options!")?;
    let mut timed = |path: &Path| -> std::result::Result<Content, ToolError> {
        let began = RealClock.now_ms();
        let (content, _) = read(path)?;
        let (name, took) =
            (path.file_name().unwrap_or_default().to_string_lossy(), RealClock.now_ms() - began);
        writeln!(out, "Deserialized snapshot in {name} in {}.{:03}000 seconds", took / 1000, took % 1000)?;
        Ok(content)
    };
    let (left, right) = (timed(left)?, timed(right)?);
    let (left, right) = (sums(&left), sums(&right));
    let depth = |path: &str| path.matches('/').count();
    let mut levels = 0;
    for side in [&left, &right] {
        let max = side.keys().map(|path| depth(path) + 1).max().unwrap_or(0);
        levels = levels.max(max);
        writeln!(out, "Node count: {}", side.len())?;
        writeln!(out, "Total size: {}\nMax depth: {max}", side.get("").map_or(0, |sum| sum.bytes))?;
        for level in 0..max {
            let count = side.keys().filter(|path| depth(path) == level).count();
            writeln!(out, "Count of nodes at depth {level}: {count}")?;
        }
        writeln!(out)?;
    }
    let Thresholds { bytes, nodes, debug } = thresholds;
    writeln!(
        out,
        "Printing analysis for nodes difference larger than {bytes} bytes or node count difference larger than \
         {nodes}."
    )?;
    for level in 0..levels {
        writeln!(out, "Analysis for depth {level}")?;
        let at_level = |path: &&&str| depth(path) == level;
        let mut paths: Vec<&str> = left.keys().chain(right.keys()).filter(at_level).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            match (left.get(path), right.get(path)) {
                (Some(left), Some(right)) => {
                    let (size, count) = (right.bytes - left.bytes, right.nodes - left.nodes);
                    if size.abs() > bytes || count.abs() > nodes {
                        writeln!(
                            out,
                            "Node {path} found in both trees. Delta: {size} bytes, {count} descendants"
                        )?;
                    } else if debug {
                        let (left, right) = (left.bytes, right.bytes);
                        writeln!(out, "Filtered node {path} of left size {left}, right size {right}")?;
                    }
                }
                (Some(only), None) => one_side("left", path, *only, thresholds, out)?,
                (None, Some(only)) => one_side("right", path, *only, thresholds, out)?,
                (None, None) => {}
            }
        }
    }
    writeln!(out, "All layers compared.")?;
    Ok(())
}

fn one_side(side: &str, path: &str, sum: Sum, thresholds: Thresholds, out: &mut dyn Write) -> Result {
    let (bytes, below) = (sum.bytes, sum.nodes - 1);
    if bytes > thresholds.bytes || below > thresholds.nodes {
        writeln!(
            out,
            "Node {path} found only in {side} tree. Descendant size: {bytes}. Descendant count: {below}"
        )?;
    } else if thresholds.debug {
        writeln!(out, "Filtered {side} node {path} of size {bytes}")?;
    }
    Ok(())
}
