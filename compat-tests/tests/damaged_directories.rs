//! Data directories of older releases, intact, cut short and damaged, opened by both servers: the same
//! tree, or refused where the reference refuses it, with a message that names the file.
//!
//! Where the servers part stands in `exceptions.toml` with the reason. `OXKEEPER_GOLDEN=all` takes the
//! directories of all releases, compressed snapshots too.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::artifacts::{self, OLDER, REFERENCE};
use compat_tests::differential::exceptions::Exceptions;
use compat_tests::differential::pair::{Pair, Setup};
use compat_tests::differential::side::Side;
use compat_tests::golden::{self, Variant};

/// How the servers took a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Same,
    BothRefuse,
    OnlyTheReference,
    OnlyOurs,
    /// Differently, and only ours shows what the intact directory holds.
    OnlyOursRight,
}

fn releases() -> Vec<(&'static str, &'static str)> {
    if std::env::var("OXKEEPER_GOLDEN").is_ok_and(|which| which == "all") {
        let plain = OLDER.into_iter().chain([REFERENCE]).map(|version| (version, ""));
        let compressed = [("3.6.4", "gz"), ("3.7.2", "snappy"), (REFERENCE, "gz"), (REFERENCE, "snappy")];
        return plain.chain(compressed).collect();
    }
    vec![("3.4.14", ""), ("3.6.4", ""), (REFERENCE, "")]
}

#[test]
fn every_directory_is_taken_as_the_reference_takes_it() -> Result<()> {
    if !artifacts::available(&["java", "javac", "mvn"])? {
        return Ok(());
    }
    let setup = Setup::new()?;
    let mut exceptions = Exceptions::load_of_directories()?;
    let (mut same, mut refused) = (0, 0);
    for (version, compression) in releases() {
        let made = golden::made(version, compression)?;
        for variant in golden::variants(&made)? {
            let name = format!("{version} {compression}, {}", variant.name);
            let taken = open(&setup, &made, &variant).context(name.clone())?;
            match (taken, variant.exception) {
                (Taken::Same, None) => same += 1,
                (Taken::BothRefuse, None) => refused += 1,
                (Taken::Same | Taken::BothRefuse, Some(_)) => bail!("{name}: no longer an exception"),
                (_, Some(entry)) if exceptions.excuse(entry) => {}
                // Which bytes of a compressed file do this, chance decides.
                (Taken::OnlyOursRight, None) if exceptions.excuse("leftovers-of-a-damaged-snapshot") => {}
                _ => bail!("{name}: {taken:?}, exception {:?}", variant.exception),
            }
        }
    }
    println!(
        "{same} directories give the same tree, {refused} are refused by both; {:?}",
        exceptions.counts()
    );
    ensure!(same > 0 && refused > 0, "nothing was compared");
    ensure!(
        exceptions.unmet(true).is_empty(),
        "exceptions that no longer occur: {:?}",
        exceptions.unmet(true)
    );
    Ok(())
}

/// Opens a copy of the directory with each server, and compares all that clients can see.
fn open(setup: &Setup, made: &Path, variant: &Variant) -> Result<Taken> {
    match opened(setup, made, [Some(variant), Some(variant)])? {
        (_, Some(_)) if variant.whole && opened(setup, made, [None, Some(variant)])?.1.is_none() => {
            Ok(Taken::OnlyOursRight)
        }
        (_, Some(story)) => bail!("the servers see different things: {story}"),
        (taken, None) => Ok(taken),
    }
}

/// How two copies are taken, the reference's and ours, and what differs if both are.
fn opened(setup: &Setup, made: &Path, variants: [Option<&Variant>; 2]) -> Result<(Taken, Option<String>)> {
    let home = tempfile::tempdir().context("make a directory")?;
    let dirs = ["theirs", "ours"].map(|name| home.path().join(name));
    for (dir, variant) in dirs.iter().zip(variants) {
        golden::copy(made, dir)?;
        variant.map_or(Ok(()), |variant| variant.apply(dir))?;
    }
    let [reference, other] = setup.in_directories([&dirs[0], &dirs[1]]).start()?;
    if let Err(refusal) = &other {
        let refusal = format!("{refusal:#}");
        let last = refusal.trim_end().lines().last().unwrap_or_default();
        let directory = dirs[1].join("version-2");
        ensure!(last.contains(&*directory.to_string_lossy()), "the refusal names no file: {refusal}");
    }
    Ok(match (reference, other) {
        (Ok(reference), Ok(other)) => {
            let mut pair = Pair::of([Side::new(reference)?, Side::new(other)?]);
            (Taken::Same, pair.compare()?.map(|mismatch| mismatch.story))
        }
        (Ok(_), Err(_)) => (Taken::OnlyTheReference, None),
        (Err(refusal), Ok(_)) => {
            println!("the reference refuses: {refusal:#}");
            (Taken::OnlyOurs, None)
        }
        (Err(_), Err(_)) => (Taken::BothRefuse, None),
    })
}
