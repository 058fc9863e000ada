//! Fuzzes lines of offline logs, merged.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::logs(bytes));
