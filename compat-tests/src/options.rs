//! How a server of a test is configured.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::seat::Seat;

/// What differs from the plain standalone configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Further lines of `zoo.cfg`.
    pub lines: Vec<String>,
    /// Java system properties by full name. The reference gets them as `-D`, Oxkeeper in
    /// `zoo.cfg` without the `zookeeper.` prefix.
    pub properties: Vec<(String, String)>,
    /// Java system properties by full name, which both get as `-D`: the reference as arguments, Oxkeeper in `JVMFLAGS`.
    pub flags: Vec<(String, String)>,
    /// Whether it has a port for TLS as well.
    pub has_secure_port: bool,
    /// An existing data directory; a fresh one that vanishes with the server if none.
    pub data_dir: Option<PathBuf>,
    /// Length of a tick. Session timeouts lie between 2 and 20 ticks.
    pub tick_time_ms: u32,
    /// `clientPortAddress`, with its scope if it has one.
    pub client_port_address: String,
    /// Where the reference runs, if not in a process of its own. Has properties of its own.
    pub host: Option<Host>,
    /// Which build of Oxkeeper, if not the one under judgement.
    pub program: Option<PathBuf>,
    /// Environment variables of Oxkeeper.
    pub environment: Vec<(String, String)>,
    /// Its place in an ensemble of three, if it is not alone.
    pub seat: Option<Seat>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            properties: Vec::new(),
            flags: Vec::new(),
            has_secure_port: false,
            data_dir: None,
            tick_time_ms: 2000,
            client_port_address: Ipv4Addr::LOCALHOST.to_string(),
            host: None,
            program: None,
            environment: Vec::new(),
            seat: None,
        }
    }
}

impl Options {
    /// Takes a place in an ensemble of three.
    #[must_use]
    pub fn seat(mut self, seat: Option<Seat>) -> Self {
        self.seat = seat;
        self
    }

    /// Adds a line of `zoo.cfg`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Adds a Java system property.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a Java system property that the server gets as `-D`, as in `JVMFLAGS`.
    #[must_use]
    pub fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Listens on a port for TLS as well, whose stores other lines tell.
    #[must_use]
    pub fn secure_port(mut self) -> Self {
        self.has_secure_port = true;
        self
    }

    /// Uses an existing data directory.
    #[must_use]
    pub fn data_dir(mut self, dir: &Path) -> Self {
        self.data_dir = Some(dir.to_owned());
        self
    }

    /// Sets the address to listen on.
    #[must_use]
    pub fn client_port_address(mut self, address: &str) -> Self {
        self.client_port_address = address.to_owned();
        self
    }

    /// Sets the length of a tick.
    #[must_use]
    pub fn tick_time_ms(mut self, ms: u32) -> Self {
        self.tick_time_ms = ms;
        self
    }
}
