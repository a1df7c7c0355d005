#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| oxkeeper_fuzz::login_file(input));
