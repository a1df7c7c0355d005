//! The reference's C client with TLS and SASL.
//!
//! Debian's library is built without both. So the client is compiled here, from the sources that Debian's package is
//! made of; `OXKEEPER_C_CLIENT` names an unpacked release of Apache ZooKeeper to take in their place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::artifacts::{self, REFERENCE};
use crate::results::{self, Row};
use crate::skip::skip;
use crate::{compare, native};

const WHO: &str = "C client with TLS and SASL";
/// Below the root of a release.
const CLIENT: &str = "zookeeper-client/zookeeper-client-c";
const RECORDS: &str = "zookeeper-jute/src/main/resources/zookeeper.jute";
const FILES: [&str; 9] = [
    "zookeeper",
    "recordio",
    "zk_log",
    "zk_hashtable",
    "addrvec",
    "mt_adaptor",
    "zk_sasl",
    "hashtable/hashtable",
    "hashtable/hashtable_itr",
];

/// The program of `clients/c`, which takes TLS and SASL; its version in front. None, and a word to whoever reads, where it
/// cannot be made: like Go and Node.js it is never required.
pub fn secured() -> Result<Option<(String, PathBuf)>> {
    let headers = ["openssl/ssl.h", "sasl/sasl.h"];
    if !native::present(WHO, &["gcc", "java", "mvn", "tar"], &headers)? {
        return Ok(None);
    }
    let made = sources().and_then(|sources| Ok((version(&sources)?, compiled(&sources)?)));
    match made {
        Ok((version, dir)) => Ok(Some((format!("C client {version} with TLS and SASL"), dir.join("client")))),
        Err(why) => {
            skip(&format!("{WHO}: it cannot be made: {why:#}"));
            results::record(compare::judged(), &Row::skipped(WHO, "its sources"))?;
            Ok(None)
        }
    }
}

/// An unpacked release.
fn sources() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("OXKEEPER_C_CLIENT") {
        return Ok(given.into());
    }
    let dir = artifacts::once("c-client-sources", |dir| {
        let archives = package_archives()?;
        ensure!(!archives.is_empty(), "apt knows no archive of Debian; run apt-get update");
        fs::write(dir.join("list"), archives).context("write a list of archives")?;
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(name)).with_context(|| format!("make {name}"))?;
        }
        // Lists of its own: the machine's settings name no sources as a rule, and stay as they are.
        artifacts::run(apt(dir).arg("update"))?;
        artifacts::run(apt(dir).args(["source", "--download-only", "--tar-only", "zookeeper"]))?;
        let packed =
            fs::read_dir(dir).context("list what came")?.filter_map(Result::ok).map(|one| one.path());
        let packed = packed.into_iter().find(|path| path.to_string_lossy().contains(".orig.tar"));
        let packed = packed.context("apt-get brought no sources")?;
        fs::create_dir(dir.join("release")).context("make a directory")?;
        let mut tar = Command::new("tar");
        tar.args(["-xf"]).arg(packed).args(["--strip-components=1", "-C"]).arg(dir.join("release"));
        artifacts::run(&mut tar)?;
        fs::remove_dir_all(dir.join("lists")).context("remove the lists")
    })?;
    Ok(dir.join("release"))
}

fn apt(dir: &Path) -> Command {
    let mut apt = Command::new("apt-get");
    for (key, value) in [
        ("Dir::Etc::sourcelist", dir.join("list")),
        ("Dir::Etc::sourceparts", "-".into()),
        ("Dir::State::lists", dir.join("lists")),
        ("Dir::Cache", dir.join("cache")),
        ("APT::Sandbox::User", "".into()),
    ] {
        apt.arg("-o").arg(format!("{key}={}", value.display()));
    }
    apt.current_dir(dir);
    apt
}

/// The archives that this machine's packages of Debian come from, as lines that ask for their sources.
fn package_archives() -> Result<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(ORIGIN)|deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)"]);
    let mut lines = Vec::new();
    for line in artifacts::run(apt.arg("Created-By: Packages"))?.lines() {
        let Some(("Debian" | "Ubuntu", line)) = line.split_once('|') else { continue };
        lines.push(format!("{line}\n"));
    }
    lines.sort();
    lines.dedup();
    Ok(lines.concat())
}

fn version(sources: &Path) -> Result<String> {
    let header = sources.join(CLIENT).join("include/zookeeper_version.h");
    let text = fs::read_to_string(&header).with_context(|| format!("read {}", header.display()))?;
    let (_, rest) = text.split_once("#define ZOO_VERSION \"").context("a version")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// The directory of the program, compiled once for each text of it and each release.
fn compiled(sources: &Path) -> Result<PathBuf> {
    let client = sources.join(CLIENT);
    let own = artifacts::package_dir().join("clients/c");
    let mut text = fs::read(client.join("src/zookeeper.c")).context("read zookeeper.c")?;
    for file in ["main.c", "config.h"] {
        text.extend(fs::read(own.join(file)).with_context(|| format!("read {file}"))?);
    }
    artifacts::once(&format!("c-secured-{:016x}", artifacts::checksum(&text)), |dir| {
        // Programs say <zookeeper/zookeeper.h>, the client's own files do not.
        symlink(client.join("include"), dir.join("zookeeper")).context("link the headers")?;
        let mut records = Command::new("java");
        records.arg("-cp").arg(artifacts::class_path(REFERENCE)?);
        records.args(["org.apache.jute.compiler.generated.Rcc", "-l", "c"]).arg(sources.join(RECORDS));
        artifacts::run(records.current_dir(dir))?;
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-w", "-DTHREADED", "-DUSE_STATIC_LIB", "-DHAVE_OPENSSL_H", "-DHAVE_CYRUS_SASL_H"]);
        gcc.args(["-I.", "-Izookeeper", "-o", "client"])
            .arg("-I")
            .arg(&own)
            .arg("-I")
            .arg(client.join("src"));
        gcc.arg(own.join("main.c")).arg("zookeeper.jute.c");
        gcc.args(FILES.map(|file| client.join("src").join(format!("{file}.c"))));
        gcc.args(["-lssl", "-lcrypto", "-lsasl2", "-lpthread", "-lm"]);
        artifacts::run(gcc.current_dir(dir)).map(drop)
    })
}
