//! Directories that a server refuses, and disks that end it: the exit code is the reference's, and the
//! message names the file and the remedy. And a disk that a start waits for.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::artifacts::{self, REFERENCE};
use compat_tests::compare::judged;
use compat_tests::owner;
use compat_tests::server::{Kind, Options, Server, Started, free_port};
use compat_tests::systems::until;
use compat_tests::volume::Volume;
use compat_tests::wire::{Body, Client, op};

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory as one server left it: a snapshot of nothing, and a log.
fn healthy() -> Result<tempfile::TempDir> {
    let home = tempfile::tempdir().context("a directory")?;
    let mut server = Server::start(Kind::Oxkeeper, &Options::default().data_dir(home.path()))?;
    let mut client = Client::connect(server.addr(), 30_000)?;
    for n in 0..20 {
        let created =
            client.call(n + 1, op::CREATE, &Body::create(&format!("/node-{n}"), &[b'x'; 100], 0))?;
        ensure!(created.err == 0, "code {}", created.err);
    }
    server.kill()?;
    Ok(home)
}

fn copy(from: &Path) -> Result<tempfile::TempDir> {
    let home = tempfile::tempdir().context("a directory")?;
    let to = home.path().join("version-2");
    fs::create_dir(&to).context("create a directory")?;
    for entry in fs::read_dir(from.join("version-2")).context("list")? {
        let name = entry.context("list")?.file_name();
        fs::copy(from.join("version-2").join(&name), to.join(&name)).context("copy")?;
    }
    Ok(home)
}

/// What is wrong, whether and how a server ends over it, and what Oxkeeper must say.
struct Case {
    what: &'static str,
    exit_code: Option<i32>,
    says: &'static [&'static str],
    spoil: fn(&Path) -> Result<Options>,
}

fn plain(home: &Path) -> Options {
    Options::default().data_dir(home)
}

const CASES: &[Case] = &[
    Case {
        what: "a damaged record with intact ones after it",
        exit_code: Some(1),
        says: &["log.1", "at offset ", "Restore the file from a copy"],
        spoil: |home| {
            let path = home.join("version-2/log.1");
            let mut bytes = fs::read(&path).context("read")?;
            bytes[300] ^= 1;
            fs::write(&path, bytes).context("write")?;
            Ok(plain(home))
        },
    },
    Case {
        what: "a damaged last record",
        exit_code: Some(1),
        says: &["log.1", "at offset ", "Restore the file from a copy", "truncate -s "],
        spoil: |home| {
            let path = home.join("version-2/log.1");
            let mut bytes = fs::read(&path).context("read")?;
            let mark = bytes.iter().rposition(|byte| *byte != 0).context("a record")?;
            bytes[mark - 4] ^= 1;
            fs::write(&path, bytes).context("write")?;
            Ok(plain(home))
        },
    },
    Case {
        what: "only damaged snapshots",
        exit_code: Some(1),
        says: &["version-2", "no valid snapshot", "restore the snapshots"],
        spoil: |home| {
            let path = home.join("version-2/snapshot.0");
            let bytes = fs::read(&path).context("read")?;
            fs::write(&path, &bytes[..bytes.len() / 2]).context("write")?;
            Ok(plain(home))
        },
    },
    Case {
        what: "a log and no snapshot",
        exit_code: Some(1),
        says: &["version-2", "no valid snapshot", "snapshot.trust.empty=true"],
        spoil: |home| {
            fs::remove_file(home.join("version-2/snapshot.0")).context("remove")?;
            Ok(plain(home))
        },
    },
    Case {
        what: "a dataLogDir that is a file",
        exit_code: Some(3),
        says: &["a-file/version-2", "Not a directory"],
        spoil: |home| {
            fs::write(home.join("a-file"), "").context("write")?;
            Ok(plain(home).line(&format!("dataLogDir={}", home.join("a-file").display())))
        },
    },
    Case {
        what: "a snapshot in dataLogDir",
        exit_code: Some(3),
        says: &["snapshot.0", "belongs into dataDir"],
        spoil: |home| {
            let logs = home.join("logs");
            fs::create_dir_all(logs.join("version-2")).context("create")?;
            let name = "version-2/snapshot.0";
            fs::copy(home.join(name), logs.join(name)).context("copy")?;
            fs::remove_file(home.join("version-2/log.1")).context("remove")?;
            Ok(plain(home).line(&format!("dataLogDir={}", logs.display())))
        },
    },
    Case {
        what: "a log in dataDir and a dataLogDir of its own",
        exit_code: Some(3),
        says: &["log.1", "belongs into dataLogDir"],
        spoil: |home| Ok(plain(home).line(&format!("dataLogDir={}", home.join("logs").display()))),
    },
    Case {
        what: "a missing directory that must not be created",
        exit_code: Some(3),
        says: &["logs/version-2", "zookeeper.datadir.autocreate is false"],
        spoil: |home| {
            let logs = format!("dataLogDir={}", home.join("logs").display());
            Ok(plain(home).line(&logs).property("zookeeper.datadir.autocreate", "false"))
        },
    },
    Case {
        what: "a number that is none",
        exit_code: Some(2),
        says: &["tickTime", "line "],
        spoil: |home| Ok(plain(home).line("tickTime=soon")),
    },
    Case {
        what: "an empty newest log, as a crash may leave it",
        exit_code: None,
        says: &["removed a log file without any transaction"],
        spoil: |home| {
            fs::write(home.join("version-2/log.100"), "").context("write")?;
            Ok(plain(home))
        },
    },
    Case {
        what: "leftovers: unfinished files, epochs, the mark of an empty database",
        exit_code: None,
        says: &["database loaded"],
        spoil: |home| {
            for name in ["tmp.snapshot.5", "snapshot.7.tmp", "currentEpoch.tmp", "acceptedEpoch", "spare.log"]
            {
                fs::write(home.join("version-2").join(name), "").context("write")?;
            }
            fs::write(home.join("version-2/currentEpoch"), "9").context("write")?;
            fs::write(home.join("initialize"), "").context("write")?;
            Ok(plain(home))
        },
    },
];

