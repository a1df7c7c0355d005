//! The members of an ensemble, from the configuration to what the core and the peers' ports know of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::config::Config;
use crate::config::dynamic::{Membership, Server};
use crate::quorum;
use crate::zab::{Members, Quorum, Sid};

/// The members as the core knows them.
pub(super) fn members(config: &Config) -> Members {
    let membership = &config.membership;
    let ids = |servers: &mut dyn Iterator<Item = &Server>| servers.map(|server| server.id).collect();
    let is_hierarchical = !membership.groups.is_empty() || !membership.weights.is_empty();
    let quorum = if is_hierarchical {
        Quorum::Hierarchical { groups: groups(membership), weights: weights(membership) }
    } else {
        Quorum::Majority
    };
    Members {
        voters: ids(&mut membership.voters()),
        observers: ids(&mut membership.observers()),
        quorum,
        version: membership.version.cast_signed(),
        text: text(membership, config.raw.len()).into(),
    }
}

/// Where they are.
pub(super) fn addresses(membership: &Membership) -> BTreeMap<Sid, quorum::Member> {
    let of = |server: &Server| {
        let at = |port: fn(&crate::config::dynamic::PeerAddress) -> u16| {
            let address = |address: &_| quorum::Address { host: host_of(address), port: port(address) };
            server.addresses.iter().map(address).collect()
        };
        let member = quorum::Member {
            quorum: at(|address| address.quorum_port),
            election: at(|address| address.election_port),
        };
        (server.id, member)
    };
    membership.servers.values().map(of).collect()
}

fn host_of(address: &crate::config::dynamic::PeerAddress) -> String {
    address.host.clone()
}

/// The group of each server.
fn groups(membership: &Membership) -> BTreeMap<Sid, i64> {
    let of = |(group, members): (&i64, &Vec<Sid>)| {
        let group = *group;
        members.iter().map(move |sid| (*sid, group)).collect::<Vec<_>>()
    };
    membership.groups.iter().flat_map(of).collect()
}

/// The weight of each voter, and what else a weight is said of.
fn weights(membership: &Membership) -> BTreeMap<Sid, i64> {
    let voters = membership.voters().map(|voter| (voter.id, 1));
    voters.chain(membership.weights.iter().map(|(sid, weight)| (*sid, *weight))).collect()
}

/// The configuration as text, byte for byte as the reference prints it, in the order of Java's hash tables: members
/// compare it, and clients read it (reference: `QuorumMaj.toString`, `QuorumHierarchical.toString`). The file had so
/// many `keys`.
pub(super) fn text(membership: &Membership, keys: usize) -> String {
    let mut text = String::new();
    for sid in in_map_order(membership.servers.keys().copied(), keys) {
        if let Some(server) = membership.servers.get(&sid) {
            let _infallible = writeln!(text, "server.{sid}={server}");
        }
    }
    if !membership.groups.is_empty() || !membership.weights.is_empty() {
        let groups = groups(membership);
        let sids = in_map_order(groups.keys().copied(), keys);
        for group in in_map_order(membership.groups.keys().copied(), keys) {
            let members = sids.iter().filter(|sid| groups.get(sid) == Some(&group));
            let members: Vec<_> = members.map(ToString::to_string).collect();
            let _infallible = writeln!(text, "group.{group}={}", members.join(":"));
        }
        let weights = weights(membership);
        for sid in in_map_order(weights.keys().copied(), keys) {
            let weight = weights.get(&sid).copied().unwrap_or(1);
            let _infallible = writeln!(text, "weight.{sid}={weight}");
        }
    }
    let _infallible = write!(text, "version={:x}", membership.version);
    text
}

/// In the order of a `HashMap<Long, …>`. Numbers that share a slot are in the order in which the reference reads them:
/// that of its `Properties`, which is another hash table, of so many keys.
fn in_map_order(numbers: impl Iterator<Item = i64>, keys: usize) -> Vec<i64> {
    let mut numbers: Vec<i64> = numbers.collect();
    let slots = slots(numbers.len(), |entries, slots| entries * 4 > slots * 3);
    let key_slots = self::slots(keys, |entries, slots| entries * 4 >= slots * 3);
    numbers.sort_by_key(|number| {
        let folded = (number ^ ((number.cast_unsigned() >> 32).cast_signed())) as u32;
        (slot(folded, slots), slot(hash_of(&format!("server.{number}")), key_slots))
    });
    numbers
}

/// The size that a table has which began with 16 slots.
fn slots(entries: usize, is_too_small: fn(usize, usize) -> bool) -> usize {
    let mut slots = 16;
    while is_too_small(entries, slots) {
        slots *= 2;
    }
    slots
}

const fn slot(hash: u32, slots: usize) -> usize {
    (hash ^ (hash >> 16)) as usize & (slots - 1)
}

/// Java's `String.hashCode`.
fn hash_of(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn config(lines: &str) -> Config {
        let text =
            format!("dataDir=/d\nclientPort=2181\ninitLimit=5\nsyncLimit=2\nstandaloneEnabled=true\n{lines}");
        let read = Config::parse("zoo.cfg", text.as_bytes(), &Environment::default());
        // Without a directory there is no myid, which only a start needs.
        read.unwrap_or_else(|error| panic!("{error}"))
    }

    fn membership(lines: &[(&str, &str)]) -> Membership {
        let mut membership = Membership::default();
        for (key, value) in lines {
            assert_eq!(membership.take(key, value, true), Ok(true));
        }
        membership
    }

    /// Trap 36 of the quorum protocols.
    #[test]
    fn the_text_is_that_of_the_reference_in_its_order() {
        let lines = [
            ("server.200", "c:1:2:observer"),
            ("server.40", "b:1:2;2181"),
            ("server.7", "a:1:2"),
            ("version", "1000000a"),
        ];
        // 200 is in slot 8 of 16, 40 too, 7 in slot 7.
        let text = text(&membership(&lines), 10);
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, "server.7=a:1:2:participant");
        assert!(rest.contains("server.40=b:1:2:participant;0.0.0.0:2181\n"), "{rest}");
        assert!(rest.contains("server.200=c:1:2:observer\n") && rest.ends_with("version=1000000a"), "{rest}");
    }

    #[test]
    fn groups_and_weights_follow_the_servers() {
        let servers = [("server.1", "a:1:2"), ("server.2", "b:1:2"), ("server.3", "c:1:2")];
        let groups = [("group.1", "1:2"), ("group.2", "3"), ("weight.3", "5")];
        let text = text(&membership(&[&servers[..], &groups[..]].concat()), 10);
        let lines: Vec<_> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            ["group.1=1:2", "group.2=3", "weight.1=1", "weight.2=1", "weight.3=5", "version=0"]
        );
    }

    #[test]
    fn a_server_line_says_where_its_ports_are() {
        let found = addresses(&membership(&[("server.3", "a:1:2|[::1]:4:5")]));
        let member = found.get(&3).unwrap();
        assert_eq!(
            member.quorum.iter().map(|at| (&*at.host, at.port)).collect::<Vec<_>>(),
            [("a", 1), ("::1", 4)]
        );
        assert_eq!(member.election.iter().map(|at| at.port).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn a_server_alone_has_no_members() {
        let members = members(&config(""));
        assert!(members.voters.is_empty() && members.observers.is_empty());
        assert_eq!(members.text, "version=0");
    }
}
