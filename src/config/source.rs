//! Where a setting comes from, and which of several counts.
//!
//! Two worlds, as in the reference. Keys of the first are read from the file alone and a bad value
//! stops the server. Keys of the second are system properties: the file sets `zookeeper.<key>`
//! and thereby replaces a `-D` flag of the same name, while a value that is no number falls back
//! to the default. Strongest first: the file's key, a `-D` flag in `JVMFLAGS`, then
//! one in `SERVER_JVMFLAGS`. Names the reference takes only as flags (`jute.maxbuffer`,
//! `zookeeper.snapCount`) are accepted in the file too, below the flags, so that a file that means nothing
//! there keeps meaning nothing against an explicit flag.
//!
//! Reference: `QuorumPeerConfig.parseProperties`; `zkServer.sh` for the order of the flags.

use std::collections::HashMap;
use std::fmt;

use super::error::ConfigError;
use super::keys::{self, Key};
use super::properties::{Entry, Properties};

/// What the environment of the process contributes. `Debug` leaves the flags out: they may hold passwords.
#[derive(Clone, Default)]
pub struct Environment {
    /// `SERVER_JVMFLAGS`, of which only `-D` flags matter.
    pub server_jvmflags: String,
    /// `JVMFLAGS`, likewise; the stronger of the two.
    pub jvmflags: String,
    /// `OXKEEPER_DATA`: data directory when there is no configuration file.
    pub data_dir: Option<String>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Environment {
    /// Reads the process environment.
    pub fn of_process() -> Self {
        let read = |name| std::env::var(name).ok();
        Self {
            server_jvmflags: read("SERVER_JVMFLAGS").unwrap_or_default(),
            jvmflags: read("JVMFLAGS").unwrap_or_default(),
            data_dir: read("OXKEEPER_DATA").filter(|path| !path.is_empty()),
        }
    }
}

/// A value and the place to name when it is wrong. It has no `Debug`: the value may be a password.
#[derive(Clone, PartialEq, Eq)]
struct Setting {
    place: String,
    line: Option<usize>,
    key: String,
    value: String,
}

/// All settings of one start, and the remarks made while reading them.
pub(super) struct Source<'a> {
    file: &'a str,
    entries: &'a Properties,
    system: HashMap<String, Setting>,
    /// Things to log: the start goes on.
    pub(super) warnings: Vec<String>,
}

impl<'a> Source<'a> {
    pub(super) fn of(file: &'a str, entries: &'a Properties, environment: &Environment) -> Self {
        let mut system = HashMap::new();
        let of_entry = |entry: &Entry| Setting {
            place: file.to_owned(),
            line: Some(entry.line),
            key: entry.key.clone(),
            value: entry.value.clone(),
        };
        for entry in entries.effective().filter(|entry| keys::find_property(&entry.key).is_some()) {
            system.insert(entry.key.clone(), of_entry(entry));
        }
        for (place, flags) in
            [("SERVER_JVMFLAGS", &environment.server_jvmflags), ("JVMFLAGS", &environment.jvmflags)]
        {
            for (key, value) in system_properties(flags) {
                let setting = Setting { place: place.to_owned(), line: None, key: key.clone(), value };
                system.insert(key, setting);
            }
        }
        for entry in entries.effective() {
            let file_only = keys::find(&entry.key).is_some_and(Key::is_read_from_file);
            if !file_only {
                system.insert(format!("zookeeper.{}", entry.key), of_entry(entry));
            }
        }
        let mut source = Self { file, entries, system, warnings: Vec::new() };
        source.remark_on_oddities();
        source
    }

    /// The `-D` flags that count, by name: those that the file does not replace.
    pub(super) fn flags(&self) -> Vec<&str> {
        let of_flags = self.system.values().filter(|setting| setting.line.is_none());
        let mut names: Vec<_> = of_flags.map(|setting| setting.key.as_str()).collect();
        names.sort_unstable();
        names
    }

    fn remark_on_oddities(&mut self) {
        for entry in self.entries.replaced() {
            let Entry { line, key, .. } = entry;
            self.warnings
                .push(format!("{} line {line}: {key} is set again below; this line is ignored", self.file));
        }
        for Entry { line, key, .. } in self.entries.effective().filter(|entry| entry.non_ascii) {
            self.warnings.push(format!(
                "{} line {line}: {key} has bytes outside ASCII, which are read as Latin-1; write \\uXXXX instead",
                self.file
            ));
        }
        let is_ours = |name: &&str| name.starts_with("zookeeper.") && keys::find_property(name).is_none();
        let unknown: Vec<_> = self.flags().into_iter().filter(is_ours).map(str::to_owned).collect();
        self.warnings.extend(unknown.into_iter().map(|name| format!("-D{name} is not a known property")));
    }

