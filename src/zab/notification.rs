//! Messages of the election port (reference: `FastLeaderElection.buildMsg`, `WorkerReceiver`).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

use bytes::Bytes;
use jute::{Reader, Zxid, write};

use super::ids::Sid;
use super::packet::BadPacket;

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// It looks for a leader.
    Looking,
    /// It follows one.
    Following,
    /// It leads.
    Leading,
    /// It follows one without a vote.
    Observing,
}

/// A vote, and who sent it in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What the sender is doing.
    pub state: PeerState,
    /// Whom it votes for.
    pub leader: Sid,
    /// The last transaction of that server.
    pub zxid: Zxid,
    /// The round of the election.
    pub election_epoch: i64,
    /// The current epoch of the server voted for.
    pub peer_epoch: i64,
    /// The form of the message: 0 before 3.4.6, 2 since 3.5.
    pub version: i32,
    /// The sender's configuration, as text.
    pub config: Bytes,
}

/// The form that is sent.
pub(super) const VERSION: i32 = 2;

impl Notification {
    /// Appends the message, without its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write::int(
            out,
            match self.state {
                PeerState::Looking => 0,
                PeerState::Following => 1,
                PeerState::Leading => 2,
                PeerState::Observing => 3,
            },
        );
        write::long(out, self.leader);
        write::long(out, self.zxid.0);
        write::long(out, self.election_epoch);
        write::long(out, self.peer_epoch);
        write::int(out, VERSION);
        write::buffer(out, Some(&self.config));
    }

    /// Reads a message of any form: 28 bytes, 40 bytes, or with a configuration.
    ///
    /// # Errors
    /// It is none; nothing of it counts.
    pub fn decode(bytes: &Bytes) -> Result<Self, BadPacket> {
        let mut reader = Reader::new(bytes);
        let state = match reader.int()? {
            0 => PeerState::Looking,
            1 => PeerState::Following,
            2 => PeerState::Leading,
            3 => PeerState::Observing,
            _ => return Err(BadPacket::Invalid("the sender's state is none of the four")),
        };
        let leader = reader.long()?;
        let zxid = Zxid(reader.long()?);
        let election_epoch = reader.long()?;
        let mut found = Self {
            state,
            leader,
            zxid,
            election_epoch,
            peer_epoch: zxid.0 >> 32 & 0xFFFF_FFFF,
            version: 0,
            config: Bytes::new(),
        };
        if bytes.len() > 28 {
            found.peer_epoch = reader.long()?;
            if bytes.len() != 40 {
                found.version = reader.int()?;
                if found.version > 1 {
                    let config = reader.buffer()?.ok_or(BadPacket::Invalid("its configuration is null"))?;
                    found.config = bytes.slice_ref(config);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification() -> Notification {
        Notification {
            state: PeerState::Leading,
            leader: 3,
            zxid: Zxid(0x2_0000_0001),
            election_epoch: 4,
            peer_epoch: 5,
            version: 2,
            config: Bytes::from_static(b"version=0"),
        }
    }

    #[test]
    fn every_form_of_the_message_is_read() {
        let mut bytes = Vec::new();
        notification().encode(&mut bytes);
        assert_eq!(Notification::decode(&bytes.clone().into()), Ok(notification()));
        let old = |length: usize| Notification::decode(&Bytes::copy_from_slice(&bytes[..length])).unwrap();
        let bare = Notification { version: 0, config: Bytes::new(), ..notification() };
        assert_eq!(old(40), bare);
        assert_eq!(old(28), Notification { peer_epoch: 2, ..bare.clone() });
        bytes[36..40].copy_from_slice(&1i32.to_be_bytes());
        let without_config = Notification { version: 1, ..bare };
        assert_eq!(Notification::decode(&bytes.into()), Ok(without_config), "it came with version 2");
    }

    #[test]
    fn no_cut_message_is_taken_for_a_vote_and_none_stops_the_server() {
        let mut bytes = Vec::new();
        notification().encode(&mut bytes);
        for length in (0..bytes.len()).filter(|length| ![28, 40].contains(length)) {
            assert!(Notification::decode(&Bytes::copy_from_slice(&bytes[..length])).is_err(), "{length}");
        }
        bytes[40..44].copy_from_slice(&(-1i32).to_be_bytes());
        assert!(Notification::decode(&bytes.clone().into()).is_err());
        bytes[40..44].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(Notification::decode(&bytes.into()).is_err());
    }
}
