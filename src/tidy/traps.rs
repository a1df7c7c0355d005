//! The table of the traps of the quorum protocols in `docs/testing.md`: every number is there, and every test it names
//! exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::module_of;

/// Traps that are known.
const TRAPS: u32 = 40;

/// A row: numbers, and what shows it.
struct Row {
    numbers: Vec<u32>,
    shown_by: String,
}

impl Row {
    /// What stands between backticks.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.shown_by.split('`').skip(1).step_by(2)
    }

    fn is_out_of_scope(&self) -> bool {
        self.shown_by.starts_with("not in this version: ")
    }
}

fn rows(text: &str) -> Vec<Row> {
    let section = text.split("\n## ").find(|section| section.starts_with("The traps of")).unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let row = |cells: &str| {
        let mut cells = cells.split(" | ");
        let numbers = cells.next()?.split(", ").map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Row { numbers, shown_by: cells.nth(1)?.to_owned() })
    };
    cells.filter_map(row).collect()
}

/// Whether there is such a test: `module::test`, of which the end may be `…`, or a suite of `compat-tests`.
fn exists(name: &str, sources: &[(String, String)], suites: &BTreeSet<String>) -> bool {
    let Some((module, test)) = name.rsplit_once("::") else {
        return suites.contains(name);
    };
    let file = module.replace("::", "/");
    let begin = match test.strip_suffix('…') {
        Some(begin) => format!("fn {begin}"),
        None => format!("fn {test}("),
    };
    let is_there = |(path, text): &(String, String)| {
        (*path == format!("{file}.rs") || *path == format!("{file}/mod.rs")) && text.contains(&begin)
    };
    sources.iter().any(is_there)
}

/// The numbers that comments tell, as in "Trap 7" and "Traps 8 and 9".
fn told(text: &str) -> BTreeSet<u32> {
    let mut told = BTreeSet::new();
    for (at, _) in text.match_indices("rap") {
        let rest = text.get(at + 3..).unwrap_or_default();
        let Some(rest) = rest.strip_prefix('s').unwrap_or(rest).strip_prefix(' ') else { continue };
        let words = rest.split_whitespace().take(5);
        let numbers = words.map_while(|word| match word.trim_matches([',', '.', ':', ')']) {
            "and" => Some(None),
            number => number.parse::<u32>().ok().map(Some),
        });
        told.extend(numbers.flatten());
    }
    told
}

fn suites() -> BTreeSet<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/tests");
    let entries = fs::read_dir(tests).expect("the suites can be listed");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("the suites can be listed").file_name().to_string_lossy().into_owned();
        name.trim_end_matches(".rs").to_owned()
    };
    entries.map(name).collect()
}

#[test]
fn every_trap_is_shown_by_a_test_that_exists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md");
    let rows = rows(&fs::read_to_string(path).expect("the page can be read"));
    let numbers: BTreeSet<u32> = rows.iter().flat_map(|row| &row.numbers).copied().collect();
    assert_eq!(numbers, (1..=TRAPS).collect(), "the numbers of the table in docs/testing.md");
    let (sources, suites) = (super::sources(), suites());
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/tests/ensemble_close_session.rs");
    let mut told_by_tests = told(&fs::read_to_string(suite).expect("a suite can be read"));
    told_by_tests.extend(
        sources.iter().filter(|(file, _)| module_of(file) != "tidy").flat_map(|(_, text)| told(text)),
    );
    for row in rows.iter().filter(|row| !row.is_out_of_scope()) {
        assert!(row.names().next().is_some(), "docs/testing.md names no test for trap {:?}", row.numbers);
        for number in &row.numbers {
            assert!(told_by_tests.contains(number), "no test says that it is about trap {number}");
        }
        for name in row.names().filter(|name| !name.ends_with("_count") && !name.starts_with('/')) {
            assert!(
                exists(name, &sources, &suites),
                "docs/testing.md says that `{name}` shows trap {:?}, and there is no such test",
                row.numbers
            );
        }
    }
}

#[test]
fn numbers_are_read_from_comments() {
    let told = |text| told(text).into_iter().collect::<Vec<_>>();
    assert_eq!(told("/// Traps 8 and 9: nothing is said (trap 11). A trap of 3"), [8, 9, 11]);
    assert_eq!(told("/// Trap 23, of 40 in all"), [23]);
}

#[test]
fn a_test_that_is_gone_is_missed() {
    let sources = vec![("zab/sync.rs".to_owned(), "fn each_one_is_served() {".to_owned())];
    let suites = BTreeSet::from(["size_limits".to_owned()]);
    for (name, is_there) in [
        ("zab::sync::each_one_is_served", true),
        ("zab::sync::each_one_…", true),
        ("zab::sync::each_one", false),
        ("zab::sync::another_…", false),
        ("zab::each_one_is_served", false),
        ("size_limits", true),
        ("sizes", false),
    ] {
        assert_eq!(exists(name, &sources, &suites), is_there, "{name}");
    }
    let table = "# Testing\n\n## The traps of them\n\n| # | Trap | Shown by |\n|---|---|---|\n| 4, 6 | one | `a::b`, `c` |\n\
                 | 5 | two | not in this version: `x` |\n\n## Others\n\n| 7 | three | `d` |\n";
    let rows = rows(table);
    let [both, out] = &rows[..] else { panic!("two rows") };
    assert_eq!((both.numbers.as_slice(), both.names().collect::<Vec<_>>()), (&[4, 6][..], vec!["a::b", "c"]));
    assert!(out.is_out_of_scope() && !both.is_out_of_scope());
}
