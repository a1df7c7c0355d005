#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| jute_fuzz::election_port(input));
