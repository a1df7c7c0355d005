//! The seat of a server in an ensemble of three of its kind, for tests that otherwise meet one that is alone.
//!
//! `OXKEEPER_ENSEMBLE=leader`, `follower` or `observer` gives the server of a test this seat, and the reference's,
//! which it is compared with, the same seat in an ensemble of its own. The tests do not know: a seated [`Server`] is
//! connected to, stopped, killed and started like any other, while its companions go on. A leader that is stopped
//! comes back as a follower.

use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::results::Case;
use crate::server::{Kind, Options, Server, free_port};

/// A sync or a leader's silence may take so long on a busy machine, whatever the length of a tick.
const INIT_MS: u32 = 60_000;
const SYNC_MS: u32 = 20_000;
/// The observer, if there is one, and the leader otherwise.
const LAST: u64 = 3;

/// Which server of the ensemble clients are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The one that leads, of three voters.
    Leader,
    /// One that follows, of three voters.
    Follower,
    /// One without a vote, beside two voters.
    Observer,
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
        })
    }
}

/// The seat that `OXKEEPER_ENSEMBLE` names; none if it is not set.
pub fn wanted() -> Result<Option<Seat>> {
    match std::env::var("OXKEEPER_ENSEMBLE").as_deref() {
        Err(_) => Ok(None),
        Ok("leader") => Ok(Some(Seat::Leader)),
        Ok("follower") => Ok(Some(Seat::Follower)),
        Ok("observer") => Ok(Some(Seat::Observer)),
        Ok(other) => bail!("OXKEEPER_ENSEMBLE is leader, follower or observer, not {other:?}"),
    }
}

/// The case, named after the seat that it runs in.
#[must_use]
pub fn case_in(case: &Case, seat: Option<Seat>) -> Case {
    let Some(seat) = seat else { return case.clone() };
    Case::new(
        &format!("{}-{seat}", case.name),
        &case.who,
        &format!("{}; through a {seat} of three", case.what),
    )
}

impl Seat {
    /// The voter with the highest sid of the first two that meet leads.
    fn sid(self) -> u64 {
        match self {
            Self::Leader | Self::Observer => LAST,
            Self::Follower => 1,
        }
    }

    /// Those that start first, so that the same one leads every time.
    fn first(self) -> [u64; 2] {
        match self {
            Self::Leader | Self::Follower => [1, LAST],
            Self::Observer => [1, 2],
        }
    }

    fn is_observer(self, sid: u64) -> bool {
        self == Self::Observer && sid == LAST
    }
}

/// Starts an ensemble, and returns the server in this seat, which keeps the others.
pub(crate) fn start(kind: Kind, options: &Options, seat: Seat) -> Result<Server> {
    let (mut servers, mut ports) = (Vec::new(), Vec::new());
    let mut lines = Vec::new();
    for sid in 1..=LAST {
        let (quorum, election) = (free_port()?, free_port()?);
        let role = if seat.is_observer(sid) { "observer" } else { "participant" };
        lines.push(format!("server.{sid}=127.0.0.1:{quorum}:{election}:{role}"));
        ports.extend([quorum, election]);
    }
    for sid in 1..=LAST {
        let mut own = Options { seat: None, host: None, ..options.clone() };
        if sid != seat.sid() {
            own.data_dir = None;
        }
        own.lines.push(format!("initLimit={}", INIT_MS.div_ceil(own.tick_time_ms)));
        own.lines.push(format!("syncLimit={}", SYNC_MS.div_ceil(own.tick_time_ms)));
        own.lines.extend(lines.iter().cloned());
        if seat.is_observer(sid) {
            own.lines.push("peerType=observer".to_owned());
        }
        let server = Server::prepare(kind, &own)?;
        let myid = server.data_dir().join("myid");
        fs::write(&myid, sid.to_string()).with_context(|| format!("write {}", myid.display()))?;
        ports.push(server.addr().port());
        servers.push((sid, server));
    }
    for (_, server) in servers.iter_mut().filter(|(sid, _)| seat.first().contains(sid)) {
        server.begin()?;
    }
    for (_, server) in servers.iter_mut().filter(|(sid, _)| seat.first().contains(sid)) {
        server.wait_until_serving()?;
    }
    for (_, server) in servers.iter_mut().filter(|(sid, _)| !seat.first().contains(sid)) {
        server.launch()?;
    }
    let at = servers.iter().position(|(sid, _)| *sid == seat.sid()).context("nobody has the seat")?;
    let (_, mut server) = servers.swap_remove(at);
    server.sit_among(servers.into_iter().map(|(_, companion)| companion).collect(), ports);
    let mode = server.mode()?;
    ensure!(mode == seat.to_string(), "{kind} is {mode} and not {seat}; its log ends:\n{}", server.log());
    Ok(server)
}

/// The ports of an ensemble, which two ensembles cannot share, become their numbers in it, of the same length.
pub(crate) fn without_ports(ports: &[u16], bytes: &mut [u8]) {
    const LENGTH: usize = 5;
    for at in 0..bytes.len() {
        let digits = &mut bytes[at..];
        let Some([b':', port @ ..]) = digits.first_chunk_mut::<{ LENGTH + 1 }>() else { continue };
        let number = std::str::from_utf8(port).ok().and_then(|text| text.parse::<u16>().ok());
        let Some(place) = number.and_then(|number| ports.iter().position(|port| *port == number)) else {
            continue;
        };
        port.copy_from_slice(format!("port{place:x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_the_ensemble_are_told_by_their_place() {
        let mut text = *b"server.1=127.0.0.1:20001:20002:participant;0.0.0.0:20003 20001 :2000";
        without_ports(&[20_001, 20_002], &mut text);
        assert_eq!(
            text.escape_ascii().to_string(),
            "server.1=127.0.0.1:port0:port1:participant;0.0.0.0:20003 20001 :2000"
        );
    }
}
