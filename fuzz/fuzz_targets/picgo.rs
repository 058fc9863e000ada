//! Fuzzes requests of PicGo's clients.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::picgo(bytes));
