//! Fuzzes rows of listings, and the names that the mount shows for them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::listing(bytes));
