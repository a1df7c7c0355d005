//! A node and what its owner field means (reference: `DataNode`, `EphemeralType`).

use jute::records::data::{Stat, StatPersisted};
use jute::{SessionId, Zxid};

use super::content::Content;
use super::digest;

/// The owner of every container node.
pub const CONTAINER_OWNER: i64 = i64::MIN;
/// Top byte of owners that encode an extended type.
const EXTENDED_MASK: i64 = 0xFF00_0000_0000_0000_u64.cast_signed();
/// Two bytes that name the extended type; zero is TTL.
const RESERVED_MASK: i64 = 0x00FF_FF00_0000_0000;
/// The longest time to live: 2^40 - 1 milliseconds.
pub const TTL_MAX_MS: i64 = 0xFF_FFFF_FFFF;

/// How owner fields are read; a switch of the reference that changes the meaning of stored bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnerRules {
    /// `extendedTypesEnabled`: the top byte 0xFF marks a TTL.
    pub extended_types: bool,
    /// `emulate353TTLNodes`: also read the encoding that 3.5.3 used.
    pub emulate_353: bool,
}

/// What an owner field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A persistent node.
    None,
    /// An ephemeral node of this session.
    Session(SessionId),
    /// A container.
    Container,
    /// A node with a time to live in milliseconds.
    Ttl(i64),
}

impl Owner {
    /// Reads an owner field.
    #[must_use]
    pub const fn from_field(field: SessionId, rules: OwnerRules) -> Self {
        let raw = field.0;
        if rules.extended_types {
            if rules.emulate_353 && raw < 0 && raw != CONTAINER_OWNER && raw & EXTENDED_MASK != EXTENDED_MASK
            {
                return Self::Ttl(raw & TTL_MAX_MS);
            }
            if raw & EXTENDED_MASK == EXTENDED_MASK && raw & RESERVED_MASK == 0 {
                return Self::Ttl(raw & TTL_MAX_MS);
            }
        }
        match raw {
            0 => Self::None,
            CONTAINER_OWNER => Self::Container,
            _ => Self::Session(field),
        }
    }

    /// The field that stores this owner.
    #[must_use]
    pub const fn to_field(self) -> SessionId {
        match self {
            Self::None => SessionId(0),
            Self::Session(id) => id,
            Self::Container => SessionId(CONTAINER_OWNER),
            Self::Ttl(ms) => SessionId(EXTENDED_MASK | ms),
        }
    }
}

/// Where a node lives in the tree's slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// The root.
    pub const ROOT: Self = Self(0);
}

/// One node. Kept small: a million of them are counted in hundreds of megabytes.
#[derive(Debug)]
pub struct Node {
    pub(super) content: Content,
    /// What a node without children mostly lacks.
    rare: Option<Box<Rare>>,
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    pub(super) version: i32,
    pub(super) acl: super::AclSlot,
    pub(super) parent: NodeId,
    /// Index in the parent's `children`.
    pub(super) position: u32,
    /// Hash of the full path, kept for rehashing.
    pub(super) path_hash: u32,
    /// CRC-32 of path and data: the part of the digest that changes only with the data.
    pub(super) content_crc: u32,
}

// What a node without children takes beside its name and data.
const _: () = assert!(size_of::<Option<Node>>() <= 80);

/// The part of a node that is made when it first differs from what a new persistent node has.
#[derive(Debug)]
pub(super) struct Rare {
    /// Order is arbitrary.
    pub(super) children: Vec<NodeId>,
    /// At first the node's `czxid`.
    pub(super) pzxid: Zxid,
    /// Creations of children; clients are shown creations plus deletions.
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    pub(super) owner: SessionId,
    /// Number of all nodes below it.
    pub(super) nodes_below: u32,
    /// Data of all nodes below it.
    pub(super) bytes_below: u64,
}

impl Rare {
    /// What a node without it has.
    const fn plain(pzxid: Zxid) -> Self {
        Self {
            children: Vec::new(),
            pzxid,
            cversion: 0,
            aversion: 0,
            owner: SessionId(0),
            nodes_below: 0,
            bytes_below: 0,
        }
    }
}

