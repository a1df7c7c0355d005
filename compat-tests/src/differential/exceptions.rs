//! Known differences, from `exceptions.toml`: each with the reason, and a count of how often it occurred.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::artifacts;

/// The list, and what of it occurred.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// Entries that a run can meet, with the number of times it did.
    met: BTreeMap<String, u64>,
}

impl Exceptions {
    /// Reads the entries that a run of requests can meet.
    pub fn load() -> Result<Self> {
        Self::load_kind("difference")
    }

    /// Reads the entries that the opening of a damaged directory can meet.
    pub fn load_of_directories() -> Result<Self> {
        Self::load_kind("directory")
    }

    /// Reads the entries that a conversation on the quorum ports can meet.
    pub fn load_of_quorum_ports() -> Result<Self> {
        Self::load_kind("quorum")
    }

    fn load_kind(wanted: &str) -> Result<Self> {
        let path = artifacts::package_dir().join("exceptions.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text, wanted)
    }

    /// Tables `[[exception]]` of `key = "value"` lines. An entry is `kind = "difference"` (a run meets
    /// it), `kind = "directory"` (damaged files show it), `kind = "quorum"` (a peer sees it) or
    /// `kind = "excluded"` (it would stop the reference, so it is never sent).
    fn parse(text: &str, wanted: &str) -> Result<Self> {
        let mut exceptions = Self::default();
        for table in text.split("[[exception]]").skip(1) {
            let value = |key: &str| {
                let line = table
                    .lines()
                    .find(|line| line.split('=').next().is_some_and(|found| found.trim() == key));
                let value = line
                    .and_then(|line| line.split_once('='))
                    .map(|(_, value)| value.trim().trim_matches('"'));
                value
                    .filter(|value| !value.is_empty())
                    .with_context(|| format!("an exception without `{key}`:{table}"))
            };
            let name = value("name")?;
            value("reason")?;
            value("reference")?;
            match value("kind")? {
                kind if kind == wanted => drop(exceptions.met.insert(name.to_owned(), 0)),
                "difference" | "directory" | "quorum" | "excluded" => {}
                other => bail!("exception {name} is of unknown kind {other}"),
            }
        }
        Ok(exceptions)
    }

    /// Notes that a known difference occurred; false if it is not known.
    pub fn excuse(&mut self, name: &str) -> bool {
        self.met.get_mut(name).map(|count| *count += 1).is_some()
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.met {
            *self.met.entry(name.clone()).or_default() += count;
        }
    }

    /// Entries that never occurred.
    #[must_use]
    pub fn unmet(&self) -> Vec<&str> {
        self.met.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str()).collect()
    }

    /// Entries and how often they occurred.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        let entry = "[[exception]]\nname = \"x\"\nkind = \"difference\"\nreference = \"C\"\n";
        assert!(Exceptions::parse(entry, "difference").is_err());
        let mut whole = Exceptions::parse(&format!("{entry}reason = \"because\"\n"), "difference")
            .expect("a whole entry");
        assert_eq!(whole.unmet(), ["x"]);
        assert!(whole.excuse("x") && !whole.excuse("y"));
        assert!(whole.unmet().is_empty());
    }

    #[test]
    fn the_list_of_the_package_can_be_read() {
        Exceptions::load().expect("exceptions.toml");
    }
}
