//! Fuzzes the headers by which the server tells who is let in.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::guard(bytes));
