//! Fuzzes headers of links: ranges, dates and sums.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::headers(bytes));
