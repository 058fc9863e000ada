//! Fuzzes configuration files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::config(bytes));
