//! Packets of the quorum port.

use std::fmt;

use super::wire::{Cursor, Partial};
use crate::wire::Body;

/// What a packet is.
pub mod kind {
    #![expect(missing_docs, reason = "the names are the protocol's own")]
    pub const REQUEST: i32 = 1;
    pub const PROPOSAL: i32 = 2;
    pub const ACK: i32 = 3;
    pub const COMMIT: i32 = 4;
    pub const PING: i32 = 5;
    pub const REVALIDATE: i32 = 6;
    pub const SYNC: i32 = 7;
    pub const INFORM: i32 = 8;
    pub const COMMIT_AND_ACTIVATE: i32 = 9;
    pub const NEW_LEADER: i32 = 10;
    pub const FOLLOWER_INFO: i32 = 11;
    pub const UP_TO_DATE: i32 = 12;
    pub const DIFF: i32 = 13;
    pub const TRUNC: i32 = 14;
    pub const SNAP: i32 = 15;
    pub const OBSERVER_INFO: i32 = 16;
    pub const LEADER_INFO: i32 = 17;
    pub const ACK_EPOCH: i32 = 18;
    pub const INFORM_AND_ACTIVATE: i32 = 19;
}

const NAMES: [&str; 20] = [
    "0",
    "REQUEST",
    "PROPOSAL",
    "ACK",
    "COMMIT",
    "PING",
    "REVALIDATE",
    "SYNC",
    "INFORM",
    "COMMITANDACTIVATE",
    "NEWLEADER",
    "FOLLOWERINFO",
    "UPTODATE",
    "DIFF",
    "TRUNC",
    "SNAP",
    "OBSERVERINFO",
    "LEADERINFO",
    "ACKEPOCH",
    "INFORMANDACTIVATE",
];

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its type.
    pub kind: i32,
    /// Its zxid.
    pub zxid: i64,
    /// Its data.
    pub data: Option<Vec<u8>>,
    /// Schemes and ids; none for a null list.
    pub identities: Option<Vec<(String, String)>>,
}

impl Packet {
    /// Without identities.
    #[must_use]
    pub fn new(kind: i32, zxid: i64, data: Option<&[u8]>) -> Self {
        Self { kind, zxid, data: data.map(<[u8]>::to_vec), identities: None }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = Body::new().int(self.kind).long(self.zxid);
        let body = match &self.data {
            Some(data) => body.buffer(data),
            None => body.int(-1),
        };
        match &self.identities {
            None => body.int(-1).0,
            Some(list) => {
                let count = body.int(list.len() as i32);
                list.iter().fold(count, |body, (scheme, id)| body.string(scheme).string(id)).0
            }
        }
    }

    /// From the front of what came.
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Partial> {
        let (kind, zxid) = (cursor.int()?, cursor.long()?);
        let data = cursor.buffer()?.map(<[u8]>::to_vec);
        let identities = match cursor.int()? {
            -1 => None,
            count => {
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push((cursor.text()?, cursor.text()?));
                }
                Some(list)
            }
        };
        Ok(Self { kind, zxid, data, identities })
    }

    /// Its type's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        usize::try_from(self.kind)
            .ok()
            .and_then(|kind| NAMES.get(kind))
            .copied()
            .unwrap_or("of no known type")
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x}", self.name(), self.zxid)?;
        match &self.data {
            None => write!(f, " null")?,
            Some(data) => write!(f, " {}", data.escape_ascii())?,
        }
        match &self.identities {
            None => Ok(()),
            Some(list) => write!(f, " {list:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_back() {
        let mut packet = Packet::new(kind::ACK_EPOCH, 0x1_0000_0002, Some(b"\0\0\0\x01"));
        packet.identities = Some(vec![("ip".to_owned(), "127.0.0.1".to_owned())]);
        let bytes = packet.encode();
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(Packet::parse(&mut cursor).ok(), Some(packet));
        assert!(cursor.rest().is_empty());
        assert!(matches!(Packet::parse(&mut Cursor::new(&bytes[..20])), Err(Partial::Short)));
    }
}
