//! Fuzzes pictures: their kinds, and thumbnails of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::picture(bytes));
