//! Style as a test: the arrows between rooms, where unsafe may be, leftovers, and the length of files.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may use besides `jute`. `docs/ARCHITECTURE.md` draws this table.
const ARROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("disk", &[]),
    ("fault", &[]),
    ("metrics", &[]),
    ("logging", &["clock"]),
    ("tree", &["fault"]),
    ("watch", &["fault"]),
    ("session", &[]),
    ("zab", &[]),
    ("txnlog", &["disk"]),
    ("snapshot", &["disk", "txnlog"]),
    ("request", &["fault", "logging", "tree", "watch", "session"]),
    ("pipeline", &["clock", "fault", "metrics", "request", "session", "tree", "txnlog", "zab"]),
    ("admin", &["metrics"]),
    ("net", &["clock", "logging", "metrics", "pipeline", "request", "session", "tree"]),
    ("config", &[]),
    ("cli", &["config", "tools"]),
    ("tools", &["clock", "disk", "net", "snapshot", "tree", "txnlog"]),
    // Only in tests.
    ("sim", &["disk", "server", "snapshot", "tree", "txnlog"]),
    (
        "server",
        &[
            "admin", "clock", "config", "disk", "metrics", "net", "pipeline", "request", "session",
            "snapshot", "tree", "txnlog", "watch", "zab",
        ],
    ),
];

/// The only file with unsafe code.
const UNSAFE_FILE: &str = "txnlog/mmap.rs";

/// Lines a file may have. Longer ones are listed here with the reason.
const LINES_MAX: usize = 500;
const LONGER: &[(&str, &str)] = &[];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("src can be listed") {
            let path: PathBuf = entry.expect("src can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(&root).expect("it is below src").to_string_lossy().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).expect("a source can be read")));
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

fn room_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// The rooms named in a line as `crate::room`.
fn rooms_in(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    })
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let rooms: Vec<_> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (file, text) in sources() {
        let room = room_of(&file);
        if matches!(room, "lib" | "main" | "faulty" | "tidy") {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            panic!("src/{file}: the room {room} is not in the table of arrows; add it");
        };
        for (number, line) in text.lines().enumerate() {
            // Tests may look around: what they need is at the end of a file.
            if line.contains("#[cfg(test)]") {
                break;
            }
            for used in rooms_in(line).filter(|used| rooms.contains(used)) {
                let fits = used == room || allowed.contains(&used);
                assert!(fits || is_test(&file), "src/{file}:{}: {room} may not use {used}", number + 1);
            }
        }
    }
}

fn is_test(file: &str) -> bool {
    file.ends_with("_test.rs")
        || file.ends_with("tests.rs")
        || file.contains("/faulty")
        || file.contains("/testing")
}

#[test]
fn unsafe_code_is_in_one_file() {
    for (file, text) in sources() {
        let has = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|form| code.contains(form))
        });
        assert!(
            !has || file == UNSAFE_FILE || file == "tidy.rs",
            "src/{file}: unsafe belongs into {UNSAFE_FILE}"
        );
    }
}

#[test]
fn nothing_unfinished_is_left() {
    let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("dbg", "!(")];
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for mark in marks {
                assert!(!line.contains(mark), "src/{file}:{}: {mark}", number + 1);
            }
        }
    }
}

#[test]
fn long_files_are_known_by_name() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        let known = LONGER.iter().any(|(name, _)| *name == file);
        assert!(
            lines <= LINES_MAX || known,
            "src/{file} has {lines} lines: split it, or say why not in tidy.rs"
        );
        assert!(lines > LINES_MAX || !known, "src/{file} is short again: take it off the list");
    }
}
