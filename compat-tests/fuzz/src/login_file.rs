//! A login configuration. No input panics or takes memory out of proportion, and an error names a line.

use oxkeeper::config::jaas::Jaas;

use jute_fuzz::peak_bytes;

const WORST_FACTOR: usize = 256;
const SLACK_BYTES: usize = 64 << 10;

/// Reads `input`.
pub fn login_file(input: &[u8]) {
    let property = |name: &str| (name.len() < 8).then(|| name.to_uppercase());
    let peak = peak_bytes(|| match Jaas::parse(input, &property) {
        Ok(jaas) => {
            for name in jaas.names().split(", ") {
                for module in jaas.section(name).unwrap_or_default() {
                    assert!(module.options().all(|(name, value)| module.option(name) == Some(value)));
                }
            }
        }
        Err(error) => assert!(error.line >= 1 && !error.problem.is_empty()),
    });
    assert!(peak <= SLACK_BYTES + WORST_FACTOR * input.len(), "{peak} bytes for {}", input.len());
}