    /// An error about the file as a whole, or about a key it lacks.
    pub(super) fn missing(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError { key: key.to_owned(), ..ConfigError::file(self.file, problem) }
    }

    /// An error about a key of the file.
    pub(super) fn wrong(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        match self.entries.find(key) {
            Some(entry) => ConfigError {
                line: Some(entry.line),
                value: shown(key, &entry.value),
                ..self.missing(key, problem)
            },
            None => self.missing(key, problem),
        }
    }

    /// The file's own value of a key.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.entries.find(key).map(|entry| entry.value.as_str())
    }

    /// A whole number of the file: its value, or None when it is not set.
    pub(super) fn number(&self, key: &str, min: i32, max: i32) -> Result<Option<i32>, ConfigError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match java_int(text) {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(key, must_be(key, min, max))),
        }
    }

    /// `true` or `false` of the file.
    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.text(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.wrong(key, "must be 'true' or 'false'")),
        }
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        let key = keys::find(name).expect("only keys of the table are asked for");
        key.properties.iter().find_map(|property| self.system.get(*property))
    }

    /// A system property as it is written.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.setting(name).map(|setting| setting.value.as_str())
    }

    /// A system property that is no key of ours, by its whole name.
    pub(super) fn any_property(&self, name: &str) -> Option<&str> {
        self.system.get(name).map(|setting| setting.value.as_str())
    }

    /// Where a system property is set, as messages name it: file, line and key.
    pub(super) fn origin(&self, name: &str) -> String {
        match self.setting(name) {
            Some(Setting { place, line: Some(line), key, .. }) => format!("{place} line {line}: {key}"),
            Some(Setting { place, key, .. }) => format!("{place}: {key}"),
            None => format!("{}: {name}", self.file),
        }
    }

    /// An error about a system property.
    pub(super) fn wrong_property(&self, name: &str, problem: impl Into<String>) -> ConfigError {
        match self.setting(name).cloned() {
            Some(Setting { place, line, key, value }) => {
                let value = shown(&key, &value);
                ConfigError { file: place, line, key, value, problem: problem.into() }
            }
            None => self.missing(name, problem),
        }
    }

    /// The system properties of a key whose name ends in `*`, by name, with their values.
    pub(super) fn properties_like(&self, name: &str) -> Vec<(String, String)> {
        let key = keys::find(name).expect("only keys of the table are asked for");
        let is_one = |property: &str| {
            key.properties.iter().any(|pattern| property.starts_with(pattern.trim_end_matches('*')))
        };
        let found = self.system.iter().filter(|(property, _)| is_one(property));
        let mut found: Vec<_> =
            found.map(|(_, setting)| (setting.key.clone(), setting.value.clone())).collect();
        found.sort();
        found
    }

    /// A system property that is a whole number; anything else gives the default and a remark.
    pub(super) fn property_number(&mut self, name: &str, default: i64) -> i64 {
        let Some(setting) = self.setting(name) else { return default };
        java_decode(&setting.value).unwrap_or_else(|| self.fall_back(name, "a whole number", default))
    }

    /// The same for a number that must fit 32 bits.
    pub(super) fn property_int(&mut self, name: &str, default: i32) -> i32 {
        let number = self.property_number(name, i64::from(default));
        i32::try_from(number).unwrap_or_else(|_| self.fall_back(name, "a number of 32 bits", default))
    }

    /// A system property that is a fraction.
    pub(super) fn property_ratio(&mut self, name: &str, default: f64) -> f64 {
        let Some(setting) = self.setting(name) else { return default };
        let ratio = setting.value.parse().ok().filter(|ratio: &f64| ratio.is_finite());
        ratio.unwrap_or_else(|| self.fall_back(name, "a decimal number", default))
    }

    /// A system property that is on when it says `true`, off when it says anything else.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.property(name).map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }

    fn fall_back<T: std::fmt::Display>(&mut self, name: &str, wanted: &str, default: T) -> T {
        if let Some(Setting { place, line, key, value }) = self.setting(name) {
            let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
            let remark =
                format!("{place}{line}: {key}={value}: not {wanted}; using {default} as the reference does");
            self.warnings.push(remark);
        }
        default
    }
}

/// A value as an error may show it: not at all when it is secret.
pub(super) fn shown(key: &str, value: &str) -> Option<String> {
    (!keys::is_secret(key)).then(|| value.to_owned())
}

