//! The tests of bedfs, in one binary.
//!
//! | module | what it holds the program to |
//! |---|---|
//! | `api` | the client against the emulator: every endpoint, every error |
//! | `calls` | how many calls, bytes and how much memory everything takes at most |
//! | `semantics` | what a file holds: written anywhere, cut, mapped, appended to, read back |
//! | `semantics_attributes` | extended attributes, modes and times, the control folder, what is not there |
//! | `semantics_elsewhere` | what others do to the bed, and listings that fail |
//! | `semantics_folders` | moves, renames, folders: IDs and links that live, nothing that goes unasked |
//! | `semantics_names` | names that are refused, and hostile ones in listings |
//! | `semantics_open` | open files: duplicates, children, names that go or change hands |
//! | `tidy` | the floors, and the only homes of reqwest, fuser and errno |
//!
//! `harness` mounts the built binary on a real kernel mount, over a real socket.

mod api;
mod calls;
mod harness;
mod semantics;
mod semantics_attributes;
mod semantics_elsewhere;
mod semantics_folders;
mod semantics_names;
mod semantics_open;
mod tidy;
