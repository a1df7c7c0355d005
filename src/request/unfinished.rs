//! Replies that take so long that they are made in slices, between which others have the tree: long lists of
//! children, many watches, and what shows one state of many nodes.

use std::collections::VecDeque;

use jute::records::data::Stat;
use jute::{Code, OpCode, Reader, Zxid, write};

use super::one_state::OneState;
use super::set_watches::SetWatches;
use crate::tree::Tree;
use crate::tree::listing::{Listing, Progress};

/// What a read came by.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A node was read.
    Node {
        /// Its path.
        path: &'a str,
        /// Bytes of what was read beyond path and stat.
        bytes: usize,
    },
    /// A reply was made that the reference keeps in a cache.
    Reply {
        /// To which operation: getData or getChildren2.
        op: OpCode,
        /// About which node.
        path: &'a str,
        /// In which state.
        stat: &'a Stat,
    },
}

/// Hears of what reads come by.
pub type Meter<'a> = &'a dyn Fn(Seen<'_>);

/// Names of children that belong into a reply and are not there yet.
#[derive(Debug)]
pub struct Missing {
    /// Where they belong.
    pub at: usize,
    /// Whose children they are.
    pub path: String,
    /// What names them.
    pub listing: Listing,
    /// Bytes of the names that are there already.
    pub bytes: usize,
    /// How many these are.
    pub names: usize,
}

impl Missing {
    /// What the missing names are expected to take: as much as those that are there.
    #[must_use]
    pub fn expected_bytes(&self) -> usize {
        self.listing.left().saturating_mul(4 + self.bytes / self.names.max(1))
    }
}

/// A reply that is still being made.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// It lists children.
    List(UnfinishedList),
    /// It follows the last of many watches.
    Watches(SetWatches),
    /// It shows one state of much.
    State(OneState),
}

impl Unfinished {
    /// Begins with a request that may take many slices ([`super::read::is_made_in_slices`]).
    ///
    /// # Errors
    /// The code that it is answered with when it cannot be carried out at all.
    pub(super) fn new(op: OpCode, xid: i32, zxid: Zxid, reader: &mut Reader<'_>) -> Result<Self, Code> {
        Ok(match op {
            OpCode::MULTI_READ => Self::State(OneState::reads(xid, reader)?),
            OpCode::GET_EPHEMERALS => Self::State(OneState::ephemerals(xid, reader)?),
            _ => Self::Watches(SetWatches::new(op, xid, zxid, reader)?),
        })
    }

    /// Bytes that are there and those that are expected.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Watches(request) => request.len(),
            Self::State(reply) => reply.len(),
        }
    }
}

/// A frame without some of its names.
#[derive(Debug)]
pub(super) struct UnfinishedList {
    /// From the length at the front to the first names that are missing.
    bytes: Vec<u8>,
    /// What is missing, each with the bytes behind it.
    rest: VecDeque<(Missing, Vec<u8>)>,
}

impl UnfinishedList {
    /// `frame` begins with the place for its length; `missing` is in order of places, which count from `offset`.
    pub(super) fn new(mut frame: Vec<u8>, offset: usize, missing: Vec<Missing>) -> Self {
        let mut rest = VecDeque::with_capacity(missing.len());
        for missing in missing.into_iter().rev() {
            let behind = frame.split_off(missing.at.saturating_sub(offset).min(frame.len()));
            rest.push_front((missing, behind));
        }
        Self { bytes: frame, rest }
    }

    fn len(&self) -> usize {
        let rest = self.rest.iter().map(|(missing, behind)| missing.expected_bytes() + behind.len());
        self.bytes.len() + rest.sum::<usize>()
    }

    /// Adds some of what is missing.
    pub(super) fn go_on(&mut self, tree: &Tree, meter: Meter<'_>) -> Progress {
        let Some((missing, _)) = self.rest.front_mut() else { return Progress::Done };
        let out = &mut self.bytes;
        let (mut bytes, mut names) = (0, 0);
        let progress = missing.listing.slice(tree, |name: &[u8]| {
            bytes += name.len();
            names += 1;
            write_name(out, name);
        });
        missing.bytes += bytes;
        missing.names += names;
        if progress != Progress::Done {
            return progress;
        }
        meter(Seen::Node { path: &missing.path, bytes: missing.bytes });
        if let Some((_, behind)) = self.rest.pop_front() {
            self.bytes.extend_from_slice(&behind);
        }
        if self.rest.is_empty() { Progress::Done } else { Progress::More }
    }

    /// The whole frame, but for its length.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Writes a name as the protocol has it.
pub(super) fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    // Only other names can hold characters for which Java has its own bytes.
    if name.is_ascii() {
        write::buffer(out, Some(name));
    } else {
        write::ustring(out, Some(&String::from_utf8_lossy(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::listing::Walk;
    use crate::tree::{NodeId, OwnerRules};

    #[test]
    fn names_that_are_missing_are_expected_to_be_as_long_as_those_that_are_there() {
        let tree = Tree::new(OwnerRules::default());
        for (bytes, names, expected) in [(0, 0, 4), (10, 1, 14), (30, 2, 19)] {
            let listing = tree.follow(Walk::new(&tree, NodeId::ROOT));
            assert_eq!(listing.left(), 1, "/zookeeper");
            let missing = Missing { at: 0, path: "/".into(), listing, bytes, names };
            assert_eq!(missing.expected_bytes(), expected);
        }
    }

    #[test]
    fn a_name_is_written_as_java_writes_it() {
        for name in ["plain", "gr\u{fc}n", "\u{1f600}"] {
            let (mut written, mut expected) = (Vec::new(), Vec::new());
            write_name(&mut written, name.as_bytes());
            write::ustring(&mut expected, Some(name));
            assert_eq!(written, expected, "{name}");
        }
    }
}