fn must_be(name: &str, min: i32, max: i32) -> String {
    let unit = keys::find(name).and_then(Key::unit_in_words);
    let unit = unit.map(|unit| format!(" of {unit}")).unwrap_or_default();
    let range = match (min, max) {
        (i32::MIN, i32::MAX) => String::new(),
        (1, i32::MAX) => " above 0".to_owned(),
        (_, i32::MAX) => format!(" of at least {min}"),
        _ => format!(" from {min} to {max}"),
    };
    format!("must be a whole number{unit}{range}")
}

/// What `Integer.parseInt` takes: digits with an optional sign.
pub(super) fn java_int(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// What `Long.decode` takes: also hexadecimal with `0x` or `#`, and octal with a leading 0.
fn java_decode(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or(digits.strip_prefix("0X")).or(digits.strip_prefix('#'));
    let (digits, radix) = match (hex, digits.strip_prefix('0')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// The `-Dname=value` flags of a command line split at blanks, as the shell splits an unquoted variable.
pub(super) fn system_properties(flags: &str) -> impl Iterator<Item = (String, String)> + '_ {
    flags.split_whitespace().filter_map(|flag| flag.strip_prefix("-D")).map(|definition| {
        let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
        (name.to_owned(), value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_secret_does_not_show_it() {
        let entries = Properties::parse(b"ssl.keyStore.password=canary\nclientPort=canary").unwrap();
        let source = Source::of("zoo.cfg", &entries, &Environment::default());
        for error in [
            source.wrong("ssl.keyStore.password", "is wrong"),
            source.wrong_property("ssl.keyStore.password", "is wrong"),
        ] {
            assert_eq!(error.to_string(), "zoo.cfg line 1: ssl.keyStore.password: is wrong");
        }
        let open = source.wrong("clientPort", "is wrong");
        assert_eq!(open.to_string(), "zoo.cfg line 2: clientPort=canary: is wrong");
    }

    #[track_caller]
    fn check(text: &str, flags: &str, name: &str, expected: Option<&str>) {
        let entries = Properties::parse(text.as_bytes()).unwrap();
        let environment = Environment { jvmflags: flags.to_owned(), ..Environment::default() };
        assert_eq!(Source::of("zoo.cfg", &entries, &environment).property(name), expected);
    }

    #[test]
    fn the_file_replaces_a_flag_of_the_same_key() {
        check("snapCount=5", "-Xmx1g -Dzookeeper.snapCount=9", "snapCount", Some("5"));
        check("", "-Dzookeeper.snapCount=9", "snapCount", Some("9"));
        check("", "-DsnapCount=9", "snapCount", None);
    }

    #[test]
    fn flag_names_in_the_file_count_below_the_flags() {
        check("zookeeper.snapCount=5", "", "snapCount", Some("5"));
        check("zookeeper.snapCount=5", "-Dzookeeper.snapCount=9", "snapCount", Some("9"));
        check("jute.maxbuffer=5", "", "jute.maxbuffer", Some("5"));
        check("jute.maxbuffer=5", "-Djute.maxbuffer=9", "jute.maxbuffer", Some("9"));
    }

    #[test]
    fn jvmflags_are_stronger_than_server_jvmflags() {
        let entries = Properties::default();
        let environment = Environment {
            server_jvmflags: "-Dzookeeper.snapCount=1 -Dzookeeper.skipACL=yes".to_owned(),
            jvmflags: "-Dzookeeper.snapCount=2".to_owned(),
            data_dir: None,
        };
        let source = Source::of("zoo.cfg", &entries, &environment);
        assert_eq!(source.property("snapCount"), Some("2"));
        assert_eq!(source.property("skipACL"), Some("yes"));
    }

    #[test]
    fn the_modern_property_beats_its_legacy_name() {
        let flags = "-Dfsync.warningthresholdms=5 -Dzookeeper.fsync.warningthresholdms=6";
        check("", flags, "fsync.warningthresholdms", Some("6"));
        check("", "-Dfsync.warningthresholdms=5", "fsync.warningthresholdms", Some("5"));
    }

    #[test]
    fn numbers_of_properties_are_decoded_as_java_does() {
        for (text, number) in [
            ("12", Some(12)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            ("0x10", Some(16)),
            ("#ff", Some(255)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("-0x1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("1k", None),
            ("--1", None),
            ("", None),
            ("0x", None),
        ] {
            assert_eq!(java_decode(text), number, "{text:?}");
        }
    }

    #[test]
    fn a_property_that_is_no_number_falls_back_and_says_so() {
        let entries = Properties::parse(b"a=1\nsnapCount=10k").unwrap();
        let mut source = Source::of("zoo.cfg", &entries, &Environment::default());
        assert_eq!(source.property_int("snapCount", 100_000), 100_000);
        assert_eq!(
            source.warnings,
            ["zoo.cfg line 2: snapCount=10k: not a whole number; using 100000 as the reference does"]
        );
    }
}
