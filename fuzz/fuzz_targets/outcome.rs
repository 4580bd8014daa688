#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| kvd_fuzz::run("outcome", input));
