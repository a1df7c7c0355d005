//! What a member says of itself: `srvr` and `mntr`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::four_letter;

/// A server that starts may never answer a connection that came a moment too early.
const LIMIT: Duration = Duration::from_secs(2);

/// What a member is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It leads.
    Leader,
    /// It follows, with a vote.
    Follower,
    /// It follows, without a vote.
    Observer,
}

/// The answer to `srvr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its role.
    pub mode: Mode,
    /// The last transaction it has applied.
    pub zxid: i64,
}

impl Status {
    /// Asks a server; an error while it does not serve.
    pub fn of(addr: SocketAddr) -> Result<Self> {
        let srvr = four_letter::ask_within(addr, "srvr", LIMIT)?;
        let value =
            |key: &str| srvr.lines().find_map(|line| line.strip_prefix(key)).context(format!("no {key:?}"));
        let mode = match value("Mode: ")? {
            "leader" => Mode::Leader,
            "follower" => Mode::Follower,
            "observer" => Mode::Observer,
            other => bail!("{addr} is {other:?}"),
        };
        let zxid = value("Zxid: 0x")?;
        Ok(Self { mode, zxid: i64::from_str_radix(zxid, 16).with_context(|| format!("the zxid {zxid:?}"))? })
    }
}

/// The keys and values of `mntr`.
pub fn mntr(addr: SocketAddr) -> Result<BTreeMap<String, String>> {
    let text = four_letter::ask(addr, "mntr")?;
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}
