//! Fuzzes texts with links of pictures that moved.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::relink(bytes));
