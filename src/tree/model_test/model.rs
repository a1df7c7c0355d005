//! A tree as a map of paths. Nothing is kept that can be computed.

use std::collections::{BTreeMap, BTreeSet};

use jute::records::data::{Acl, Id, Stat, StatPersisted};
use jute::records::txn::{CreateTxn, TxnHeader};
use jute::txn::TxnBody;
use jute::{Code, OpCode, SessionId, Zxid};

use super::Contents;
use crate::tree::{Applied, OwnerRules};

const QUOTA: &str = "/zookeeper/quota";

#[derive(Clone, Debug, Default)]
pub(super) struct ModelNode {
    data: Option<Vec<u8>>,
    /// `None` is the open list that needs no entry.
    acl: Option<Vec<Acl>>,
    stat: StatPersisted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Persistent,
    Ephemeral,
    Container,
    Ttl,
}

pub(super) struct Model {
    rules: OwnerRules,
    /// The root is the empty path.
    nodes: BTreeMap<String, ModelNode>,
    quotas: BTreeSet<String>,
    last_zxid: Zxid,
    /// Usage text is written without being counted into the size of the data.
    uncounted: i64,
    events: Vec<String>,
}

fn open_list() -> Vec<Acl> {
    vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }]
}

fn key(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

fn parent_of(path: &str) -> Option<&str> {
    path.rfind('/').map(|slash| &path[..slash])
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

fn is_within(path: &str, root: &str) -> bool {
    path == root || path.strip_prefix(root).is_some_and(|below| below.starts_with('/'))
}

impl Model {
    pub(super) fn new(rules: OwnerRules) -> Self {
        let empty = || ModelNode { data: Some(Vec::new()), ..ModelNode::default() };
        let mut nodes: BTreeMap<_, _> =
            ["", "/zookeeper", QUOTA].map(|path| (path.to_owned(), empty())).into();
        let readable = open_list().into_iter().map(|acl| Acl { perms: 1, ..acl }).collect();
        let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
        nodes.insert("/zookeeper/config".into(), ModelNode { acl: Some(readable), stat, ..empty() });
        Self { rules, nodes, quotas: BTreeSet::new(), last_zxid: Zxid(0), uncounted: 0, events: Vec::new() }
    }

    pub(super) fn node(&self, path: &str) -> Option<&ModelNode> {
        self.nodes.get(key(path))
    }

    /// What was applied, and the events it caused.
    pub(super) fn apply(&mut self, header: &TxnHeader, body: TxnBody) -> (Applied, Vec<String>) {
        let applied = self.part(header, body);
        self.last_zxid = self.last_zxid.max(header.zxid);
        (applied, std::mem::take(&mut self.events))
    }

    fn part(&mut self, header: &TxnHeader, body: TxnBody) -> Applied {
        let op = body.op();
        let session = |ephemeral: bool| if ephemeral { header.client_id.0 } else { 0 };
        let applied = match body {
            TxnBody::Create(txn) => {
                let (owner, cversion) = (session(txn.ephemeral), txn.parent_cversion);
                let mut applied = self.create(header, txn, owner);
                if applied.code == Code::NODE_EXISTS {
                    let parent = parent_of(&applied.path).unwrap().to_owned();
                    if !self.raise_cversion(&parent, cversion, header.zxid) {
                        applied.code = Code::NO_NODE;
                    }
                }
                applied
            }
            TxnBody::Create2(txn) => {
                let owner = session(txn.ephemeral);
                self.create(header, txn, owner)
            }
            TxnBody::CreateContainer(txn) => {
                let (path, data, acl) = (txn.path, txn.data, txn.acl);
                let parent_cversion = txn.parent_cversion;
                self.create(
                    header,
                    CreateTxn { path, data, acl, ephemeral: false, parent_cversion },
                    i64::MIN,
                )
            }
            TxnBody::CreateTtl(txn) => {
                let owner = 0xFF00_0000_0000_0000_u64.cast_signed() | txn.ttl;
                let (path, data, acl) = (txn.path, txn.data, txn.acl);
                let parent_cversion = txn.parent_cversion;
                self.create(header, CreateTxn { path, data, acl, ephemeral: false, parent_cversion }, owner)
            }
            TxnBody::Delete(txn) | TxnBody::DeleteContainer(txn) => {
                let path = txn.path.unwrap_or_default();
                let code = self.delete(&path, header.zxid);
                Applied { path, code, ..Applied::default() }
            }
            TxnBody::SetData(txn) | TxnBody::Reconfig(txn) => {
                let path = txn.path.unwrap_or_default();
                let found = self.set_data(&path, txn.data, txn.version, header);
                self.with_stat(path, found)
            }
            TxnBody::SetAcl(txn) => {
                let path = txn.path.unwrap_or_default();
                let node = self.nodes.get_mut(key(&path));
                let found = node.is_some();
                if let Some(node) = node {
                    node.acl = txn.acl;
                    node.stat.aversion = txn.version;
                }
                self.with_stat(path, found)
            }
            TxnBody::Check(txn) => Applied { path: txn.path.unwrap_or_default(), ..Applied::default() },
            TxnBody::Error(txn) => Applied { code: Code(txn.err), ..Applied::default() },
            TxnBody::CreateSession(_) => Applied::default(),
            TxnBody::CloseSession(txn) => {
                let listed = txn.and_then(|txn| txn.paths2delete).unwrap_or_default();
                let owned = self.ephemerals().remove(&header.client_id).unwrap_or_default();
                for path in listed.iter().flatten() {
                    self.delete(path, header.zxid);
                }
                for path in owned {
                    if !listed.contains(&Some(path.clone())) {
                        self.delete(&path, header.zxid);
                    }
                }
                Applied::default()
            }
            TxnBody::Multi(parts) => self.multi(header, parts),
        };
        Applied { op, ..applied }
    }

    fn multi(&mut self, header: &TxnHeader, parts: Vec<TxnBody>) -> Applied {
        let first_error = parts.iter().position(|part| part.op() == OpCode::ERROR);
        let mut applied = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            applied.push(match first_error {
                Some(first) if part.op() != OpCode::ERROR => {
                    let code = if index > first { Code::RUNTIME_INCONSISTENCY } else { Code::OK };
                    Applied { op: OpCode::ERROR, code, ..Applied::default() }
                }
                _ => self.part(header, part),
            });
        }
        let code = applied.iter().map(|part| part.code).find(|code| code.0 != 0).unwrap_or(Code::OK);
        Applied { code, parts: applied, ..Applied::default() }
    }

    fn create(&mut self, header: &TxnHeader, txn: CreateTxn, owner: i64) -> Applied {
        let path = txn.path.unwrap_or_default();
        let no_node = Applied { path: path.clone(), code: Code::NO_NODE, ..Applied::default() };
        let Some(parent) = parent_of(&path).filter(|parent| self.nodes.contains_key(*parent)) else {
            return no_node;
        };
        if let Some(existing) = self.nodes.get_mut(key(&path)) {
            existing.acl = txn.acl;
            return Applied { path, code: Code::NODE_EXISTS, ..Applied::default() };
        }
        let parent = parent.to_owned();
        self.raise_cversion(&parent, txn.parent_cversion, header.zxid);
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: SessionId(owner),
            ..StatPersisted::default()
        };
        let bytes = txn.data.as_ref().map_or(0, Vec::len) as i64;
        self.nodes.insert(path.clone(), ModelNode { data: txn.data, acl: txn.acl, stat });
        let stat = self.stat(&path);
        if parent.starts_with(QUOTA) && name_of(&path) == "zookeeper_limits" && parent != QUOTA {
            self.quotas.insert(parent[QUOTA.len()..].to_owned());
        }
        if parent.starts_with(QUOTA) && name_of(&path) == "zookeeper_stats" {
            let governed = &parent[QUOTA.len()..];
            let within = |path: &&String| self.nodes.contains_key(governed) && is_within(path, governed);
            let (mut count, mut bytes) = (0, 0);
            for path in self.nodes.keys().filter(within) {
                count += 1;
                bytes += self.nodes[path].data.as_ref().map_or(0, Vec::len);
            }
            self.write_usage(&path, format!("count={count},bytes={bytes}"));
        }
        self.count_usage(&path, 1, bytes);
        self.events.push(format!("created {path:?} {:?} {:?}", self.list(&path), self.list(&parent)));
        Applied { path, stat, ..Applied::default() }
    }

    fn delete(&mut self, path: &str, zxid: Zxid) -> Code {
        let Some(parent) = parent_of(path) else { return Code::NO_NODE };
        let Some(node) = self.nodes.get_mut(key(parent)) else { return Code::NO_NODE };
        node.stat.pzxid = node.stat.pzxid.max(zxid);
        if key(path).is_empty() || !self.nodes.contains_key(path) {
            return Code::NO_NODE;
        }
        let event = format!("deleted {path:?} {:?} {:?}", self.list(path), self.list(parent));
        let bytes = self.nodes[path].data.as_ref().map_or(0, Vec::len) as i64;
        // What lies below goes too, though no server would log such a deletion.
        let gone: Vec<_> = self.nodes.keys().filter(|other| is_within(other, path)).cloned().collect();
        for path in gone {
            self.nodes.remove(&path);
            let parent = parent_of(&path).unwrap();
            if parent.starts_with("/zookeeper") && name_of(&path) == "zookeeper_limits" {
                self.quotas.remove(parent.strip_prefix(QUOTA).unwrap_or(parent));
            }
        }
        self.count_usage(path, -1, -bytes);
        self.events.push(event);
        Code::OK
    }

    fn set_data(&mut self, path: &str, data: Option<Vec<u8>>, version: i32, header: &TxnHeader) -> bool {
        let Some(node) = self.nodes.get_mut(key(path)) else { return false };
        let length = |data: &Option<Vec<u8>>| data.as_ref().map_or(0, Vec::len) as i64;
        let more = length(&data) - length(&node.data);
        node.data = data;
        node.stat.version = version;
        node.stat.mzxid = header.zxid;
        node.stat.mtime = header.time;
        self.count_usage(path, 0, more);
        self.events.push(format!("changed {path:?} {:?}", self.list(path)));
        true
    }

    /// False when there is no such node.
    fn raise_cversion(&mut self, path: &str, cversion: i32, zxid: Zxid) -> bool {
        let Some(node) = self.nodes.get_mut(key(path)) else { return false };
        let raised = if cversion == -1 { node.stat.cversion.wrapping_add(1) } else { cversion };
        if raised > node.stat.cversion {
            node.stat.cversion = raised;
            node.stat.pzxid = zxid;
        }
        true
    }

    fn count_usage(&mut self, path: &str, nodes: i64, bytes: i64) {
        let Some(governed) = self.governing(path).map(str::to_owned) else { return };
        let usage = format!("{QUOTA}{governed}/zookeeper_stats");
        let Some(node) = self.nodes.get(&usage) else { return };
        let text = String::from_utf8_lossy(node.data.as_deref().unwrap_or_default()).into_owned();
        let mut values = BTreeMap::new();
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut halves = pair.split('=');
            let name = halves.next().unwrap().to_owned();
            values.insert(name, halves.next().and_then(|value| value.parse::<i64>().ok()).unwrap_or(-1));
        }
        let count = values.remove("count").unwrap_or(-1).wrapping_add(nodes);
        let bytes = values.remove("bytes").unwrap_or(-1).wrapping_add(bytes);
        let others: String = values.iter().map(|(name, value)| format!(";{name}={value}")).collect();
        let stray = if others.is_empty() { "" } else { "=" };
        self.write_usage(&usage, format!("count={count},bytes={bytes}{stray}{others}"));
    }

    fn write_usage(&mut self, path: &str, text: String) {
        let node = self.nodes.get_mut(path).unwrap();
        self.uncounted += text.len() as i64 - node.data.as_ref().map_or(0, Vec::len) as i64;
        node.data = Some(text.into_bytes());
    }

    /// The deepest path with a quota on the way from the root to `path`.
    pub(super) fn governing<'a>(&self, path: &'a str) -> Option<&'a str> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.map(|end| &path[..end]).rfind(|prefix| *prefix != "/" && self.quotas.contains(*prefix))
    }

    fn with_stat(&self, path: String, found: bool) -> Applied {
        let code = if found { Code::OK } else { Code::NO_NODE };
        Applied { code, stat: self.stat(&path), path, ..Applied::default() }
    }

    fn kind(&self, owner: i64) -> Kind {
        let bytes = owner.to_be_bytes();
        let is_old_ttl = self.rules.emulate_353 && owner < 0 && owner != i64::MIN && bytes[0] != 0xFF;
        let is_ttl = bytes[0] == 0xFF && bytes[1] == 0 && bytes[2] == 0;
        match owner {
            _ if self.rules.extended_types && (is_old_ttl || is_ttl) => Kind::Ttl,
            0 => Kind::Persistent,
            i64::MIN => Kind::Container,
            _ => Kind::Ephemeral,
        }
    }

    fn of_kind(&self, kind: Kind) -> BTreeSet<String> {
        let is_one = |node: &ModelNode| self.kind(node.stat.ephemeral_owner.0) == kind;
        self.nodes.iter().filter(|(_, node)| is_one(node)).map(|(path, _)| path.clone()).collect()
    }

    fn ephemerals(&self) -> BTreeMap<SessionId, BTreeSet<String>> {
        let mut ephemerals: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for path in self.of_kind(Kind::Ephemeral) {
            ephemerals.entry(self.nodes[&path].stat.ephemeral_owner).or_default().insert(path);
        }
        ephemerals
    }

    fn list(&self, path: &str) -> Vec<Acl> {
        self.nodes[key(path)].acl.clone().unwrap_or_else(open_list)
    }

    pub(super) fn distinct_lists(&self) -> usize {
        let lists: std::collections::HashSet<_> =
            self.nodes.values().filter_map(|node| node.acl.as_ref()).collect();
        lists.len()
    }

    pub(super) fn descendants(&self, path: &str) -> usize {
        self.nodes.keys().filter(|other| is_within(other, key(path))).count() - 1
    }

    pub(super) fn stat(&self, path: &str) -> Option<Stat> {
        let node = self.node(path)?;
        let stat = &node.stat;
        let children =
            self.nodes.keys().filter(|other| !other.is_empty() && parent_of(other) == Some(key(path)));
        let num_children = children.count() as i32;
        let is_ephemeral = self.kind(stat.ephemeral_owner.0) == Kind::Ephemeral;
        Some(Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            version: stat.version,
            cversion: stat.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: stat.aversion,
            ephemeral_owner: if is_ephemeral { stat.ephemeral_owner } else { SessionId(0) },
            data_length: node.data.as_ref().map_or(0, Vec::len) as i32,
            num_children,
            pzxid: stat.pzxid,
        })
    }

    pub(super) fn data_size(&self) -> i64 {
        let size = |(path, node): (&String, &ModelNode)| {
            path.encode_utf16().count() as i64 + node.data.as_ref().map_or(0, Vec::len) as i64
        };
        self.nodes.iter().map(size).sum::<i64>() + 1 - self.uncounted
    }

    pub(super) fn contents(&self) -> Contents {
        let entry = |(path, node): (&String, &ModelNode)| {
            (path.clone(), (node.data.clone(), self.list(path), node.stat.clone()))
        };
        Contents {
            nodes: self.nodes.iter().map(entry).collect(),
            ephemerals: self.ephemerals(),
            containers: self.of_kind(Kind::Container),
            ttls: self.of_kind(Kind::Ttl),
            quotas: self.quotas.clone(),
            digest: self.digest(),
            last_zxid: self.last_zxid,
        }
    }

    /// Sum of a CRC-32 for each node outside of `/zookeeper/`.
    fn digest(&self) -> u64 {
        let counted = self.nodes.iter().filter(|(path, _)| !path.starts_with("/zookeeper/"));
        counted.fold(0, |sum: u64, (path, node)| {
            let stat = &node.stat;
            let mut bytes = path.as_bytes().to_vec();
            bytes.extend(node.data.iter().flatten());
            for long in [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime, stat.mtime] {
                bytes.extend(long.to_be_bytes());
            }
            for int in [stat.version, stat.cversion, stat.aversion] {
                bytes.extend(int.to_be_bytes());
            }
            bytes.extend(stat.ephemeral_owner.0.to_be_bytes());
            sum.wrapping_add(crc32(&bytes).into())
        })
    }
}

/// Bit by bit, as the polynomial division it is.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
