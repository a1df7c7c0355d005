//! Connections that stand beside a run: sessions that ask for nothing, and clients that stop inside the handshake of TLS.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result};

use crate::Client;
use crate::process;
use crate::socket::{Socket, Target};

/// The header of a ClientHello of 508 bytes, and no more of it.
const BEGINNING: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

/// Who stands there.
#[derive(Debug)]
pub struct Crowd {
    _idle: Vec<Socket>,
    _stalled: Vec<TcpStream>,
    /// What the server's resident memory grew by for each, in bytes.
    pub bytes_each: Option<f64>,
}

impl Crowd {
    /// Opens so many idle sessions and stalled handshakes, one after the other.
    ///
    /// # Errors
    /// When the server refuses one.
    pub fn gather(target: &Target, idle: usize, stalled: usize, pid: Option<u32>) -> Result<Self> {
        let resident = || pid.map(process::resident_kib).transpose();
        let before = resident()?;
        let open = |number| {
            let client = Client::connect(target).with_context(|| format!("idle session {number}"))?;
            Ok(client.into_stream())
        };
        let idle = (0..idle).map(open).collect::<Result<Vec<_>>>()?;
        let stall = |number| {
            let address = target.address;
            let mut stream =
                TcpStream::connect(address).with_context(|| format!("stalled connection {number}"))?;
            stream.write_all(&BEGINNING)?;
            Ok(stream)
        };
        let stalled = (0..stalled).map(stall).collect::<Result<Vec<_>>>()?;
        let count = idle.len() + stalled.len();
        let grown = |(before, after): (u64, u64)| after.saturating_sub(before) as f64 * 1024.0 / count as f64;
        let bytes_each = before.zip(resident()?).map(grown);
        Ok(Self { _idle: idle, _stalled: stalled, bytes_each })
    }
}
