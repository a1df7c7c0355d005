//! A copy of the server's sources that has faults in it, each behind a switch that is read at run time.
//!
//! One compilation serves any number of faults: each stands in the copy beside the code it spoils, as
//! `if crate::deliberate::is_on(7) { spoiled } else { original }`. The sources that people read know
//! nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::artifacts;

/// The switch's variable: the number of the one fault that is on.
pub const SWITCH: &str = "OXKEEPER_FAULT";
/// The variable with the file that the numbers of reached faults are added to.
pub const REACHED: &str = "OXKEEPER_FAULTS_REACHED";
/// The server's program in a copy: named so that it is never taken for the real one.
const PROGRAM: &str = "oxkeeper-faulty";
/// What a build of the server and its tests needs.
const COPIED: [&str; 6] = ["Cargo.toml", "Cargo.lock", "src", "jute", "conf", "docs"];

/// The expression that is true while the fault is on.
#[must_use]
pub fn is_on(fault: usize) -> String {
    format!("crate::deliberate::is_on({fault})")
}

/// A change of a source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The fault it belongs to.
    pub fault: usize,
    /// The bytes it is about.
    pub range: Range<usize>,
    /// What comes before them.
    pub before: String,
    /// Whether they stay, with the edits within them.
    pub keeps: bool,
    /// What comes after them.
    pub after: String,
}

/// The place of a fault in the text of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The fault.
    pub fault: usize,
    /// All its bytes, those of faults within it included.
    pub range: Range<usize>,
}

/// The text with all edits made, and where each now is. Edits may lie within each other, and must not
/// overlap otherwise.
pub fn edited(text: &str, edits: &[Edit]) -> Result<(String, Vec<Placed>)> {
    let mut edits: Vec<_> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end)));
    let (mut out, mut placed) = (String::with_capacity(text.len() * 2), Vec::new());
    let mut rest = edits.as_slice();
    copy_range(text, 0..text.len(), &mut rest, &mut out, &mut placed)?;
    Ok((out, placed))
}

fn copy_range(
    text: &str,
    range: Range<usize>,
    edits: &mut &[&Edit],
    out: &mut String,
    placed: &mut Vec<Placed>,
) -> Result<()> {
    let mut at = range.start;
    while let Some((edit, rest)) = edits.split_first()
        && edit.range.start < range.end
    {
        ensure!(
            at <= edit.range.start && edit.range.end <= range.end,
            "the faults at bytes {:?} and {range:?} overlap",
            edit.range
        );
        *edits = rest;
        out.push_str(text.get(at..edit.range.start).context("a range of the text")?);
        let start = out.len();
        out.push_str(&edit.before);
        if edit.keeps {
            copy_range(text, edit.range.clone(), edits, out, placed)?;
        }
        out.push_str(&edit.after);
        placed.push(Placed { fault: edit.fault, range: start..out.len() });
        at = edit.range.end;
    }
    out.push_str(text.get(at..range.end).context("a range of the text")?);
    Ok(())
}

/// What a copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The faults of the list.
    Faults,
    /// A sample of mutants.
    Mutants,
}

/// A copy of the workspace, in a directory of its own below the target directory. What did not change
/// since the last time is left as it is, so that the compiler need not look at it again.
#[derive(Debug)]
pub struct Copy {
    which: Which,
    root: PathBuf,
    target: PathBuf,
    /// Held until the copy is dropped: nobody else changes it meanwhile.
    _lock: File,
}

/// A message of the compiler about the text of a copy.
#[derive(Clone, Debug)]
pub struct CompileError {
    /// The file, from the root of the copy.
    pub file: String,
    /// The bytes it is about.
    pub range: Range<usize>,
    /// What it says.
    pub message: String,
}

impl Copy {
    /// Opens the copy, and waits while another process uses it.
    pub fn open(which: Which) -> Result<Self> {
        let name = format!("{which:?}").to_lowercase();
        let target = artifacts::target_dir()?;
        let home = target.join("deliberate");
        fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        let path = home.join(format!("{name}.lock"));
        let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        lock.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(Self { which, root: home.join(name), target, _lock: lock })
    }

    /// Copies the sources, with the faults in the files named. `count` is one more than the largest number
    /// of a fault. Returns where the faults now are, by file.
    pub fn write(
        &self,
        count: usize,
        edits: &BTreeMap<String, Vec<Edit>>,
    ) -> Result<BTreeMap<String, Vec<Placed>>> {
        let mut places = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        for file in sources()? {
            let from = workspace().join(&file);
            let bytes = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            let bytes = match (file.as_str(), edits.get(&file)) {
                ("Cargo.toml", _) => manifest(&String::from_utf8(bytes)?, self.which)?.into_bytes(),
                ("src/lib.rs", None) => {
                    let text = String::from_utf8(bytes)?;
                    format!("{text}\nmod deliberate;\n").into_bytes()
                }
                (_, Some(edits)) => {
                    let (text, placed) = edited(&String::from_utf8(bytes)?, edits)
                        .with_context(|| format!("put the faults into {file}"))?;
                    places.insert(file.clone(), placed);
                    text.into_bytes()
                }
                _ => bytes,
            };
            self.put(&file, &bytes)?;
            wanted.insert(file);
        }
        for file in edits.keys() {
            ensure!(wanted.contains(file), "there is no {file}, which a fault names");
            ensure!(file.starts_with("src/") && file != "src/lib.rs", "{file} cannot have faults");
        }
        let switch = include_str!("switch.rs")
            .replace("const COUNT: usize = 0;", &format!("const COUNT: usize = {count};"));
        self.put("src/deliberate.rs", switch.as_bytes())?;
        wanted.insert("src/deliberate.rs".to_owned());
        for file in files_below(&self.root)?.into_iter().filter(|file| !wanted.contains(file)) {
            let path = self.root.join(file);
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(places)
    }

    fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(file);
        if fs::read(&path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).args(["-p", "oxkeeper"]).arg("--target-dir").arg(&self.target);
        command.current_dir(&self.root);
        command
    }

