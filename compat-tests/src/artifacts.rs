//! What has to be fetched or built before a comparison can run, done once and kept.
//!
//! Jars come through Maven, Python packages through pip; both land in one cache directory.
//! A lock file per artifact keeps parallel tests from doing the same work twice.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::skip;

/// The release every comparison is made with.
pub const REFERENCE: &str = "3.9.5";

/// The newest complete release of the line before it, which operators also come from: 3.8.7 has no parent pom.
pub const LINE_BEFORE: &str = "3.8.6";

/// Older releases whose data directories must be readable, oldest first.
pub const OLDER: [&str; 5] = ["3.4.14", "3.5.10", "3.6.4", "3.7.2", "3.8.4"];

const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// The directory of this package.
pub fn package_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target directory, found from the running program's own path.
pub fn target_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("where the running test lies")?;
    let deps = exe.ancestors().find(|dir| dir.file_name() == Some(OsStr::new("deps")));
    // A test lies in `deps`, a program beside it.
    let profile = deps.and_then(Path::parent).or(exe.parent());
    let target = profile.and_then(Path::parent);
    Ok(target.with_context(|| format!("{} is not below a target directory", exe.display()))?.to_owned())
}

/// Where fetched and compiled things are kept.
pub fn cache_dir() -> Result<PathBuf> {
    let dir = match std::env::var_os("OXKEEPER_COMPAT_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => target_dir()?.join("compat-cache"),
    };
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir)
}

/// Whether every program in `names` can be run. A missing one is an error under `CI=true`, otherwise the caller
/// skips its test.
pub fn available(names: &[&str]) -> Result<bool> {
    for name in names {
        if installed(name) {
            continue;
        }
        skip::skip_unless_ci(&format!("`{name}` is not installed"))?;
        return Ok(false);
    }
    Ok(true)
}

/// Whether a program can be run.
pub fn installed(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// Runs `make` with an empty directory unless an earlier run already completed `name`.
/// The directory appears under its final name only when `make` succeeded.
pub fn once(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache_dir()?;
    let done = cache.join(name);
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("lock {}", lock_path.display()))?;
    if done.is_dir() {
        return Ok(done);
    }
    let partial = cache.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    make(&partial).with_context(|| format!("make {name}"))?;
    fs::rename(&partial, &done).with_context(|| format!("rename to {}", done.display()))?;
    Ok(done)
}

/// Runs a command to its end and fails with its output if it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?} failed ({}):\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// The directory with the jars of one release of Apache ZooKeeper and all it needs to run.
pub fn jars(version: &str) -> Result<PathBuf> {
    let java = package_dir().join("clients/java");
    once(&format!("zookeeper-{version}"), |dir| {
        let mut maven = Command::new("mvn");
        if version == REFERENCE {
            maven.arg("-f").arg(java.join("pom.xml"));
        } else {
            maven.arg("-f").arg(java.join("older/pom.xml")).arg(format!("-Dzookeeper.version={version}"));
            if ["3.5.", "3.6.", "3.7."].iter().any(|line| version.starts_with(line)) {
                maven.arg("-Plogging");
            }
        }
        fetch(&mut maven, dir)
    })
}

/// Lets a Maven command that names a pom copy all it depends on into `dir`.
pub fn fetch(maven: &mut Command, dir: &Path) -> Result<()> {
    maven.args(["-q", "-B", COPY_DEPENDENCIES, "-DincludeScope=runtime"]);
    run(maven.arg(format!("-DoutputDirectory={}", dir.display()))).map(drop)
}

/// The class path of one release: its jars, the line editor behind the others, and our quiet logging configuration.
pub fn class_path(version: &str) -> Result<String> {
    let (editor, others) = jar_files(version)?;
    Ok([others, editor, vec![logging()]].concat().join(":"))
}

/// The class path of one release without the line editor, so that the shell reads plain lines
/// and prints no prompt.
pub fn class_path_without_line_editor(version: &str) -> Result<String> {
    Ok(format!("{}:{}", jars_without_line_editor(version)?, logging()))
}

/// What both class paths of a release begin with.
pub fn jars_without_line_editor(version: &str) -> Result<String> {
    let (_, others) = jar_files(version)?;
    Ok(others.join(":"))
}

/// The line editor's jars of one release and the others, sorted.
fn jar_files(version: &str) -> Result<(Vec<String>, Vec<String>)> {
    let jars = jars(version)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&jars).with_context(|| format!("list {}", jars.display()))? {
        found.push(entry.context("read a directory entry")?.path());
    }
    found.sort();
    let is_editor =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jline"));
    let (editor, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_editor);
    let shown = |paths: Vec<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
    Ok((shown(editor), shown(others)))
}

/// The directory of our quiet logging configuration.
pub(crate) fn logging() -> String {
    package_dir().join("clients/java/logging").display().to_string()
}

/// Compiles `sources` (paths below `clients/java`) against one release and returns the
/// directory of classes.
pub fn classes(version: &str, sources: &[PathBuf]) -> Result<PathBuf> {
    compiled(version, &class_path(version)?, sources)
}

/// Compiles `sources` against a class path and returns the directory of classes. Its name
/// carries a checksum of the sources, so an edit recompiles.
pub fn compiled(name: &str, class_path: &str, sources: &[PathBuf]) -> Result<PathBuf> {
    let mut text = Vec::new();
    for source in sources {
        text.extend(fs::read(source).with_context(|| format!("read {}", source.display()))?);
    }
    once(&format!("classes-{name}-{:016x}", checksum(&text)), |dir| {
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-Xlint:none", "-cp", class_path, "-d"]).arg(dir).args(sources);
        run(&mut javac).map(drop)
    })
}

/// Tells one text from another (FNV-1a).
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the Python programs import.
const PYTHON_PACKAGES: [&str; 3] = ["kazoo==2.11.0", "prometheus_client==0.21.1", "pure-sasl==0.6.2"];

/// A Python interpreter that has kazoo with its SASL, and Prometheus' parser.
pub fn python() -> Result<PathBuf> {
    // A virtual environment remembers its path, so it is made in place, with a mark when whole.
    let home = cache_dir()?.join("python-env");
    let mark = format!("python-ready-{:016x}", checksum(PYTHON_PACKAGES.concat().as_bytes()));
    once(&mark, |_| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let mut pip = Command::new(home.join("bin/pip"));
        pip.args(["install", "-q", "--disable-pip-version-check"]).args(PYTHON_PACKAGES);
        run(&mut pip).map(drop)
    })?;
    Ok(home.join("bin/python"))
}

/// The server under judgement: `OXKEEPER_BIN`, or one built in release mode from the workspace.
pub fn oxkeeper() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("OXKEEPER_BIN") {
        let path = PathBuf::from(given);
        if !path.is_file() {
            bail!("OXKEEPER_BIN names {}, which is not a file", path.display());
        }
        return Ok(path);
    }
    static BUILT: std::sync::Mutex<bool> = std::sync::Mutex::new(false);
    let target = target_dir()?;
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !*built {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "-p", "oxkeeper", "--target-dir"]).arg(&target);
        run(command.current_dir(package_dir().join("..")))?;
        *built = true;
    }
    Ok(target.join("release/oxkeeper"))
}
