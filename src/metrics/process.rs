//! Figures of this process, from `/proc`. What cannot be read is 0, as in the reference's collector.

#![expect(clippy::disallowed_methods, reason = "what the system tells of the process is no file")]

use std::fs;

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// In physical memory.
    pub resident_bytes: u64,
    /// Of address space.
    pub virtual_bytes: u64,
    /// The most this process may have: the limit of its control group, or what the machine has.
    pub limit_bytes: u64,
    /// What the machine can still give.
    pub available_bytes: u64,
}

impl Memory {
    /// Reads it.
    pub fn of_this_process() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let mut pages = statm.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
        let (all, resident) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let machine = |name| kib_field(&meminfo, name) * 1024;
        let group =
            fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
        Self {
            resident_bytes: resident * page_bytes(),
            virtual_bytes: all * page_bytes(),
            limit_bytes: group.unwrap_or(u64::MAX).min(machine("MemTotal:")),
            available_bytes: machine("MemAvailable:"),
        }
    }
}

/// Size of a page: 4 KiB, or 16 or 64 on some arm64 systems.
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// Ticks in a second of the times in `/proc`.
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

fn kib_field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Open file descriptors.
pub fn open_file_descriptors() -> i64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as i64)
}

/// File descriptors allowed.
pub fn max_file_descriptors() -> i64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|soft| soft.parse().ok()).unwrap_or(0)
}

/// Processor time used, in seconds.
pub fn cpu_seconds() -> f64 {
    // After the closing parenthesis of the name, user and system time are fields 12 and 13.
    (stat_field(11) + stat_field(12)) / ticks_per_second()
}

/// When the process started, in seconds since 1970.
pub fn start_time_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot =
        stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.trim().parse().ok());
    boot.unwrap_or(0.0) + stat_field(19) / ticks_per_second()
}

/// Threads there are.
pub fn threads() -> i64 {
    stat_field(17) as i64
}

fn stat_field(index: usize) -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(index).and_then(|field| field.parse().ok()).unwrap_or(0.0)
}

/// A name, perhaps with a label and its value, and the figure.
type Sample = (&'static str, Option<(&'static str, &'static str)>, f64);

/// Gauges that dashboards expect of a Java server, with the nearest figure we have.
/// Reference: the default exports of Prometheus' Java client.
pub(super) fn java_names() -> Vec<Sample> {
    let memory = Memory::of_this_process();
    let heap = Some(("area", "heap"));
    let nonheap = Some(("area", "nonheap"));
    vec![
        ("process_start_time_seconds", None, start_time_seconds()),
        ("process_open_fds", None, open_file_descriptors() as f64),
        ("process_max_fds", None, max_file_descriptors() as f64),
        ("process_virtual_memory_bytes", None, memory.virtual_bytes as f64),
        ("process_resident_memory_bytes", None, memory.resident_bytes as f64),
        ("jvm_memory_bytes_used", heap, memory.resident_bytes as f64),
        ("jvm_memory_bytes_used", nonheap, 0.0),
        ("jvm_memory_bytes_committed", heap, memory.resident_bytes as f64),
        ("jvm_memory_bytes_committed", nonheap, 0.0),
        ("jvm_memory_bytes_max", heap, memory.limit_bytes as f64),
        ("jvm_memory_bytes_max", nonheap, -1.0),
        ("jvm_threads_current", None, threads() as f64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_plausible_figures() {
        let memory = Memory::of_this_process();
        assert!(memory.resident_bytes > 0 && memory.resident_bytes <= memory.virtual_bytes);
        assert!(memory.limit_bytes > 0);
        assert!(open_file_descriptors() > 0 && open_file_descriptors() <= max_file_descriptors());
        assert!(threads() > 0);
        assert!(start_time_seconds() > 1_500_000_000.0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_counted_in_the_pages_of_this_machine() {
        // The same figure, which this file gives in KiB.
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let expected = kib_field(&status, "VmSize:") * 1024;
        let found = Memory::of_this_process().virtual_bytes;
        assert!(found > expected / 2 && found < expected * 2, "{found} bytes, and {expected} in status");
    }
}
