//! The tests of bedfs, in one binary.
//!
//! | module | what it holds the program to |
//! |---|---|
//! | `tidy` | the floors, and the only homes of reqwest, fuser and errno |
//! | `api` | the client against the emulator: every endpoint, every error |
//!
//! `harness` mounts the built binary on a real kernel mount, over a real socket.

mod api;
mod harness;
mod tidy;
