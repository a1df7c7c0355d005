//! Which process listens on a port, as the kernel tells it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};

/// The state of a listening socket in the kernel's tables.
const LISTEN: &str = "0A";

/// Whether anybody listens on the TCP port.
pub fn is_taken(port: u16) -> Result<bool> {
    Ok(!inodes_of_listeners(port)?.is_empty())
}

/// The sockets that listen on the TCP port, by their inodes.
fn inodes_of_listeners(port: u16) -> Result<Vec<u64>> {
    let mut inodes = Vec::new();
    // A Java server listens on an IPv6 socket that takes IPv4, too.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if Path::new(table).exists() {
            let file = File::open(table).with_context(|| format!("open {table}"))?;
            // The kernel tells first of those that listen. Behind them a busy machine has a hundred thousand connections
            // that were closed, and takes seconds to tell of them.
            for line in BufReader::new(file).lines().skip(1) {
                let line = line.with_context(|| format!("read {table}"))?;
                if !is_listener(&line) {
                    break;
                }
                inodes.extend(inode_of_listener(&line, port));
            }
        }
    }
    Ok(inodes)
}

fn is_listener(line: &str) -> bool {
    line.split_whitespace().nth(3) == Some(LISTEN)
}

/// Whether the process `pid` holds a socket that listens on the TCP port.
pub fn listens(pid: u32, port: u16) -> Result<bool> {
    let inodes = inodes_of_listeners(port)?;
    let dir = format!("/proc/{pid}/fd");
    for entry in fs::read_dir(&dir).with_context(|| format!("list {dir}"))? {
        // A descriptor may be closed while the list is read.
        let Ok(target) = fs::read_link(entry.context("read a directory entry")?.path()) else { continue };
        let target = target.display().to_string();
        if inodes.iter().any(|inode| target == format!("socket:[{inode}]")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`, addresses in hexadecimal.
fn inode_of_listener(line: &str, port: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let found = is_listener(line) && u16::from_str_radix(local, 16) == Ok(port);
    found.then(|| fields.get(9)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_listens_where_it_says() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        assert!(listens(std::process::id(), port)?);
        drop(listener);
        assert!(!listens(std::process::id(), port)?);
        Ok(())
    }
}
