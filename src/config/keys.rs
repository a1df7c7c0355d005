//! Every configuration key, one row each.
//!
//! The rows in `table` feed the parser, its error texts, the list of keys that have no effect
//! yet, and `docs/configuration.md`. A key that is not here is not an error: like the reference
//! we take it for a system property, `zookeeper.<key>`.

mod table;

pub use table::KEYS;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file system path.
    Path,
    /// Free text, or one of the words the unit column lists.
    Text,
    /// Words separated by commas.
    List,
    /// A TCP port, 0 to 65535.
    Port,
    /// A whole number, in the row's unit.
    Number,
    /// A decimal fraction.
    Ratio,
    /// `true` or `false`; any other word is an error.
    Bool,
    /// `true` turns it on, every other word turns it off: how the reference reads system
    /// properties (`Boolean.parseBoolean`).
    Flag,
    /// One word is special, every other one means the default: `forceSync=no`, `skipACL=yes`.
    Word,
}

/// What setting a key does in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It works.
    Now,
    /// It is read, checked and reported, but changes nothing yet.
    Later,
    /// It tunes something of the Java server that Oxkeeper does not have.
    Java,
}

/// One row.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file. A final `*` stands for any suffix: `server.*`.
    pub name: &'static str,
    /// System properties that set it too, strongest first. A key without any is read from the
    /// file alone.
    pub properties: &'static [&'static str],
    /// How its value is written.
    pub kind: Kind,
    /// The default, in words where it is computed.
    pub default: &'static str,
    /// Unit, range or allowed words.
    pub unit: &'static str,
    /// Whether it works in this version.
    pub effect: Effect,
    /// The reference's class that reads it.
    pub reference: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Key {
    /// Whether a name in a file means this key.
    pub fn is_named(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.name == name,
        }
    }

    /// Whether the file's value is parsed strictly and never becomes a system property.
    pub fn is_read_from_file(&self) -> bool {
        self.properties.is_empty() || self.kind == Kind::Bool || self.name.starts_with("multiAddress.reach")
    }

    /// The unit as an error message says it: "whole number of milliseconds".
    pub fn unit_in_words(&self) -> Option<&'static str> {
        match self.unit {
            "ms" => Some("milliseconds"),
            "s" => Some("seconds"),
            unit if unit.starts_with("hours") => Some("hours"),
            "ticks" | "KiB" | "bytes" | "requests" | "txns" => Some(self.unit),
            _ => None,
        }
    }
}

/// The row of a key in a file: the exact name before a pattern.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name).or_else(|| KEYS.iter().find(|key| key.is_named(name)))
}

/// The row of a system property: the exact name before a pattern.
pub fn find_property(property: &str) -> Option<&'static Key> {
    let matches = |name: &&str| name.strip_suffix('*').is_some_and(|prefix| property.starts_with(prefix));
    let exact = KEYS.iter().find(|key| key.properties.contains(&property));
    exact.or_else(|| KEYS.iter().find(|key| key.properties.iter().any(matches)))
}

/// Whether the value of a key or a property of this name must not be shown. The names that are known are not enough:
/// a misspelt key holds the same password. What names a file is no secret, and helps to find a mistake.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.ends_with("path")
        && ["password", "passwd", "passphrase", "secret", "superdigest"]
            .iter()
            .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_passwords_and_digests_are_secret_and_paths_are_not() {
        for name in [
            "ssl.keyStore.password",
            "ssl.quorum.trustStore.passwd",
            "metricsProvider.ssl.keyStore.password",
            "SASLAuthenticationProvider.superPassword",
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "my.own.Secret",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["ssl.keyStore.passwordPath", "ssl.keyStore.location", "dataDir", "superUser"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn every_name_and_property_has_one_row() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        let mut properties: Vec<_> = KEYS.iter().flat_map(|key| key.properties).collect();
        assert!(names.len() > 200 && properties.len() > 150);
        names.sort_unstable();
        properties.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(properties.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn patterns_match_any_suffix_and_exact_names_come_first() {
        assert_eq!(find("server.17").unwrap().name, "server.*");
        assert_eq!(find("server.realm").unwrap().name, "server.realm");
        assert_eq!(find("authProvider.1").unwrap().name, "authProvider.*");
        assert!(find("noSuchKey").is_none());
    }
}
