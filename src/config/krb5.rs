//! krb5.conf, as far as it is needed: `default_realm`, `clockskew` and the realms' `kdc` (in the JDK,
//! `sun.security.krb5.Config`). Everything else is not read.
#![expect(clippy::disallowed_methods, reason = "as in read.rs")]

use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Krb5Conf {
    /// The realm of names without one.
    pub default_realm: Option<String>,
    /// How far clocks may be apart, in seconds.
    pub clock_skew: Option<i64>,
    /// Realms and the addresses of their key distribution centres, `host` or `host:port`, in their order.
    pub kdcs: Vec<(String, String)>,
    /// Files and directories that are read in its place, in their order.
    pub includes: Vec<Include>,
}

/// What a file includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Include {
    /// `include FILE`.
    File(PathBuf),
    /// `includedir DIRECTORY`: the files in it with names of letters, digits, `-` and `_`, or that end with `.conf`.
    Directory(PathBuf),
}

impl Krb5Conf {
    /// Reads a file's text.
    ///
    /// # Errors
    /// A sentence with the line, what is wrong with it, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut conf = Self::default();
        let mut section = String::new();
        // The names of the blocks around a line.
        let mut blocks: Vec<String> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(include) = included(line) {
                conf.includes.push(include);
                continue;
            }
            if let (true, Some(rest)) = (blocks.is_empty(), line.strip_prefix('[')) {
                let (name, _) = rest
                    .split_once(']')
                    .ok_or_else(|| format!("line {}: the section's name does not end with ]", index + 1))?;
                section = name.trim().to_owned();
                continue;
            }
            if line.starts_with('}') {
                blocks.pop();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), unquoted(value.trim()));
            if value.starts_with('{') {
                if !value.ends_with('}') {
                    blocks.push(key.to_owned());
                }
                continue;
            }
            match (&*section, &blocks[..]) {
                ("libdefaults", []) => {
                    conf.set(key, value).map_err(|error| format!("line {}: {error}", index + 1))?;
                }
                ("realms", [realm]) if key == "kdc" => conf.kdcs.push((realm.clone(), value.to_owned())),
                _ => {}
            }
        }
        Ok(conf)
    }

    /// The first of several values counts.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "default_realm" if self.default_realm.is_none() && !value.is_empty() => {
                self.default_realm = Some(value.to_owned());
            }
            "clockskew" if self.clock_skew.is_none() => {
                self.clock_skew = Some(seconds(value).ok_or_else(|| {
                    format!("clockskew = {value} is no time: write seconds, or a number with d, h, m or s")
                })?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads a file, and what it includes where it says nothing itself. A file that includes others which include
    /// more is followed for a few steps.
    ///
    /// # Errors
    /// A sentence with the file, what is wrong with it, and what to do.
    pub fn load(path: &Path) -> Result<Self, String> {
        Self::load_within(path, INCLUDES_MAX)
    }

    fn load_within(path: &Path, depth: usize) -> Result<Self, String> {
        let named = |problem: String| format!("{}: {problem}", path.display());
        let text = std::fs::read(path).map_err(|error| named(format!("cannot be read: {error}")))?;
        let mut conf = Self::parse(&String::from_utf8_lossy(&text)).map_err(named)?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(named("it is included by a file that it includes itself".into()));
        };
        for include in std::mem::take(&mut conf.includes) {
            for file in include.files() {
                let other = Self::load_within(&file, depth)?;
                conf.default_realm = conf.default_realm.take().or(other.default_realm);
                conf.clock_skew = conf.clock_skew.or(other.clock_skew);
                conf.kdcs.extend(other.kdcs);
            }
        }
        Ok(conf)
    }
}

impl Include {
    /// The files that are meant. There is none where a directory is missing.
    fn files(self) -> Vec<PathBuf> {
        let directory = match self {
            Self::File(path) => return vec![path],
            Self::Directory(path) => path,
        };
        let is_one = |name: &str| {
            let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
            name.chars().all(is_plain) || (name.ends_with(".conf") && !name.starts_with('.'))
        };
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(is_one) && entry.path().is_file())
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }
}

/// Files that may include each other in a row.
const INCLUDES_MAX: usize = 8;

