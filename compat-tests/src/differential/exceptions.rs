//! Known differences, from `exceptions.toml`: each with the reason, and a count of how often it occurred.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};

use crate::artifacts;

/// The list, and what of it occurred.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// Entries that a run can meet, with the number of times it did.
    met: BTreeMap<String, u64>,
    /// Those of them that only timing brings about.
    of_timing: BTreeSet<String>,
    in_ensemble: bool,
}

/// Names of the entries that no generator sends; `tests/exclusions` has a case for each.
pub fn excluded() -> Result<Vec<String>> {
    Ok(Exceptions::load_kind("excluded")?.met.into_keys().collect())
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
    /// it; `kind = "timing"` if only a long run is sure to), `kind = "directory"` (damaged files show it), `kind = "quorum"` (a peer sees it) or
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
                "timing" if wanted == "difference" => {
                    exceptions.met.insert(name.to_owned(), 0);
                    exceptions.of_timing.insert(name.to_owned());
                }
                "timing" | "difference" | "directory" | "quorum" | "excluded" => {}
                other => bail!("exception {name} is of unknown kind {other}"),
            }
        }
        Ok(exceptions)
    }

    /// Notes that a known difference occurred; false if it is not known.
    pub fn excuse(&mut self, name: &str) -> bool {
        self.met.get_mut(name).map(|count| *count += 1).is_some()
    }

    /// Reads the entries that a run of requests to ensembles can meet. What would stop an ensemble of the reference
    /// is not sent to one.
    pub fn load_of_ensembles() -> Result<Self> {
        let mut exceptions = Self::load()?;
        exceptions.met.remove("undecodable-write-is-logged");
        Ok(Self { in_ensemble: true, ..exceptions })
    }

    /// Whether the servers sit in ensembles.
    pub(super) fn in_ensemble(&self) -> bool {
        self.in_ensemble
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.met {
            *self.met.entry(name.clone()).or_default() += count;
        }
    }

    /// Entries that never occurred; those of timing count in a very long run only.
    #[must_use]
    pub fn unmet(&self, is_very_long: bool) -> Vec<&str> {
        let unmet = self.met.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str());
        unmet.filter(|name| is_very_long || !self.of_timing.contains(*name)).collect()
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
        assert_eq!(whole.unmet(false), ["x"]);
        assert!(whole.excuse("x") && !whole.excuse("y"));
        assert!(whole.unmet(true).is_empty());
        let of_timing = format!("{}reason = \"r\"\n", entry.replace("difference", "timing"));
        let whole = Exceptions::parse(&of_timing, "difference").expect("a whole entry");
        assert!(whole.unmet(false).is_empty());
        assert_eq!(whole.unmet(true), ["x"]);
    }

    #[test]
    fn the_list_of_the_package_can_be_read() {
        Exceptions::load().expect("exceptions.toml");
    }
}
