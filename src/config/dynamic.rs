//! The members of an ensemble: `server.N`, `group.N` and `weight.N` lines.
//!
//! `server.N=host:quorumPort:electionPort[:role][;[clientHost:]clientPort]`; several
//! `host:port:port` parts joined by `|` are the addresses of one server. Hosts are kept as they
//! are written: resolving them is for whoever connects.
//!
//! Knows nothing of files: it takes keys and values, wherever they stood.
//! Reference: `QuorumPeer.QuorumServer`, `QuorumMaj`, `QuorumHierarchical`, `ConfigUtils.getHostAndPort`.

use std::collections::BTreeMap;
use std::fmt;

/// Whether a server votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It votes.
    #[default]
    Participant,
    /// It only follows.
    Observer,
}

impl Role {
    /// Reads `participant` or `observer`, in any case. Error: the word is neither.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word.trim().to_ascii_lowercase().as_str() {
            "participant" => Ok(Self::Participant),
            "observer" => Ok(Self::Observer),
            _ => Err(format!("unknown role {word:?}; write participant or observer")),
        }
    }
}

/// A host and the two ports peers use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Where the leader listens for learners.
    pub quorum_port: u16,
    /// Where election votes arrive.
    pub election_port: u16,
}

/// A host and port for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress {
    /// Name or address, without brackets; `0.0.0.0` when the line names only a port.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// N.
    pub id: i64,
    /// One or more ways to reach it.
    pub addresses: Vec<PeerAddress>,
    /// Whether it votes.
    pub role: Role,
    /// Where clients reach it, if the line says so.
    pub client: Option<ClientAddress>,
}

impl Server {
    /// Parses the value of `server.<id>`. `multi_address` allows more than one address.
    ///
    /// Errors: what is wrong, for a person.
    pub fn parse(id: i64, text: &str, multi_address: bool) -> Result<Self, String> {
        let form = "must look like host:port:port[:role][;[host:]port], several host:port:port joined by |";
        let (servers, client) = match text.trim_end_matches(';').split_once(';') {
            Some((_, client)) if client.contains(';') => return Err(form.to_owned()),
            Some((servers, client)) => (servers, Some(client_address(client, form)?)),
            None => (text.trim_end_matches(';'), None),
        };
        let parts: Vec<&str> = servers.split('|').collect();
        if parts.len() > 1 && !multi_address {
            return Err("several addresses need multiAddress.enabled=true".to_owned());
        }
        let mut addresses = Vec::new();
        let mut role = None;
        for part in parts {
            let fields = host_and_ports(part)?;
            let [host, quorum, election, rest @ ..] = fields.as_slice() else { return Err(form.to_owned()) };
            if rest.len() > 1 {
                return Err(form.to_owned());
            }
            let (quorum_port, election_port) = (port(quorum)?, port(election)?);
            if quorum_port == election_port {
                return Err("quorum port and election port must differ".to_owned());
            }
            if let Some(word) = rest.first() {
                let said = Role::parse(word)?;
                if role.is_some_and(|role| role != said) {
                    return Err("all addresses of a server must have the same role".to_owned());
                }
                role = Some(said);
            }
            addresses.push(PeerAddress { host: (*host).to_owned(), quorum_port, election_port });
        }
        Ok(Self { id, addresses, role: role.unwrap_or_default(), client })
    }
}

/// The form in which the reference prints a server into the config node and `conf`.
impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_by(|one, other| one.host.cmp(&other.host));
        for (at, PeerAddress { host, quorum_port, election_port }) in addresses.into_iter().enumerate() {
            let bar = if at == 0 { "" } else { "|" };
            write!(out, "{bar}{}:{quorum_port}:{election_port}", bracketed(host))?;
        }
        out.write_str(match self.role {
            Role::Participant => ":participant",
            Role::Observer => ":observer",
        })?;
        match &self.client {
            Some(ClientAddress { host, port }) => write!(out, ";{}:{port}", bracketed(host)),
            None => Ok(()),
        }
    }
}

/// The ensemble as its lines describe it. Empty for a server that is alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Servers by id.
    pub servers: BTreeMap<i64, Server>,
    /// Members of each quorum group; empty means plain majority.
    pub groups: BTreeMap<i64, Vec<i64>>,
    /// Voting weights; servers without one weigh 1.
    pub weights: BTreeMap<i64, i64>,
    /// Version of the configuration; 0 when no file name or line states one.
    pub version: u64,
}

