//! A node and what its owner field means (reference: `DataNode`, `EphemeralType`).

use jute::records::data::{Stat, StatPersisted};
use jute::{SessionId, Zxid};

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
    /// The last component of the path; empty for the root.
    pub(super) name: Box<str>,
    /// `None` is null, which clients can tell from empty.
    pub(super) data: Option<Box<[u8]>>,
    /// Boxed, since most nodes have none. Order is arbitrary.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every leaf")]
    pub(super) children: Option<Box<Vec<NodeId>>>,
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    pub(super) owner: SessionId,
    pub(super) version: i32,
    /// Creations of children; clients are shown creations plus deletions.
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    pub(super) acl: super::acl::AclSlot,
    pub(super) parent: NodeId,
    /// Index in the parent's `children`.
    pub(super) position: u32,
    /// Hash of the full path, kept for rehashing.
    pub(super) path_hash: u32,
    /// CRC-32 of path and data: the part of the digest that changes only with the data.
    pub(super) content_crc: u32,
}

impl Node {
    /// The data; `None` is null.
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    /// The last component of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its children, in arbitrary order.
    #[must_use]
    pub fn children(&self) -> &[NodeId] {
        self.children.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Its access control list.
    #[must_use]
    pub const fn acl(&self) -> super::acl::AclSlot {
        self.acl
    }

    /// Last modification of the data.
    #[must_use]
    pub const fn mzxid(&self) -> Zxid {
        self.mzxid
    }

    /// Last change of the children.
    #[must_use]
    pub const fn pzxid(&self) -> Zxid {
        self.pzxid
    }

    /// Creation.
    #[must_use]
    pub const fn czxid(&self) -> Zxid {
        self.czxid
    }

    /// CRC-32 of path and data.
    #[must_use]
    pub const fn content_crc(&self) -> u32 {
        self.content_crc
    }

    /// What snapshots keep.
    #[must_use]
    pub const fn persisted(&self) -> StatPersisted {
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            pzxid: self.pzxid,
        }
    }

    /// What clients are told (reference: `DataNode.copyStat`).
    #[must_use]
    pub fn stat(&self, rules: OwnerRules) -> Stat {
        let children = i32::try_from(self.children().len()).unwrap_or(i32::MAX);
        let ephemeral_owner = match Owner::from_field(self.owner, rules) {
            Owner::Session(id) => id,
            _ => SessionId(0),
        };
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: self.aversion,
            ephemeral_owner,
            data_length: self.data().map_or(0, |data| i32::try_from(data.len()).unwrap_or(i32::MAX)),
            num_children: children,
            pzxid: self.pzxid,
        }
    }
}
