//! The faults of `faults.toml`: put into the code on purpose, one at a time, and each to be noticed.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::copy::{self, Edit};
use crate::artifacts;

/// Who judges the faults that clients can see: the comparison with the reference.
pub const DIFFERENTIAL: &str = "differential";
/// Any in-process test.
pub const TESTS: &str = "tests";

/// A fault. Its number, by which the copy knows it, is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its name.
    pub name: String,
    /// What it does, as a sentence.
    pub what: String,
    /// The beginning of the path of the file it is in, where the code alone does not tell.
    #[serde(default)]
    pub file: String,
    /// The code it changes.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
    /// More changes.
    #[serde(default)]
    pub also: Vec<Change>,
    /// Who must notice it, each for itself.
    #[serde(default)]
    pub killed_by: Vec<String>,
    /// Whether no in-process test notices it yet.
    #[serde(default)]
    pub awaits_test: bool,
    /// Why nobody can.
    #[serde(default)]
    pub survives: String,
}

/// A change of the code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The code.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// All faults, as `faults.toml` lists them.
pub fn load() -> Result<Vec<Fault>> {
    let path = artifacts::package_dir().join("faults.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Fault>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        fault: Vec<Fault>,
    }
    let List { fault: faults } = toml::from_str(text)?;
    for (place, Fault { name, what, killed_by, survives, .. }) in faults.iter().enumerate() {
        ensure!(what.ends_with('.'), "{name}: what it does is not told in a sentence");
        ensure!(faults.iter().take(place).all(|fault| fault.name != *name), "{name} is there twice");
        ensure!(
            killed_by.is_empty() != survives.is_empty(),
            "{name} needs either `killed_by`, or a reason in `survives`"
        );
        if let Some(other) =
            killed_by.iter().find(|by| !by.contains("::") && ![DIFFERENTIAL, TESTS].contains(&by.as_str()))
        {
            bail!("{name} is killed by {other}, which is no test's name");
        }
    }
    Ok(faults)
}

/// The edits that put all of them into a copy, by file. `sources` are the files with the server's code.
pub fn edits(faults: &[Fault], sources: &BTreeMap<String, String>) -> Result<BTreeMap<String, Vec<Edit>>> {
    let mut edits: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
    for (number, fault) in faults.iter().enumerate() {
        let first = [(&fault.find, &fault.replace)];
        for (find, replace) in
            first.into_iter().chain(fault.also.iter().map(|more| (&more.find, &more.replace)))
        {
            let edit = |file: &str, text: &str| {
                let found = places(text, find).into_iter();
                found.map(|range| (file.to_owned(), range)).collect::<Vec<_>>()
            };
            let sources = sources.iter().filter(|(file, _)| file.starts_with(&fault.file));
            let mut found: Vec<_> = sources.clone().flat_map(|(file, text)| edit(file, text)).collect();
            let (Some((file, range)), true) = (found.pop(), found.is_empty()) else {
                let more: Vec<_> = sources
                    .filter(|(_, text)| !places(text, find).is_empty())
                    .map(|(file, _)| file)
                    .collect();
                bail!(
                    "{}: its code must stand in the sources once, and does {}{}: change `find` in faults.toml",
                    fault.name,
                    if more.is_empty() { "not" } else { "more often, in " },
                    more.iter().map(|file| file.as_str()).collect::<Vec<_>>().join(", "),
                );
            };
            ensure!(replace.contains("FAULT"), "{}: no FAULT in what replaces {find}", fault.name);
            let original = sources
                .clone()
                .find(|(name, _)| **name == file)
                .and_then(|(_, text)| text.get(range.clone()));
            let before =
                replace.replace("FAULT", &copy::is_on(number)).replace("FOUND", original.unwrap_or_default());
            let edit = Edit { fault: number, range, before, keeps: false, after: String::new() };
            edits.entry(file).or_default().push(edit);
        }
    }
    Ok(edits)
}

/// Where the code stands, whatever the spaces and line ends in it.
fn places(text: &str, find: &str) -> Vec<Range<usize>> {
    let bare = |text: &str| -> Vec<(usize, u8)> {
        text.bytes().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()).collect()
    };
    let (text, find) = (bare(text), bare(find));
    let windows = text.windows(find.len().max(1));
    let is_it = |window: &&[(usize, u8)]| window.iter().map(|at| at.1).eq(find.iter().map(|at| at.1));
    windows.filter(is_it).filter_map(|window| Some(window.first()?.0..window.last()?.0 + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::code;

    #[test]
    fn every_fault_can_still_be_put_into_the_code() {
        let faults = load().unwrap();
        assert!(faults.len() >= 40, "{}", faults.len());
        let sources = code(&["src"]).unwrap();
        let edits = edits(&faults, &sources).unwrap();
        for (file, edits) in edits {
            copy::edited(&sources[&file], &edits).unwrap();
        }
    }

    #[test]
    fn code_is_found_whatever_its_spaces() {
        assert_eq!(places("if  a\n  && b { if a && b {", "a && b {"), [4..14, 18..26]);
        assert_eq!(places("f(a)\n.g() f(a).g()", "f(a).g()"), [0..9, 10..18]);
        assert_eq!(places("aa", "b"), []);
    }

    #[test]
    fn a_fault_without_a_judge_is_an_error() {
        let fault = "[[fault]]\nname = 'A'\nwhat = 'B.'\nfind = 'C'\nreplace = 'FAULT'\n";
        assert!(parse(fault).is_err());
        assert!(parse(&format!("{fault}killed_by = ['nobody']")).is_err());
        assert!(parse(&format!("{fault}killed_by = ['tests']")).is_ok());
        assert!(parse(&format!("{fault}survives = 'Because.'")).is_ok());
    }

    #[test]
    fn code_that_is_gone_or_doubled_is_an_error_that_says_where() {
        let fault =
            "[[fault]]\nname = 'A'\nwhat = 'B.'\nfind = 'c d'\nreplace = 'FAULT'\nkilled_by = ['tests']";
        let faults = parse(fault).unwrap();
        let of = |text: &str| {
            let sources = [("src/x.rs".to_owned(), text.to_owned())].into();
            edits(&faults, &sources).map_err(|error| error.to_string())
        };
        assert!(of("c\nd").is_ok());
        assert!(of("e").unwrap_err().contains("does not"));
        assert!(of("c d c d").unwrap_err().contains("more often, in src/x.rs"));
    }
}
