//! Packets of the quorum port, as bytes (reference: `QuorumPacket` in `zookeeper.jute`, and the places that fill
//! it). They follow each other without a length in front.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

use std::fmt;

use bytes::Bytes;
use jute::records::Record;
use jute::records::data::Id;
use jute::{DecodeError, OpCode, Reader, SessionId, Zxid, write};

use super::message::{Forwarded, FromLearner, FromMaster, Hello, Proposal, ToLearner, ToMaster};

const REQUEST: i32 = 1;
const PROPOSAL: i32 = 2;
const ACK: i32 = 3;
const COMMIT: i32 = 4;
const PING: i32 = 5;
const REVALIDATE: i32 = 6;
const SYNC: i32 = 7;
const INFORM: i32 = 8;
const COMMIT_AND_ACTIVATE: i32 = 9;
const NEW_LEADER: i32 = 10;
const FOLLOWER_INFO: i32 = 11;
const UP_TO_DATE: i32 = 12;
const DIFF: i32 = 13;
const TRUNC: i32 = 14;
const SNAP: i32 = 15;
const OBSERVER_INFO: i32 = 16;
const LEADER_INFO: i32 = 17;
const ACK_EPOCH: i32 = 18;
const INFORM_AND_ACTIVATE: i32 = 19;

/// The protocol since 3.4 (reference: `LearnerHandler`, `Learner`).
pub const PROTOCOL: i32 = 0x10000;
/// What SNAP's stream ends with (reference: `LearnerHandler`).
pub const SNAPSHOT_END: &str = "BenWasHere";
/// Identities of a forwarded request.
const IDENTITIES_MAX: usize = 100_000;

/// Why a packet is not one. Whoever sent it is not listened to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPacket {
    /// It does not decode.
    Undecodable(DecodeError),
    /// It is too large.
    TooLarge {
        /// Bytes of its data.
        bytes: usize,
        /// What is taken (`jute.maxbuffer` and its extra size).
        most: usize,
    },
    /// It has no place here.
    Unexpected {
        /// Its type.
        kind: i32,
    },
    /// A field is missing or makes no sense.
    Invalid(&'static str),
}

impl fmt::Display for BadPacket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecodable(error) => write!(out, "a packet does not decode: {error}"),
            Self::TooLarge { bytes, most } => write!(
                out,
                "a packet has {bytes} bytes of data, and at most {most} are taken (jute.maxbuffer + \
                 jute.maxbuffer.extrasize)"
            ),
            Self::Unexpected { kind } => write!(out, "a packet of type {kind} has no place here"),
            Self::Invalid(what) => write!(out, "a packet is wrong: {what}"),
        }
    }
}

impl std::error::Error for BadPacket {}

impl From<DecodeError> for BadPacket {
    fn from(error: DecodeError) -> Self {
        Self::Undecodable(error)
    }
}

/// A packet whose fields have no meaning yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    kind: i32,
    zxid: Zxid,
    data: Option<Bytes>,
    identities: Vec<Id>,
}

impl Packet {
    /// The length of the packet at the front of the buffer; `None` while it is not all there.
    ///
    /// # Errors
    /// What follows can never be a packet.
    pub fn length(buffer: &[u8], data_bytes_max: usize) -> Result<Option<usize>, BadPacket> {
        Self::measure(buffer, data_bytes_max).map_or_else(
            |bad| match bad {
                BadPacket::Undecodable(DecodeError::Truncated { .. }) => Ok(None),
                bad => Err(bad),
            },
            |bytes| Ok(Some(bytes)),
        )
    }

