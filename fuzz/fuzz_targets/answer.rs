//! Fuzzes answers of the API host: their envelope, and what each endpoint reads from it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bedfs::fuzzing::answer(bytes));
