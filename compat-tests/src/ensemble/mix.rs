//! Which kinds of servers an ensemble is made of.

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::{Plan, Role};
use crate::artifacts::{LINE_BEFORE, REFERENCE};
use crate::server::Kind;

/// Every mix of the two kinds in three voters, each kind leading (the last leads first), with an observer of each
/// kind; then the same with servers of the line before.
const ALL: &str = "AAO+A AAO+O AOA+O OOA+A OOA+O AOO+A OOO+O OOO+A AAA+O OO8 88O 8OO O88 8AO OOO+8 888+O";

/// Kinds of an ensemble's servers: voters by sid, then the observer. The last voter leads first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    name: String,
    seats: Vec<(Kind, Role)>,
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Mix {
    /// `A` is Apache ZooKeeper, `8` its newest 3.8, and `O` is Oxkeeper; observers follow a `+`.
    pub fn parse(name: &str) -> Result<Self> {
        let mut role = Role::Voter;
        let mut seats = Vec::new();
        for letter in name.chars() {
            match letter {
                '+' => role = Role::Observer,
                _ => seats.push((kind_of(letter).with_context(|| format!("the mix {name:?}"))?, role)),
            }
        }
        ensure!(seats.iter().any(|(_, role)| *role == Role::Voter), "the mix {name:?} has no voter");
        Ok(Self { name: name.to_owned(), seats })
    }

    /// A plan with these servers.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan { seats: self.seats.clone(), ..Plan::voters(&[]) }
    }

    /// A name for files.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The kind that a letter names. With the reference on both seats, `O` is the reference too.
fn kind_of(letter: char) -> Option<Kind> {
    match letter {
        'A' => Some(Kind::Apache(REFERENCE)),
        '8' => Some(Kind::Apache(LINE_BEFORE)),
        'O' => Some(crate::compare::judged()),
        _ => None,
    }
}

/// The mixes to try: those that `OXKEEPER_MIXES` names, all of them if it is `all`, otherwise the short form.
pub fn mixes(short: &str) -> Result<Vec<Mix>> {
    let named = std::env::var("OXKEEPER_MIXES").unwrap_or_else(|_| short.to_owned());
    let names = if named == "all" { ALL } else { &named };
    names.split([',', ' ']).filter(|name| !name.is_empty()).map(Mix::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_names_voters_and_observers() -> Result<()> {
        let mix = Mix::parse("AAA+A")?;
        let kind = Kind::Apache(REFERENCE);
        let expected = Plan::voters(&[kind; 3]).observer(kind);
        assert_eq!(mix.plan().seats, expected.seats);
        let older = Plan::voters(&[kind, Kind::Apache(LINE_BEFORE)]);
        assert_eq!(Mix::parse("A8")?.plan().seats, older.seats);
        assert!(Mix::parse("AXA").is_err());
        assert!(Mix::parse("+A").is_err());
        Ok(())
    }
}
