#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sync_testkit::fuzz::relay_session(input));