    /// A file that belongs to the copy and is no part of it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }

    /// Builds the server of the copy.
    pub fn build_program(&self) -> Result<PathBuf> {
        artifacts::run(&mut self.cargo(&["build", "--bin", PROGRAM]))?;
        Ok(self.target.join("debug").join(PROGRAM))
    }

    /// Builds the in-process tests of the copy; what the compiler has against it if that fails.
    pub fn build_tests(&self) -> Result<Result<PathBuf, Vec<CompileError>>> {
        let mut command = self.cargo(&["test", "--lib", "--no-run", "--message-format=json"]);
        let output = command.output().with_context(|| format!("start {command:?}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if output.status.success() {
            let program = lines.iter().rev().find_map(|line| line["executable"].as_str());
            return Ok(Ok(program.context("cargo did not say where the tests are")?.into()));
        }
        let errors: Vec<_> = lines.iter().flat_map(errors_of).collect();
        ensure!(!errors.is_empty(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(Err(errors))
    }
}

/// The errors in a line of cargo's JSON.
fn errors_of(line: &serde_json::Value) -> Vec<CompileError> {
    let message = &line["message"];
    if message["level"] != "error" {
        return Vec::new();
    }
    let spans = message["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let number = |value: &serde_json::Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
    let errors = spans.iter().filter(|span| span["is_primary"] == true).filter_map(|span| {
        Some(CompileError {
            file: span["file_name"].as_str()?.to_owned(),
            range: number(&span["byte_start"])?..number(&span["byte_end"])?,
            message: message["message"].as_str()?.to_owned(),
        })
    });
    errors.collect()
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    artifacts::package_dir().join("..")
}

/// The manifest of a copy: fewer members, and a program that is not named like the real one. What lets cargo
/// tell its packages from the real ones, and from those of other copies, is the profile: names and versions
/// are the same, and all have their files in one target directory.
fn manifest(text: &str, which: Which) -> Result<String> {
    let members = |line: &&str| line.starts_with("members = [");
    let program = "[[bin]]\nname = \"oxkeeper\"";
    let line = text.lines().find(members).context("Cargo.toml has no line `members = [...]`")?;
    ensure!(text.contains(program), "Cargo.toml does not begin a section with {program}");
    let text = text.replace(line, r#"members = [".", "jute"]"#);
    let mut text = text.replace(program, &format!("[[bin]]\nname = \"{PROGRAM}\""));
    let units = 250 + which as u32;
    for package in ["oxkeeper", "jute"] {
        write!(text, "\n[profile.dev.package.{package}]\ndebug = false\ncodegen-units = {units}\n")?;
    }
    Ok(text)
}

/// Every file that is copied, from the root of the workspace.
fn sources() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in COPIED {
        let path = workspace().join(name);
        if path.is_dir() {
            found.extend(files_below(&path)?.into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.push(name.to_owned());
        }
    }
    // What fuzzing found is large, and no part of the build.
    found.retain(|file| !file.starts_with("jute/fuzz/"));
    Ok(found)
}

/// Every file below a directory, from there, in order. None when there is no such directory.
pub fn files_below(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop().filter(|directory| directory.is_dir()) {
        let listed = fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))?;
        for entry in listed {
            let path = entry.with_context(|| format!("list {}", directory.display()))?.path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(name) = path.strip_prefix(root)?.to_str() {
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(fault: usize, range: Range<usize>, before: &str, keeps: bool, after: &str) -> Edit {
        Edit { fault, range, before: before.to_owned(), keeps, after: after.to_owned() }
    }

    #[test]
    fn edits_may_lie_within_each_other() {
        let edits = [
            edit(2, 7..8, "", false, "B"),
            edit(0, 4..8, "(", true, ")"),
            edit(1, 4..8, "[", true, "]"),
            edit(3, 5..5, "{", false, "}"),
        ];
        let (text, placed) = edited("let a+ b;", &edits).unwrap();
        assert_eq!(text, "let ([a{}+ B]);");
        let of = |fault| placed.iter().find(|placed| placed.fault == fault).unwrap().range.clone();
        assert_eq!(&text[of(0)], "([a{}+ B])");
        assert_eq!(&text[of(2)], "B");
    }

    #[test]
    fn edits_that_overlap_are_an_error() {
        let edits = [edit(0, 0..4, "", true, ""), edit(1, 2..6, "", true, "")];
        assert!(edited("abcdefgh", &edits).is_err());
    }

    #[test]
    fn the_manifest_of_a_copy_has_a_program_of_another_name() {
        let text = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
        let text = manifest(&text, Which::Faults).unwrap();
        assert!(text.contains("name = \"oxkeeper-faulty\"") && !text.contains("name = \"oxkeeper\"\npath"));
    }
}
