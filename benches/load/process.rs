//! What Linux knows of a process: CPU time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel counts in hundredths of a second here, whatever its own tick is.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads so far, in user and in kernel mode.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    let ticks =
        parse_ticks(&stat).with_context(|| format!("the stat of process {pid} is not as expected"))?;
    Ok(TICK * ticks)
}

/// The busy time of all cores so far: neither idle nor waiting for a disk.
///
/// # Errors
/// When `/proc` is not there.
pub fn machine_cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("no /proc/stat")?;
    let fields: Vec<u32> = stat.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    match fields[..] {
        [user, nice, system, _, _, irq, softirq, steal, ..] => {
            Ok(TICK * (user + nice + system + irq + softirq + steal))
        }
        _ => anyhow::bail!("/proc/stat is not as expected"),
    }
}

/// Resident memory now, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_kib(pid: u32) -> Result<u64> {
    status_kib(&read(pid, "status")?, "VmRSS:").with_context(|| format!("process {pid} has no memory"))
}

/// The most memory the process ever had resident, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn peak_resident_kib(pid: u32) -> Result<u64> {
    status_kib(&read(pid, "status")?, "VmHWM:").with_context(|| format!("process {pid} has no memory"))
}

fn read(pid: u32, file: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("no process {pid}"))
}

/// Fields 14 and 15, counted behind the name, which may hold anything.
fn parse_ticks(stat: &str) -> Option<u32> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn status_kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_move_the_fields() {
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 70 8 13 14";
        assert_eq!(parse_ticks(stat), Some(78));
    }

    #[test]
    fn memory_is_found_by_its_key() {
        let status = "Name:\tx\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(status_kib(status, "VmRSS:"), Some(100));
        assert_eq!(status_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_kib(std::process::id()).is_ok_and(|kib| kib > 0));
        assert!(cpu_time(std::process::id()).is_ok());
    }
}