    fn measure(buffer: &[u8], data_bytes_max: usize) -> Result<usize, BadPacket> {
        let mut reader = Reader::new(buffer);
        let bounded = |reader: &mut Reader<'_>| {
            let offset = reader.offset();
            let length = reader.int()?;
            let bytes = match usize::try_from(length) {
                Ok(bytes) => bytes,
                Err(_) if length == -1 => 0,
                Err(_) => return Err(BadPacket::Undecodable(DecodeError::Length { offset, length })),
            };
            if bytes > data_bytes_max {
                return Err(BadPacket::TooLarge { bytes, most: data_bytes_max });
            }
            reader.take(bytes)?;
            Ok(())
        };
        reader.int()?;
        reader.long()?;
        bounded(&mut reader)?;
        let identities = usize::try_from(reader.int()?).unwrap_or(0);
        if identities > IDENTITIES_MAX {
            return Err(BadPacket::Invalid("it lists too many identities"));
        }
        for _ in 0..identities {
            bounded(&mut reader)?;
            bounded(&mut reader)?;
            if reader.offset() > data_bytes_max.saturating_mul(2) {
                return Err(BadPacket::Invalid("its identities are too large"));
            }
        }
        Ok(reader.offset())
    }

    /// Decodes one packet, whole.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &Bytes) -> Result<Self, BadPacket> {
        let mut reader = Reader::new(bytes);
        let kind = reader.int()?;
        let zxid = Zxid(reader.long()?);
        let data = reader.buffer()?.map(|data| bytes.slice_ref(data));
        let identities = <Option<Vec<Id>>>::decode(&mut reader)?.unwrap_or_default();
        Ok(Self { kind, zxid, data, identities })
    }

    /// Whether this announces a snapshot, and of which zxid. Its stream follows.
    #[must_use]
    pub fn snapshot(&self) -> Option<Zxid> {
        (self.kind == SNAP).then_some(self.zxid)
    }

    /// As the first packet of a learner (reference: `LearnerHandler.run`).
    ///
    /// # Errors
    /// It is another one.
    pub fn into_hello(self) -> Result<Hello, BadPacket> {
        if !matches!(self.kind, FOLLOWER_INFO | OBSERVER_INFO) {
            return Err(BadPacket::Unexpected { kind: self.kind });
        }
        let mut hello = Hello {
            is_observer: self.kind == OBSERVER_INFO,
            accepted_epoch: self.zxid.0 >> 32,
            sid: None,
            protocol: 0x1,
            config_version: 0,
        };
        if let Some(data) = &self.data {
            let mut reader = Reader::new(data);
            hello.sid = Some(if data.len() >= 8 { reader.long()? } else { 0 });
            if data.len() >= 12 {
                hello.protocol = reader.int()?;
            }
            if data.len() >= 20 {
                hello.config_version = reader.long()?;
            }
        }
        Ok(hello)
    }

    /// As something a learner says.
    ///
    /// # Errors
    /// It is nothing of the kind.
    pub fn into_from_learner(self) -> Result<FromLearner, BadPacket> {
        let data = self.data.unwrap_or_default();
        let mut reader = Reader::new(&data);
        Ok(match self.kind {
            ACK_EPOCH => FromLearner::AckEpoch { current: reader.int()?, last: self.zxid },
            ACK => FromLearner::Ack(self.zxid),
            PING => {
                let mut touched = Vec::new();
                while !reader.rest().is_empty() {
                    touched.push((SessionId(reader.long()?), reader.int()?));
                }
                FromLearner::Ping(touched)
            }
            REQUEST => {
                let (session, cxid) = (SessionId(reader.long()?), reader.int()?);
                let op = OpCode(reader.int()?);
                let body = data.slice(reader.offset()..);
                FromLearner::Request(Forwarded { session, cxid, op, body, identities: self.identities })
            }
            REVALIDATE => {
                FromLearner::Revalidate { session: SessionId(reader.long()?), timeout_ms: reader.int()? }
            }
            kind => return Err(BadPacket::Unexpected { kind }),
        })
    }

    /// As something a leader says. SNAP is not among it: see [`Packet::snapshot`].
    ///
    /// # Errors
    /// It is nothing of the kind.
    pub fn into_from_master(self) -> Result<FromMaster, BadPacket> {
        let Self { kind, zxid, data, .. } = self;
        let data_or_empty = data.clone().unwrap_or_default();
        let mut reader = Reader::new(&data_or_empty);
        let proposal = || {
            let payload = data.clone().ok_or(BadPacket::Invalid("a proposal without a transaction"))?;
            check_header(zxid, &payload)?;
            Ok::<_, BadPacket>(Proposal { zxid, payload })
        };
        Ok(match kind {
            LEADER_INFO => FromMaster::LeaderInfo { epoch: zxid.0 >> 32, protocol: reader.int()? },
            DIFF => FromMaster::Diff(zxid),
            TRUNC => FromMaster::Trunc(zxid),
            PROPOSAL => FromMaster::Proposal(proposal()?),
            COMMIT => FromMaster::Commit(zxid),
            INFORM => FromMaster::Inform(proposal()?),
            NEW_LEADER => FromMaster::NewLeader { zxid, config: data },
            UP_TO_DATE => FromMaster::UpToDate,
            PING => FromMaster::Ping(zxid),
            SYNC => FromMaster::Sync,
            REVALIDATE => {
                FromMaster::Revalidated { session: SessionId(reader.long()?), is_valid: reader.boolean()? }
            }
            COMMIT_AND_ACTIVATE | INFORM_AND_ACTIVATE => FromMaster::Activate(zxid),
            kind => return Err(BadPacket::Unexpected { kind }),
        })
    }
}

