//! A learner that claims what it is told to, and takes down how a leader brings it up to date.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use super::packet::{Packet, kind};
use super::tree::Tree;
use super::wire::{Heard, Wire};
use crate::wire::Body;

/// The protocol since 3.4.
pub const PROTOCOL: i32 = 0x10000;

/// What a learner says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its number.
    pub sid: i64,
    /// Whether it says that it is an observer.
    pub is_observer: bool,
    /// The epoch it has accepted.
    pub accepted: i64,
    /// The epoch it is in; none if it has accepted the leader's already.
    pub current: Option<i32>,
    /// Its last transaction.
    pub zxid: i64,
    /// The version of its configuration.
    pub config: i64,
}

/// A scripted learner.
#[derive(Debug)]
pub struct Learner {
    wire: Wire,
    /// What happened, a line a packet.
    pub story: String,
    /// Whether it was brought up to date.
    pub is_up_to_date: bool,
}

impl Learner {
    /// Connects, and goes through discovery and synchronization as far as the leader goes with it.
    pub fn join(addr: SocketAddr, claim: &Claim, patience: Duration) -> Result<Self> {
        let wire = Wire::dial(addr, patience)?;
        let mut learner = Self { wire, story: String::new(), is_up_to_date: false };
        learner.run(claim, patience)?;
        Ok(learner)
    }

    fn run(&mut self, claim: &Claim, patience: Duration) -> Result<()> {
        let first = if claim.is_observer { kind::OBSERVER_INFO } else { kind::FOLLOWER_INFO };
        let info = Body::new().long(claim.sid).int(PROTOCOL).long(claim.config).0;
        self.say(&Packet::new(first, claim.accepted << 32, Some(&info)))?;
        let Some(answer) = self.hear(patience)? else { return Ok(()) };
        if answer.kind != kind::LEADER_INFO {
            return Ok(());
        }
        let epoch = claim.current.unwrap_or(-1).to_be_bytes();
        self.say(&Packet::new(kind::ACK_EPOCH, claim.zxid, Some(&epoch)))?;
        let new_leader = loop {
            let Some(packet) = self.hear(patience)? else { return Ok(()) };
            match packet.kind {
                kind::SNAP => {
                    let heard = self.wire.hear(patience, Tree::parse)?;
                    let Heard::Some(tree) = heard else {
                        self.note("no whole tree followed");
                        return Ok(());
                    };
                    self.story.push_str(&tree.lines());
                }
                kind::NEW_LEADER => break packet.zxid,
                _ => {}
            }
        };
        self.say(&Packet::new(kind::ACK, new_leader, None))?;
        while let Some(packet) = self.hear(patience)? {
            if packet.kind == kind::UP_TO_DATE {
                self.say(&Packet::new(kind::ACK, new_leader, None))?;
                self.is_up_to_date = true;
                break;
            }
        }
        Ok(())
    }

    /// Sends a packet.
    pub fn say(&mut self, packet: &Packet) -> Result<()> {
        // A leader that has closed is heard of at the next read.
        let _ = self.wire.send(&packet.encode());
        Ok(())
    }

    /// The next packet that is no ping; none when the leader has closed, or is silent for too long.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<Packet>> {
        loop {
            match self.wire.hear(patience, Packet::parse)? {
                Heard::Some(packet) if packet.kind == kind::PING => {}
                Heard::Some(packet) => {
                    self.note(&packet.to_string());
                    return Ok(Some(packet));
                }
                Heard::Silence => {
                    self.note("silence");
                    return Ok(None);
                }
                Heard::Closed => {
                    self.note("closed");
                    return Ok(None);
                }
            }
        }
    }

    fn note(&mut self, what: &str) {
        let _ = writeln!(self.story, "  {what}");
    }
}
