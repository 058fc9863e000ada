//! Fuzzes names that programs give to files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::names(bytes));