/// A transaction whose header says another zxid than its packet would be logged under the wrong number.
fn check_header(zxid: Zxid, payload: &[u8]) -> Result<(), BadPacket> {
    let mut reader = Reader::new(payload);
    reader.take(12)?;
    let in_header = Zxid(reader.long()?);
    if in_header == zxid { Ok(()) } else { Err(BadPacket::Invalid("its transaction has another zxid")) }
}

fn put(out: &mut Vec<u8>, kind: i32, zxid: Zxid, data: Option<&[u8]>, identities: &[Id]) {
    write::int(out, kind);
    write::long(out, zxid.0);
    write::buffer(out, data);
    if identities.is_empty() {
        write::int(out, -1);
    } else {
        Some(identities.to_vec()).encode(out);
    }
}

impl ToLearner {
    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut with = |kind, zxid, data: Option<&[u8]>| put(out, kind, zxid, data, &[]);
        match self {
            Self::LeaderInfo(info) => {
                with(LEADER_INFO, Zxid::begin_of(info.epoch()), Some(&PROTOCOL.to_be_bytes()));
            }
            Self::Diff(zxid) => with(DIFF, *zxid, None),
            Self::Trunc(zxid) => with(TRUNC, *zxid, None),
            Self::Snap(zxid) => with(SNAP, *zxid, None),
            Self::Proposal(proposal) => with(PROPOSAL, proposal.zxid, Some(&proposal.payload)),
            Self::Commit(zxid) => with(COMMIT, *zxid, None),
            Self::Inform(proposal) => with(INFORM, proposal.zxid, Some(&proposal.payload)),
            Self::NewLeader { zxid, config } => with(NEW_LEADER, *zxid, Some(config)),
            Self::UpToDate => with(UP_TO_DATE, Zxid(-1), None),
            Self::Ping(zxid) => with(PING, *zxid, None),
            Self::Sync => with(SYNC, Zxid::ZERO, None),
            Self::Revalidated { session, is_valid } => {
                let mut data = Vec::new();
                write::long(&mut data, session.0);
                write::boolean(&mut data, *is_valid);
                with(REVALIDATE, Zxid(-1), Some(&data));
            }
        }
    }
}