fn included(line: &str) -> Option<Include> {
    let (word, path) = line.split_once(char::is_whitespace)?;
    match word {
        "include" => Some(Include::File(path.trim().into())),
        "includedir" => Some(Include::Directory(path.trim().into())),
        _ => None,
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// A duration: `300`, `5m`, `1h30m`, `0:05:00`.
fn seconds(text: &str) -> Option<i64> {
    const MAX: i64 = 24 * 60 * 60;
    let total = if text.contains(':') {
        let mut parts = text.split(':').map(|part| part.parse::<i64>().ok());
        let (hours, minutes) = (parts.next()??, parts.next()??);
        let seconds = parts.next().unwrap_or(Some(0))?;
        parts.next().is_none().then_some(())?;
        hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?.checked_add(seconds)?
    } else {
        let mut total = 0i64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at_checked(digits)?;
            let mut unit = after.chars();
            let factor = match unit.next() {
                None | Some('s') => 1,
                Some('m') => 60,
                Some('h') => 60 * 60,
                Some('d') => 24 * 60 * 60,
                Some(_) => return None,
            };
            total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
            rest = unit.as_str();
        }
        total
    };
    (!text.is_empty() && (0..=MAX).contains(&total)).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realm_and_the_skew_are_found_among_everything_else() {
        let conf = Krb5Conf::parse(
            "# comment\nincludedir /etc/krb5.conf.d/\n; another\n[logging]\n default = FILE:/x\n\n[libdefaults]\n\
             \tdefault_realm = EXAMPLE.COM\n default_realm = SECOND\n clockskew = \"120\"\n kdc_timesync = 1\n \
             sub = {\n  default_realm = INNER\n }\n[realms]\n EXAMPLE.COM = {\n  kdc = host\n  v = {\n  kdc = no\n  }\n kdc = second:8088\n  default_realm = X\n }\n",
        );
        let includes = vec![Include::Directory("/etc/krb5.conf.d/".into())];
        let kdcs = vec![("EXAMPLE.COM".into(), "host".into()), ("EXAMPLE.COM".into(), "second:8088".into())];
        let expected =
            Krb5Conf { default_realm: Some("EXAMPLE.COM".into()), clock_skew: Some(120), kdcs, includes };
        assert_eq!(conf, Ok(expected));
        assert_eq!(Krb5Conf::parse(""), Ok(Krb5Conf::default()));
        assert!(Krb5Conf::parse("[libdefaults\n").is_err());
        assert!(Krb5Conf::parse("[libdefaults]\nclockskew = soon\n").is_err());
    }

    #[test]
    fn times_are_written_in_several_ways() {
        for (text, expected) in [
            ("300", Some(300)),
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("0:05:00", Some(300)),
            ("0:05", Some(300)),
            ("2d", None),
            ("", None),
            ("m", None),
            ("5x", None),
            ("1:2:3:4", None),
            ("99999999999999999999", None),
            ("9223372036854775807h", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_one_file_does_not_say_those_that_it_includes_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("it is written");
            path
        };
        std::fs::create_dir(directory.path().join("d")).expect("it is made");
        write("d/a.conf", "[libdefaults]\ndefault_realm = OF.A\nclockskew = 7\n");
        write("d/b", "[libdefaults]\ndefault_realm = OF.B\n");
        write("d/c.rpmsave", "[libdefaults\n");
        let shown = directory.path().display();
        let main = write("krb5.conf", &format!("includedir {shown}/d\nincludedir /nope\n[libdefaults]\n"));
        let conf = Krb5Conf::load(&main).expect("it can be read");
        assert_eq!((conf.default_realm.as_deref(), conf.clock_skew), (Some("OF.A"), Some(7)));
        let main =
            write("krb5.conf", &format!("include {shown}/d/a.conf\n[libdefaults]\ndefault_realm = OWN\n"));
        let conf = Krb5Conf::load(&main).expect("it can be read");
        assert_eq!((conf.default_realm.as_deref(), conf.clock_skew), (Some("OWN"), Some(7)));
        let main = write("krb5.conf", &format!("include {shown}/krb5.conf\n"));
        assert!(Krb5Conf::load(&main).expect_err("a circle").contains("it is included by a file"));
        let main = write("krb5.conf", "include /nope/x\n");
        assert!(Krb5Conf::load(&main).expect_err("it is not there").starts_with("/nope/x: cannot be read"));
    }
}
