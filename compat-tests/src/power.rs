//! A disk whose power can be cut: an ext4 image on a loop device, and the file system's own shutdown call.
//!
//! What was not synced when the power goes is what the kernel had not written yet, journal included; the
//! next mount replays the journal, as after a real cut. The server is stopped at the same moment: see the
//! helper, `clients/python/power_switch.py`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::artifacts::{package_dir, run};
use crate::skip;

/// Whether this machine lets us mount. Where it does not, the caller skips its test; under `CI=true` that is
/// an error for root with loop devices. Some containers have none.
pub fn available() -> Result<bool> {
    let Err(missing) = DiskImage::create(MIN_BYTES) else { return Ok(true) };
    skip::skip_unless_mountable(&format!("no power can be cut here: {missing:#}"))?;
    Ok(false)
}

/// What ext4 with a journal needs at least.
const MIN_BYTES: u64 = 8 << 20;

/// How a file system goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Everything is written first: the least that can go wrong.
    Flush = 0,
    /// The journal is written, data that is not synced is not.
    LogFlush = 1,
    /// Nothing more is written: a power cut.
    NoLogFlush = 2,
}

/// A file system of its own, in memory where that is possible. Dropping it unmounts it and lets its loop
/// device go, and none but its own.
#[derive(Debug)]
pub struct DiskImage {
    home: TempDir,
    device: Option<String>,
    mounted: bool,
}

impl DiskImage {
    /// A mounted, empty ext4 of this size.
    pub fn create(bytes: u64) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let mut home = tempfile::Builder::new();
        let home = home.prefix("oxkeeper-disk-");
        let home = if memory.is_dir() { home.tempdir_in(memory) } else { home.tempdir() };
        let home = home.context("make a directory for the image")?;
        let path = home.path().join("image");
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        file.set_len(bytes).with_context(|| format!("size {}", path.display()))?;
        drop(file);
        let mut image = Self { home, device: None, mounted: false };
        fs::create_dir(image.root()).context("make the mount point")?;
        image.format()?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&path))?;
        image.device = Some(device.trim().to_owned());
        image.mount()?;
        Ok(image)
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("mount")
    }

    /// The loop device's name in `/sys/block`.
    pub fn block_device(&self) -> Option<&str> {
        self.device.as_deref()?.rsplit('/').next()
    }

    fn format(&self) -> Result<()> {
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-m", "0", "-b", "4096", "-O", "has_journal"])
            .arg(self.home.path().join("image"));
        run(&mut mkfs).map(drop)
    }

    fn mount(&mut self) -> Result<()> {
        let device = self.device.as_deref().context("a loop device")?;
        run(Command::new("mount").args(["-t", "ext4", device]).arg(self.root()))?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        run(Command::new("umount").arg(self.root()))?;
        self.mounted = false;
        Ok(())
    }

    /// The power comes back: unmounts what is dead and mounts what is on the disk.
    pub fn power_on(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// Empties the disk.
    pub fn renew(&mut self) -> Result<()> {
        self.unmount()?;
        self.format()?;
        self.mount()
    }
}

impl Drop for DiskImage {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.unmount()
        {
            eprintln!("{error:#}");
        }
        if let Some(device) = &self.device
            && let Err(error) = run(Command::new("losetup").args(["--detach", device]))
        {
            eprintln!("{error:#}");
        }
    }
}

/// The helper that makes the shutdown call, which safe Rust cannot. One serves many cuts.
#[derive(Debug)]
pub struct PowerSwitch {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl PowerSwitch {
    /// Starts the helper.
    pub fn new() -> Result<Self> {
        let mut python = Command::new("python3");
        python.arg(package_dir().join("clients/python/power_switch.py"));
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().with_context(|| format!("start {python:?}"))?;
        let input = child.stdin.take().context("the helper's input")?;
        let output = BufReader::new(child.stdout.take().context("the helper's output")?);
        Ok(Self { child, input, output })
    }

    /// Sends random pages of the log files in `directory` to the disk, stops the process for good and cuts
    /// the disk's power.
    pub fn cut(&mut self, directory: &Path, how: Shutdown, seed: u64, process: u32) -> Result<()> {
        let line = format!("{} {} {seed} {process}", how as u32, directory.display());
        writeln!(self.input, "{line}").context("ask for a power cut")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).context("the answer of the helper")?;
        ensure!(answer == "off\n", "the power is not off: {answer:?}");
        Ok(())
    }
}

impl Drop for PowerSwitch {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
