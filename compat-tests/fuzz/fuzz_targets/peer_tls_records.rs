#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| oxkeeper_fuzz::peer_tls_records(input));
