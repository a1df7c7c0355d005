//! Style as a test: the arrows between modules, where unsafe may be, leftovers, and the length of files.

mod exposure;
mod imports;
mod traps;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules each module may use besides `jute`: modules above it. `docs/ARCHITECTURE.md` draws this table.
const ARROWS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("disk", &[]),
    ("metrics", &[]),
    ("logging", &["clock"]),
    ("prefixes", &[]),
    ("secret", &[]),
    ("tls", &["secret"]),
    ("tree", &["prefixes"]),
    ("watch", &["prefixes"]),
    ("session", &[]),
    ("zab", &[]),
    ("audit", &["tree"]),
    ("auth", &["logging", "secret", "tree"]),
    ("txnlog", &["disk"]),
    ("snapshot", &["disk", "txnlog"]),
    ("store", &["disk", "snapshot", "tree", "txnlog"]),
    ("request", &["logging", "session", "tree", "watch", "zab"]),
    ("replica", &["request", "session", "tree", "watch", "zab"]),
    (
        "runtime",
        &[
            "audit", "clock", "disk", "logging", "metrics", "replica", "request", "session", "snapshot",
            "store", "tree", "txnlog", "watch", "zab",
        ],
    ),
    ("admin", &["metrics"]),
    ("revocation", &["clock", "tls"]),
    (
        "net",
        &[
            "auth",
            "clock",
            "logging",
            "metrics",
            "replica",
            "request",
            "revocation",
            "runtime",
            "tls",
            "tree",
            "watch",
        ],
    ),
    (
        "quorum",
        &[
            "auth",
            "clock",
            "disk",
            "logging",
            "metrics",
            "revocation",
            "runtime",
            "session",
            "snapshot",
            "store",
            "tls",
            "tree",
            "txnlog",
            "zab",
        ],
    ),
    ("config", &["secret", "tls"]),
    ("tools", &["auth", "clock", "disk", "snapshot", "store", "tree", "txnlog"]),
    ("cli", &["config", "tools"]),
    (
        "server",
        &[
            "admin",
            "audit",
            "auth",
            "clock",
            "config",
            "disk",
            "logging",
            "metrics",
            "net",
            "quorum",
            "replica",
            "request",
            "revocation",
            "runtime",
            "session",
            "snapshot",
            "store",
            "tls",
            "tree",
            "txnlog",
            "watch",
            "zab",
        ],
    ),
    // Only in tests.
    (
        "sim",
        &[
            "auth", "clock", "disk", "metrics", "net", "quorum", "replica", "request", "runtime", "session",
            "snapshot", "store", "tree", "txnlog", "watch", "zab",
        ],
    ),
];

/// Where crates may be used that are not for everybody.
const CRATES: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["tls"]),
    ("cbc", &["tls"]),
    ("clap", &["cli", "main"]),
    ("des", &["tls"]),
    ("memmap2", &["txnlog"]),
    ("nom", &["config"]),
    ("rc2", &["tls"]),
    ("rustls", &["net", "server", "tls"]),
    ("tokio", &["admin", "net", "quorum", "revocation", "server"]),
    ("tokio_rustls", &["quorum"]),
    ("tokio_util", &["net", "quorum", "server"]),
    ("webpki", &["tls"]),
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

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// Every file that is not only for tests, with what it uses. The modules of `lib.rs` that only tests have
/// are read like the others.
fn uses() -> Vec<(String, BTreeSet<Vec<String>>)> {
    let read: Vec<_> =
        sources().into_iter().map(|(file, text)| (imports::read(&file, &text), file)).collect();
    let of_rooms = read.iter().filter(|(_, file)| file != "lib.rs");
    let tests: Vec<_> = of_rooms.flat_map(|(source, _)| source.test_modules.clone()).collect();
    let files = read.into_iter().filter(|(_, file)| !imports::lies_in(file, &tests));
    files.map(|(source, file)| (file, source.used)).collect()
}

#[test]
fn modules_use_only_the_modules_they_may() {
    let modules: Vec<_> = ARROWS.iter().map(|(module, _)| *module).collect();
    for (file, used) in uses() {
        let module = module_of(&file);
        if matches!(module, "lib" | "main" | "tidy") {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            panic!("src/{file}: the module {module} is not in the table of arrows; add it");
        };
        for path in &used {
            let [root, other, ..] = &path[..] else { continue };
            let fits = other == module || allowed.contains(&other.as_str());
            let is_room = root == "crate" && modules.contains(&other.as_str());
            assert!(fits || !is_room, "src/{file}: {module} may not use {}", path[1..].join("::"));
        }
    }
}

#[test]
fn arrows_point_only_upwards() {
    for (index, (module, allowed)) in ARROWS.iter().enumerate() {
        for other in *allowed {
            let above = ARROWS[..index].iter().any(|(name, _)| name == other);
            assert!(above, "{module} may not use {other}, which does not stand above it");
        }
    }
}

#[test]
fn foreign_crates_stay_where_they_belong() {
    for (file, used) in uses() {
        for path in &used {
            let Some((name, modules)) = CRATES.iter().find(|(name, _)| *name == path[0]) else { continue };
            assert!(
                modules.contains(&module_of(&file)),
                "src/{file}: {name} belongs into {}",
                modules.join(", ")
            );
        }
    }
}

/// ZooKeeper CVE-2016-5017: a buffer of the C shell was overrun.
#[test]
fn unsafe_code_is_in_one_file() {
    for (file, text) in sources() {
        let has = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|form| code.contains(form))
        });
        assert!(
            !has || file == UNSAFE_FILE || file == "tidy/mod.rs",
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
