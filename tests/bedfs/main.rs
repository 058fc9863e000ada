//! The tests of bedfs, in one binary.
//!
//! | module | what it holds the program to |
//! |---|---|
//! | `api` | the client against the emulator: every endpoint, every error |
//! | `semantics` | what a file holds: written anywhere, cut, mapped, appended to, read back |
//! | `semantics_folders` | moves, renames, folders: IDs and links that live, nothing that goes unasked |
//! | `semantics_open` | open files: duplicates, children, names that go or change hands |
//! | `tidy` | the floors, and the only homes of reqwest, fuser and errno |
//!
//! `harness` mounts the built binary on a real kernel mount, over a real socket.

mod api;
mod harness;
mod semantics;
mod semantics_folders;
mod semantics_open;
mod tidy;
