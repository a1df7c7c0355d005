//! The switch of the faults in this copy of the sources: written by the tests that make the copy.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// One more than the largest number of a fault.
const COUNT: usize = 0;

struct Switch {
    chosen: usize,
    reached: Option<File>,
}

/// Whether the fault with this number is on: `OXKEEPER_FAULT` names the one that is. When
/// `OXKEEPER_FAULTS_REACHED` names a file, the number is added to it the first time it is asked for.
pub(crate) fn is_on(fault: usize) -> bool {
    static SWITCH: OnceLock<Switch> = OnceLock::new();
    static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
    let switch = SWITCH.get_or_init(|| Switch {
        chosen: std::env::var("OXKEEPER_FAULT").ok().and_then(|text| text.parse().ok()).unwrap_or(COUNT),
        reached: std::env::var_os("OXKEEPER_FAULTS_REACHED")
            .and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok()),
    });
    if let Some(mut file) = switch.reached.as_ref()
        && !SEEN[fault].swap(true, Ordering::Relaxed)
    {
        file.write_all(format!("{fault}\n").as_bytes()).expect("the list of reached faults can be written");
    }
    switch.chosen == fault
}