impl Membership {
    /// Takes one key and value. Returns false when the key is not about membership.
    ///
    /// Errors: what is wrong, for a person.
    pub fn take(&mut self, key: &str, value: &str, multi_address: bool) -> Result<bool, String> {
        let number = |text: &str, what: &str| {
            text.parse::<i64>().map_err(|_| format!("{what} must be a whole number, not {text:?}"))
        };
        let suffix = key.split_once('.').map_or("", |(_, suffix)| suffix);
        if key.starts_with("server.") {
            let id = number(suffix, "the server id after server.")?;
            self.servers.insert(id, Server::parse(id, value, multi_address)?);
        } else if key.starts_with("group") {
            let id = number(suffix, "the group id after group.")?;
            let members = value.split(':').map(|sid| number(sid, "a member of a group"));
            let members = members.collect::<Result<Vec<_>, _>>()?;
            if let Some(twice) =
                members.iter().find(|sid| self.groups.values().any(|group| group.contains(sid)))
            {
                return Err(format!("server {twice} is in more than one group"));
            }
            self.groups.insert(id, members);
        } else if key.starts_with("weight") {
            self.weights.insert(number(suffix, "the server id after weight.")?, number(value, "a weight")?);
        } else if key == "version" {
            self.version =
                u64::from_str_radix(value, 16).map_err(|_| "must be a hexadecimal number".to_owned())?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Servers that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Server> {
        self.servers.values().filter(|server| server.role == Role::Participant)
    }

    /// Servers that only follow.
    pub fn observers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values().filter(|server| server.role == Role::Observer)
    }

    /// Checks what no single line shows: with groups, every voter is in one.
    ///
    /// Errors: what is wrong, for a person.
    pub fn check_groups(&self) -> Result<(), String> {
        let hierarchical = !self.groups.is_empty() || !self.weights.is_empty();
        let alone = |server: &&Server| !self.groups.values().any(|group| group.contains(&server.id));
        match self.voters().find(alone) {
            Some(server) if hierarchical => Err(format!("server {} is not in a group", server.id)),
            _ => Ok(()),
        }
    }
}

/// The version that the name of a dynamic file carries: `zoo.cfg.dynamic.1000000a`.
pub fn version_of_file_name(name: &str) -> Option<u64> {
    name.rsplit_once('.').and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok())
}

fn client_address(text: &str, form: &str) -> Result<ClientAddress, String> {
    let fields = host_and_ports(text)?;
    match fields.as_slice() {
        [only] => Ok(ClientAddress { host: "0.0.0.0".to_owned(), port: port(only)? }),
        [host, last] => Ok(ClientAddress { host: (*host).to_owned(), port: port(last)? }),
        _ => Err(form.to_owned()),
    }
}

/// Splits at colons, except inside the brackets of an IPv6 address.
fn host_and_ports(text: &str) -> Result<Vec<&str>, String> {
    let Some(inside) = text.strip_prefix('[') else { return Ok(text.split(':').collect()) };
    let Some((host, rest)) = inside.split_once(']') else {
        return Err(format!("{text:?} has '[' without ']'"));
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok(vec![host]),
        Some(ports) if !ports.is_empty() => Ok([host].into_iter().chain(ports.split(':')).collect()),
        _ => Err(format!("{text:?} must have a port after ']:'")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("port {text:?} must be a number from 0 to 65535"))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, printed: &str) {
        assert_eq!(Server::parse(1, text, true).unwrap().to_string(), printed);
    }

    #[test]
    fn a_server_line_is_read_and_printed_as_the_reference_prints_it() {
        check("zoo1:2888:3888", "zoo1:2888:3888:participant");
        check("zoo1:2888:3888:OBSERVER", "zoo1:2888:3888:observer");
        check("zoo1:2888:3888;2181", "zoo1:2888:3888:participant;0.0.0.0:2181");
        check("zoo1:2888:3888:participant;10.0.0.1:2181", "zoo1:2888:3888:participant;10.0.0.1:2181");
        check("[::1]:2888:3888;[::]:2181", "[::1]:2888:3888:participant;[::]:2181");
        check("b:2888:3888|a:2889:3889", "a:2889:3889|b:2888:3888:participant");
    }

    #[test]
    fn a_bad_server_line_says_what_is_wrong() {
        for (text, needle) in [
            ("zoo1", "must look like"),
            ("zoo1:2888", "must look like"),
            ("zoo1:2888:3888:observer:x", "must look like"),
            ("zoo1:2888:3888;1;2", "must look like"),
            ("zoo1:x:3888", "port \"x\""),
            ("zoo1:2888:2888", "must differ"),
            ("zoo1:2888:3888:leader", "unknown role"),
            ("[::1:2888:3888", "without ']'"),
            ("a:1:2:observer|b:1:2:participant", "same role"),
        ] {
            let problem = Server::parse(1, text, true).unwrap_err();
            assert!(problem.contains(needle), "{text}: {problem}");
        }
        assert!(Server::parse(1, "a:1:2|b:1:2", false).unwrap_err().contains("multiAddress.enabled"));
    }

    #[test]
    fn groups_hold_each_voter_once() {
        let mut members = Membership::default();
        for (key, value) in
            [("server.1", "a:1:2"), ("server.2", "b:1:2"), ("group.1", "1"), ("weight.1", "3")]
        {
            assert_eq!(members.take(key, value, false), Ok(true));
        }
        assert_eq!(members.check_groups(), Err("server 2 is not in a group".to_owned()));
        assert!(members.take("group.2", "1:2", false).unwrap_err().contains("server 1"));
        assert_eq!(members.take("group.2", "2", false), Ok(true));
        assert_eq!(members.check_groups(), Ok(()));
        assert_eq!(members.take("tickTime", "2000", false), Ok(false));
    }

    #[test]
    fn the_version_is_the_hexadecimal_suffix_of_the_file_name() {
        assert_eq!(version_of_file_name("zoo.cfg.dynamic.10000000a"), Some(0x1_0000_000a));
        assert_eq!(version_of_file_name("zoo.cfg.dynamic"), None);
        assert_eq!(version_of_file_name("dynamic"), None);
    }
}