fn check(case: &Case, kind: Kind, base: &Path) -> Result<()> {
    let home = copy(base)?;
    let options = (case.spoil)(home.path())?;
    let (exit_code, log) = match Server::try_start(kind, &options)? {
        Started::Serves(server) => (None, server.log()),
        Started::Ended(Some(code), log) => (Some(code), log),
        Started::Ended(None, log) => bail!("{kind}, {}: a signal ended it:\n{log}", case.what),
    };
    ensure!(
        exit_code == case.exit_code,
        "{kind}, {}: ended with {exit_code:?} and not {:?}:\n{log}",
        case.what,
        case.exit_code
    );
    for words in case.says.iter().filter(|_| kind == Kind::Oxkeeper) {
        ensure!(log.contains(words), "{}: {words:?} is not in\n{log}", case.what);
    }
    Ok(())
}

#[test]
fn spoiled_directories_are_refused_as_the_reference_does_and_with_a_remedy() -> Result<()> {
    if judged() != Kind::Oxkeeper {
        return Ok(());
    }
    let with_reference = artifacts::available(&["java", "mvn"])?;
    let base = healthy()?;
    for case in CASES {
        check(case, Kind::Oxkeeper, base.path())?;
        if with_reference {
            check(case, Kind::Apache(REFERENCE), base.path())?;
        }
    }
    Ok(())
}

#[test]
fn a_directory_in_use_is_refused_and_its_holder_named() -> Result<()> {
    if judged() != Kind::Oxkeeper {
        return Ok(());
    }
    let home = tempfile::tempdir().context("a directory")?;
    let _holder = Server::start(Kind::Oxkeeper, &plain(home.path()))?;
    match Server::try_start(Kind::Oxkeeper, &plain(home.path()))? {
        Started::Serves(_) => bail!("two servers serve one directory"),
        Started::Ended(code, log) => {
            ensure!(code == Some(3), "code {code:?}");
            ensure!(log.contains("in use by process") && log.contains("stop it"), "{log}");
        }
    }
    Ok(())
}

#[test]
fn a_port_in_use_is_refused_as_the_reference_does() -> Result<()> {
    if judged() != Kind::Oxkeeper {
        return Ok(());
    }
    let taken = TcpListener::bind("127.0.0.1:0").context("listen")?;
    let port = taken.local_addr().context("the port")?.port();
    let mut kinds = vec![Kind::Oxkeeper];
    kinds.extend(artifacts::available(&["java", "mvn"])?.then_some(Kind::Apache(REFERENCE)));
    for kind in kinds {
        let options = Options::default().line(&format!("clientPort={port}"));
        match Server::try_start(kind, &options)? {
            Started::Serves(_) => bail!("{kind} serves a port that is taken"),
            Started::Ended(code, log) => ensure!(code == Some(1), "{kind}: code {code:?}:\n{log}"),
        }
    }
    Ok(())
}

