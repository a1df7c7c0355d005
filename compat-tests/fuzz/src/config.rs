//! A configuration file. No input panics or takes unbounded memory, and the remarks can be printed. The
//! first byte decides whether the two keys that every file needs stand in front.

use oxkeeper::config::{Config, Environment};

use jute_fuzz::peak_bytes;

/// What one byte of a file may be worth in memory, and what every file costs.
const WORST_FACTOR: usize = 1024;
const SLACK_BYTES: usize = 1 << 20;

/// Reads `input`.
pub fn config(input: &[u8]) {
    let Some((selector, text)) = input.split_first() else { return };
    // Settings that name further files would make the outcome depend on the machine.
    let names_a_file = [&b"dynamic"[..], b"login"]
        .iter()
        .any(|name| text.windows(name.len()).any(|word| word.eq_ignore_ascii_case(name)));
    let text: Vec<u8> = if names_a_file {
        Vec::new()
    } else if selector & 1 == 0 {
        [b"dataDir=/nowhere/at/all\nclientPort=2181\n", text].concat()
    } else {
        text.to_vec()
    };
    let flags = if selector & 2 == 0 { String::new() } else { String::from_utf8_lossy(&text).into_owned() };
    let environment = Environment { jvmflags: flags, ..Environment::default() };
    let peak = peak_bytes(|| match Config::parse("zoo.cfg", &text, &environment) {
        Ok(config) => drop(config.remarks()),
        Err(error) => assert!(!error.to_string().is_empty()),
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * text.len(), "{peak} bytes for {}", text.len());
}
