//! What must stand nowhere in the sources, and what `docs/security.md` says of tests.

use std::fs;
use std::path::{Path, PathBuf};

use super::sources;

/// Fails if a file of the server has one of these words, in any case.
#[track_caller]
fn nowhere(words: &[&str]) {
    // The table of keys tells what the reference does.
    let is_meant = |file: &str| !file.starts_with("tidy/") && file != "config/keys/table.rs";
    for (file, text) in sources().into_iter().filter(|(file, _)| is_meant(file)) {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_ascii_lowercase();
            for word in words {
                assert!(!line.contains(word), "src/{file}:{}: {word}", number + 1);
            }
        }
    }
}

/// ZooKeeper CVE-2026-24281: whoever owned the reverse zone of an address chose the name that was checked.
#[test]
fn no_name_server_is_asked_for_the_name_of_an_address() {
    nowhere(&["lookup_addr", "getnameinfo", "gethostbyaddr", "in-addr.arpa", "ip6.arpa", "reverse_lookup"]);
}

/// ZooKeeper CVE-2024-51504: whoever sent a header chose the address that was checked.
#[test]
fn no_header_says_where_a_client_comes_from() {
    nowhere(&["forwarded-for", "x-real-ip", "proxy-protocol"]);
}

/// The Rust files below a directory of the repository.
fn files(below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(below)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(&path).expect("a source can be read"));
            }
        }
    }
    found
}

/// A row begins with the names of the weakness, and ends with those of its tests.
#[test]
fn each_weakness_of_the_table_has_tests_that_name_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(page).expect("docs/security.md can be read");
    let sources = ["src", "compat-tests/src", "compat-tests/tests"].map(files).concat();
    let mut rows = 0;
    let is_row =
        |line: &&str| ["| ZooKeeper", "| etcd", "| Consul"].iter().any(|name| line.starts_with(name));
    let rows_of = page.lines().filter(is_row);
    for row in rows_of {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, tests] = cells[..] else { panic!("three cells: {row}") };
        let id = name.split_whitespace().find(|word| word.contains('-') || *word == "2025").unwrap_or(name);
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in &tests {
            let function = format!("fn {test}(");
            let named = sources.iter().any(|text| text.contains(&function) && text.contains(id));
            assert!(named, "no file has the test {test} and names {id}");
        }
        rows += 1;
    }
    assert!(rows > 15, "{rows} rows");
}