/// Without a snapshot there is nothing to serve yet, so a full disk is the end of a first start.
#[test]
fn a_first_start_on_a_full_disk_ends_as_the_reference_does() -> Result<()> {
    if judged() != Kind::Oxkeeper || !artifacts::available(&["mkfs.ext4", "mount", "fallocate", "stat"])? {
        return Ok(());
    }
    let Some(volume) = Volume::try_new("first-start", 16)? else { return Ok(()) };
    let mut kinds = vec![Kind::Oxkeeper];
    kinds.extend(artifacts::available(&["java", "mvn"])?.then_some(Kind::Apache(REFERENCE)));
    for kind in kinds {
        let home = volume.path().join(if kind == Kind::Oxkeeper { "ours" } else { "theirs" });
        fs::create_dir_all(home.join("version-2")).context("create")?;
        fs::write(home.join("version-2/oxkeeper.lock"), "").context("write")?;
        volume.fill_to(0)?;
        match Server::try_start(kind, &plain(&home))? {
            Started::Serves(_) => bail!("{kind} serves on a full disk"),
            Started::Ended(code, log) => {
                ensure!(code == Some(1), "{kind}: code {code:?}:\n{log}");
                ensure!(kind != Kind::Oxkeeper || log.contains("No space left on device"), "{log}");
            }
        }
        volume.free()?;
    }
    Ok(())
}

/// A failed write of the log is final, and no acknowledged write is lost over it.
#[test]
fn a_disk_that_turns_read_only_ends_the_server_as_it_does_the_reference() -> Result<()> {
    if judged() != Kind::Oxkeeper || !artifacts::available(&["mkfs.ext4", "mount"])? {
        return Ok(());
    }
    let mut kinds = vec![("mmap", Kind::Oxkeeper), ("plain", Kind::Oxkeeper)];
    if artifacts::available(&["java", "mvn"])? {
        kinds.push(("mmap", Kind::Apache(REFERENCE)));
    }
    for (io, kind) in kinds {
        let Some(volume) = Volume::try_new("read-only", 160)? else { return Ok(()) };
        let options = plain(&volume.path().join("data")).line(&format!("oxkeeper.log.io={io}"));
        let mut server = Server::start(kind, &options)?;
        let mut client = Client::connect(server.addr(), 30_000)?;
        for n in 0..10 {
            let created = client.call(n + 1, op::CREATE, &Body::create(&format!("/node-{n}"), b"", 0))?;
            ensure!(created.err == 0, "code {}", created.err);
        }
        volume.fail()?;
        let answer = client.call(11, op::CREATE, &Body::create("/never", b"", 0));
        ensure!(answer.is_err(), "{kind} acknowledged what cannot be on disk: {answer:?}");
        let code = server.wait_for_end()?;
        ensure!(code == Some(1), "{kind}, {io}: code {code:?}:\n{}", server.log());
        volume.mount_again()?;
        if kind == Kind::Oxkeeper {
            let log = server.log();
            ensure!(log.contains("the transaction log failed") && log.contains("version-2/log.1: "), "{log}");
            server.launch()?;
            let mut client = Client::connect(server.addr(), 30_000)?;
            for n in 0..10 {
                let read =
                    client.call(n + 1, op::GET_DATA, &Body::path_and_watch(&format!("/node-{n}"), false))?;
                ensure!(read.err == 0, "/node-{n} was acknowledged and is gone: code {}", read.err);
            }
            server.stop()?;
        }
    }
    Ok(())
}

/// A snapshot of which nothing comes, as on a disk that hangs: without a handler of its own the first process of a container
/// would not hear the signal.
#[test]
fn a_start_that_waits_for_its_disk_ends_with_a_signal() -> Result<()> {
    let home = tempfile::tempdir().context("a directory")?;
    fs::create_dir(home.path().join("version-2")).context("create a directory")?;
    artifacts::run(Command::new("mkfifo").arg(home.path().join("version-2/snapshot.0")))?;
    let (port, file) = (free_port()?, home.path().join("zoo.cfg"));
    fs::write(&file, format!("dataDir={}\nclientPort={port}\n", home.path().display())).context("write")?;
    for signal in ["TERM", "INT"] {
        let log = home.path().join(signal);
        let output = fs::File::create(&log).context("a log")?;
        let mut server =
            Command::new(artifacts::oxkeeper()?).arg(&file).stdout(output).spawn().context("start it")?;
        let pid = server.id();
        let ended = until("its port is open", PATIENCE, || Ok(owner::listens(pid, port)?.then_some(())))
            .and_then(|()| artifacts::run(Command::new("kill").args(["-s", signal, &pid.to_string()])))
            .and_then(|_| until("it ends", PATIENCE, || server.try_wait().context("wait")));
        if ended.is_err() {
            server.kill().context("end it")?;
        }
        let said = fs::read_to_string(&log).context("read the log")?;
        let status = ended.with_context(|| said.clone())?;
        ensure!(status.code() == Some(0), "SIG{signal}: {status}\n{said}");
        ensure!(said.contains(&format!("SIG{signal}: stopping before the database is loaded")), "{said}");
    }
    Ok(())
}