impl Node {
    /// A node with this stat, not yet linked to others.
    pub(super) fn new(path: &str, data: Option<&[u8]>, acl: super::AclSlot, stat: &StatPersisted) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        let StatPersisted { czxid, mzxid, ctime, mtime, version, cversion, aversion, .. } = *stat;
        let (pzxid, owner) = (stat.pzxid, stat.ephemeral_owner);
        let is_plain = pzxid == czxid && owner.0 == 0 && cversion == 0 && aversion == 0;
        let rare = (!is_plain).then(|| Box::new(Rare { cversion, aversion, owner, ..Rare::plain(pzxid) }));
        Self {
            content: Content::new(name, data),
            rare,
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            acl,
            parent: NodeId::ROOT,
            position: 0,
            path_hash: 0,
            content_crc: digest::content_crc(path, data),
        }
    }

    /// What most nodes lack, to be changed.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        let pzxid = self.czxid;
        self.rare.get_or_insert_with(|| Box::new(Rare::plain(pzxid)))
    }

    /// The data; `None` is null, which clients can tell from empty.
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        self.content.data()
    }

    /// The last component of its path; empty for the root.
    ///
    /// # Panics
    /// Never: names are taken as text only.
    #[must_use]
    pub fn name(&self) -> &str {
        str::from_utf8(self.content.name()).expect("a name was text when it was taken")
    }

    /// The last component of its path as UTF-8, for those who need not look at the characters.
    #[inline]
    #[must_use]
    pub fn name_bytes(&self) -> &[u8] {
        self.content.name()
    }

    /// Its children, in arbitrary order.
    #[must_use]
    pub fn children(&self) -> &[NodeId] {
        self.rare.as_deref().map_or(&[], |rare| rare.children.as_slice())
    }

    /// How many nodes are below it, children and theirs.
    #[must_use]
    pub fn nodes_below(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.nodes_below as usize)
    }

    /// What the data of all nodes below it comes to.
    #[must_use]
    pub fn bytes_below(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.bytes_below)
    }

    /// Length of its data.
    #[must_use]
    pub fn data_length(&self) -> usize {
        self.data().map_or(0, <[u8]>::len)
    }

    /// Its access control list.
    #[must_use]
    pub const fn acl(&self) -> super::AclSlot {
        self.acl
    }

    /// Last modification of the data.
    #[must_use]
    pub const fn mzxid(&self) -> Zxid {
        self.mzxid
    }

    /// Last change of the children.
    #[must_use]
    pub fn pzxid(&self) -> Zxid {
        self.rare.as_ref().map_or(self.czxid, |rare| rare.pzxid)
    }

    /// Creation.
    #[must_use]
    pub const fn czxid(&self) -> Zxid {
        self.czxid
    }

    /// Creations of children.
    #[must_use]
    pub fn cversion(&self) -> i32 {
        self.rare.as_ref().map_or(0, |rare| rare.cversion)
    }

    /// The field that says who owns it.
    #[must_use]
    pub fn owner(&self) -> SessionId {
        self.rare.as_ref().map_or(SessionId(0), |rare| rare.owner)
    }

    /// CRC-32 of path and data.
    #[must_use]
    pub const fn content_crc(&self) -> u32 {
        self.content_crc
    }

    /// What snapshots keep.
    #[must_use]
    pub fn persisted(&self) -> StatPersisted {
        let rare = self.rare.as_deref();
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: rare.map_or(0, |rare| rare.cversion),
            aversion: rare.map_or(0, |rare| rare.aversion),
            ephemeral_owner: rare.map_or(SessionId(0), |rare| rare.owner),
            pzxid: rare.map_or(self.czxid, |rare| rare.pzxid),
        }
    }

    /// What clients are told (reference: `DataNode.copyStat`).
    #[must_use]
    pub fn stat(&self, rules: OwnerRules) -> Stat {
        let children = i32::try_from(self.children().len()).unwrap_or(i32::MAX);
        let kept = self.persisted();
        let ephemeral_owner = match Owner::from_field(kept.ephemeral_owner, rules) {
            Owner::Session(id) => id,
            _ => SessionId(0),
        };
        Stat {
            czxid: kept.czxid,
            mzxid: kept.mzxid,
            ctime: kept.ctime,
            mtime: kept.mtime,
            version: kept.version,
            cversion: kept.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: kept.aversion,
            ephemeral_owner,
            data_length: self.data().map_or(0, |data| i32::try_from(data.len()).unwrap_or(i32::MAX)),
            num_children: children,
            pzxid: kept.pzxid,
        }
    }
}
