//! What the kernel tells of the server's process.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// Memory above that at the beginning with which a server is killed.
const RUNAWAY: u64 = 1 << 30;
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// Its memory in bytes. Pages of files do not count: the mapped log is no one's burden.
pub fn anonymous_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no RssAnon")?;
    Ok(kib.parse::<u64>().with_context(|| format!("RssAnon {kib}"))? << 10)
}

/// The descriptors it has open.
pub fn descriptors(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path).with_context(|| format!("list {path}"))?.count())
}

/// The time it has spent on processors.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
        let path = task.context("list")?.path().join("schedstat");
        // A thread may end meanwhile.
        let text = fs::read_to_string(&path).unwrap_or_default();
        nanoseconds += text.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Looks at the memory all the time and remembers the most. A server that takes so much that the machine would
/// suffer is killed.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Begins.
    pub fn start(pid: u32) -> Self {
        let enough = anonymous_bytes(pid).unwrap_or(0) + RUNAWAY;
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, peak) = (stop.clone(), peak.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // A process that is gone is noticed by others.
                    let bytes = anonymous_bytes(pid).unwrap_or(0);
                    peak.fetch_max(bytes, Ordering::Relaxed);
                    if bytes > enough {
                        let _gone_already = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
                        return;
                    }
                    std::thread::sleep(SAMPLE_EVERY);
                }
            }
        });
        Self { stop, peak, thread: Some(thread) }
    }

    /// Ends; the most there was, in bytes.
    pub fn stop(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the sampler does not panic");
        }
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}