impl ToMaster {
    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        match self {
            Self::Hello(hello) => {
                write::long(&mut data, hello.sid.unwrap_or(-1));
                write::int(&mut data, hello.protocol);
                write::long(&mut data, hello.config_version);
                let kind = if hello.is_observer { OBSERVER_INFO } else { FOLLOWER_INFO };
                put(out, kind, Zxid(hello.accepted_epoch << 32), Some(&data), &[]);
            }
            Self::AckEpoch(ack) => {
                write::int(&mut data, ack.current().map_or(-1, u32::cast_signed));
                put(out, ACK_EPOCH, ack.last(), Some(&data), &[]);
            }
            Self::NewLeaderAck(ack) => put(out, ACK, Zxid::begin_of(ack.epoch()), None, &[]),
            Self::Ack(ack) => put(out, ACK, ack.zxid(), None, &[]),
            Self::Ping { zxid, touched } => {
                for (session, timeout_ms) in touched {
                    write::long(&mut data, session.0);
                    write::int(&mut data, *timeout_ms);
                }
                put(out, PING, *zxid, Some(&data), &[]);
            }
            Self::Request(request) => {
                write::long(&mut data, request.session.0);
                write::int(&mut data, request.cxid);
                write::int(&mut data, request.op.0);
                data.extend_from_slice(&request.body);
                put(out, REQUEST, Zxid(-1), Some(&data), &request.identities);
            }
            Self::Revalidate { session, timeout_ms } => {
                write::long(&mut data, session.0);
                write::int(&mut data, *timeout_ms);
                put(out, REVALIDATE, Zxid(-1), Some(&data), &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(packet: &ToMaster) -> Bytes {
        let mut out = Vec::new();
        packet.encode(&mut out);
        out.into()
    }

    #[test]
    fn a_packet_is_whole_only_with_its_last_byte() {
        let identities = vec![Id { scheme: Some("ip".into()), id: Some("127.0.0.1".into()) }];
        let body = Bytes::from_static(b"body");
        let forwarded = Forwarded { session: SessionId(7), cxid: 3, op: OpCode::CREATE, body, identities };
        let bytes = encoded(&ToMaster::Request(forwarded.clone()));
        for end in 0..bytes.len() {
            assert_eq!(Packet::length(&bytes[..end], 1000), Ok(None), "{end}");
        }
        assert_eq!(Packet::length(&bytes, 1000), Ok(Some(bytes.len())));
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!(packet.into_from_learner(), Ok(FromLearner::Request(forwarded)));
    }

    #[test]
    fn an_idle_learner_answers_a_ping_with_empty_data_and_never_with_none() {
        let bytes = encoded(&ToMaster::Ping { zxid: Zxid(5), touched: Vec::new() });
        assert_eq!(&bytes[12..16], &[0, 0, 0, 0]);
    }

    /// A learner of the reference takes it over.
    #[test]
    fn the_begin_of_an_epoch_brings_the_leaders_configuration() {
        let config = Bytes::from_static(b"server.1=a:1:2:participant\nversion=7");
        let mut bytes = Vec::new();
        ToLearner::NewLeader { zxid: Zxid(1 << 32), config: config.clone() }.encode(&mut bytes);
        let said = Packet::decode(&bytes.into()).unwrap().into_from_master();
        assert_eq!(said, Ok(FromMaster::NewLeader { zxid: Zxid(1 << 32), config: Some(config) }));
    }

    /// Reference: `LearnerHandler.run`. Each field came with a later version than the one before it.
    #[test]
    fn a_learner_that_introduces_itself_with_less_is_taken_for_an_older_one() {
        let data = [&7i64.to_be_bytes()[..], &PROTOCOL.to_be_bytes(), &9i64.to_be_bytes()].concat();
        let of = |data: Option<&[u8]>| {
            let mut out = Vec::new();
            put(&mut out, OBSERVER_INFO, Zxid(3 << 32 | 5), data, &[]);
            let hello = Packet::decode(&out.into()).unwrap().into_hello().unwrap();
            assert!(hello.is_observer && hello.accepted_epoch == 3);
            (hello.sid, hello.protocol, hello.config_version)
        };
        assert_eq!(of(None), (None, 1, 0));
        assert_eq!(of(Some(&data[..0])), (Some(0), 1, 0));
        assert_eq!(of(Some(&data[..7])), (Some(0), 1, 0));
        assert_eq!(of(Some(&data[..8])), (Some(7), 1, 0));
        assert_eq!(of(Some(&data[..11])), (Some(7), 1, 0));
        assert_eq!(of(Some(&data[..12])), (Some(7), PROTOCOL, 0));
        assert_eq!(of(Some(&data[..19])), (Some(7), PROTOCOL, 0));
        assert_eq!(of(Some(&data[..20])), (Some(7), PROTOCOL, 9));
    }

    #[test]
    fn a_packet_may_be_as_large_as_is_taken_and_its_identities_too() {
        let mut bytes = Vec::new();
        put(&mut bytes, PROPOSAL, Zxid(1), Some(&[0; 100]), &[]);
        assert_eq!(Packet::length(&bytes, 100), Ok(Some(bytes.len())));
        let without = [&PING.to_be_bytes()[..], &[0; 8], &(-1i32).to_be_bytes(), &(-1i32).to_be_bytes()];
        assert_eq!(Packet::length(&without.concat(), 0), Ok(Some(20)), "no data, and no list");
        let list = |count: usize, scheme: usize| {
            let id = Id { scheme: Some("s".repeat(scheme)), id: None };
            let mut bytes = Vec::new();
            put(&mut bytes, REQUEST, Zxid(1), None, &vec![id; count]);
            Packet::length(&bytes, 100).map(|length| length == Some(bytes.len()))
        };
        // The head of a packet is 20 bytes, and an identity 8 and its scheme.
        assert_eq!(list(2, 82), Ok(true), "200 bytes in all");
        assert_eq!(list(2, 83), Err(BadPacket::Invalid("its identities are too large")));
        let counted = |count: i32| {
            let head = [&REQUEST.to_be_bytes()[..], &[0; 8], &(-1i32).to_be_bytes(), &count.to_be_bytes()];
            Packet::length(&head.concat(), 100)
        };
        assert_eq!(counted(IDENTITIES_MAX as i32), Ok(None), "they have not come yet");
        let too_many = BadPacket::Invalid("it lists too many identities");
        assert_eq!(counted(IDENTITIES_MAX as i32 + 1), Err(too_many));
    }

    /// Reference: `Leader`, `LearnerHandler`, `Learner`.
    #[test]
    fn what_carries_no_zxid_says_minus_one_and_what_begins_an_epoch_its_begin() {
        let (session, body) = (SessionId(7), Bytes::new());
        let hello =
            Hello { is_observer: false, accepted_epoch: 3, sid: None, protocol: 5, config_version: 6 };
        let forwarded = Forwarded { session, cxid: 3, op: OpCode::CREATE, body, identities: Vec::new() };
        let hello_data = [&(-1i64).to_be_bytes()[..], &5i32.to_be_bytes(), &6i64.to_be_bytes()].concat();
        let to_learner = |packet: ToLearner| {
            let mut out = Vec::new();
            packet.encode(&mut out);
            Packet::decode(&out.into()).unwrap()
        };
        let to_master = |packet: ToMaster| Packet::decode(&encoded(&packet)).unwrap();
        let is = |packet: &Packet, kind, zxid| (packet.kind, packet.zxid.0) == (kind, zxid);
        assert!(is(&to_learner(ToLearner::Snap(Zxid(4))), 15, 4));
        assert!(is(&to_learner(ToLearner::UpToDate), 12, -1));
        let hello = to_master(ToMaster::Hello(hello));
        assert!(is(&hello, 11, 3 << 32) && hello.data.as_deref() == Some(&hello_data));
        assert!(is(&to_master(ToMaster::Request(forwarded)), 1, -1));
        assert!(is(&to_master(ToMaster::Revalidate { session, timeout_ms: 1 }), 6, -1));
        assert!(is(&to_learner(ToLearner::Revalidated { session, is_valid: true }), 6, -1));
    }

    /// Trap 29 of the quorum protocols.
    #[test]
    fn a_length_that_cannot_be_is_refused_before_its_bytes_come() {
        let mut bytes = Vec::new();
        put(&mut bytes, PROPOSAL, Zxid(1), Some(&[0; 100]), &[]);
        assert!(matches!(
            Packet::length(&bytes[..16], 99),
            Err(BadPacket::TooLarge { bytes: 100, most: 99 })
        ));
        bytes[12..16].copy_from_slice(&(-2i32).to_be_bytes());
        assert!(matches!(Packet::length(&bytes, 99), Err(BadPacket::Undecodable(_))));
    }

    #[test]
    fn a_proposal_under_another_zxid_than_its_headers_is_refused() {
        let mut payload = vec![0; 12];
        write::long(&mut payload, 9);
        let of = |zxid| {
            let mut out = Vec::new();
            ToLearner::Proposal(Proposal { zxid, payload: payload.clone().into() }).encode(&mut out);
            Packet::decode(&out.into()).unwrap().into_from_master()
        };
        assert!(matches!(of(Zxid(9)), Ok(FromMaster::Proposal(_))));
        assert!(matches!(of(Zxid(8)), Err(BadPacket::Invalid(_))));
    }
}
