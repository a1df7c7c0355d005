//! A small ext4 file system of its own, loop-mounted, that a test can fill to the block.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::artifacts::{cache_dir, run};
use crate::skip;

/// Bytes of a block.
pub const BLOCK: u64 = 4096;

/// A mounted file system. Dropping it unmounts it and removes its image.
#[derive(Debug)]
pub struct Volume {
    image: PathBuf,
    mount: PathBuf,
}

impl Volume {
    /// Makes one of this size. `None` where this needs rights that are not there: the caller skips its test.
    pub fn try_new(name: &str, mebibytes: u64) -> Result<Option<Self>> {
        let base = cache_dir()?.join(format!("{name}-{}", std::process::id()));
        let (image, mount) = (base.with_extension("img"), base.with_extension("mnt"));
        let file = File::create(&image).with_context(|| format!("create {}", image.display()))?;
        file.set_len(mebibytes << 20).with_context(|| format!("lengthen {}", image.display()))?;
        drop(file);
        fs::create_dir_all(&mount).with_context(|| format!("create {}", mount.display()))?;
        let mounted = run(Command::new("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-m", "0"]).arg(&image))
            .and_then(|_| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount)));
        let volume = Self { image, mount };
        match mounted {
            Ok(_) => Ok(Some(volume)),
            Err(error) => {
                fs::remove_file(&volume.image).context("remove the image")?;
                skip::skip_unless_mountable(&format!("no file system can be mounted here: {error}"))?;
                Ok(None)
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Blocks that can still be allocated.
    pub fn free_blocks(&self) -> Result<u64> {
        let text = run(Command::new("stat").args(["-f", "-c", "%a"]).arg(&self.mount))?;
        text.trim().parse().with_context(|| format!("stat printed {text:?}"))
    }

    fn filler(&self) -> PathBuf {
        self.mount.join("filler")
    }

    /// Takes all blocks but this many.
    pub fn fill_to(&self, blocks: u64) -> Result<()> {
        // Blocks that describe the file itself are not known beforehand: come close, then exact.
        let (mut length, mut step_max) = (0, u64::MAX);
        for _ in 0..1000 {
            let free = self.free_blocks()?;
            if free == blocks {
                return Ok(());
            }
            if free > blocks {
                let step = ((free - blocks) * BLOCK).min(step_max);
                let mut fallocate = Command::new("fallocate");
                fallocate.args(["-o", &length.to_string(), "-l", &step.to_string()]).arg(self.filler());
                match run(&mut fallocate) {
                    Ok(_) => (length, step_max) = (length + step, u64::MAX),
                    // A last block that the file cannot have is as good as none.
                    Err(_) if step == BLOCK => return Ok(()),
                    Err(_) => step_max = (step / 2).next_multiple_of(BLOCK),
                }
            } else {
                length -= ((blocks - free) * BLOCK).min(length);
                let file = File::options().write(true).open(self.filler()).context("open the filler")?;
                file.set_len(length).context("cut the filler")?;
                file.sync_all().context("sync the filler")?;
            }
        }
        ensure!(false, "{} blocks are free and not {blocks}", self.free_blocks()?);
        Ok(())
    }

    /// Has the file system turn read-only as after an error of the device.
    pub fn fail(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.mount)).map(drop)
    }

    /// Unmounts it and mounts it again, as after a restart of the machine.
    pub fn mount_again(&self) -> Result<()> {
        run(Command::new("umount").arg(&self.mount))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount)).map(drop)
    }

    /// Gives back what [`Volume::fill_to`] took.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("remove the filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.mount)) {
            eprintln!("{} stays mounted: {error}", self.mount.display());
            return;
        }
        let _ = fs::remove_dir(&self.mount);
        let _ = fs::remove_file(&self.image);
    }
}
