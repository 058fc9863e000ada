//! bedfs mounts a 123pan image bed as a drive: pictures go in with `cp`, their public links come out
//! as extended attributes.
//!
//! # The rooms
//!
//! Each module belongs to a floor and uses only floors below it and its neighbours on the same one.
//! ARCHITECTURE.md tells why; the test `tidy` holds it.
//!
//! | floor | rooms |
//! |---|---|
//! | 7 | [`cli`]: what was typed becomes what is meant |
//! | 6 | [`mount`]: everything wired together, one session and its end; [`background`]; [`serve`] |
//! | 5 | [`fuse`]: decodes, picks the lane, answers |
//! | 4 | [`fs`]: one method for each VFS operation |
//! | 3 | [`bed`]: changes of the bed that lose nothing; [`post`], [`probe`], [`checkup`] |
//! | 2 | [`tree`], [`read`], [`upload`], [`account`], [`pending`], [`walk`], [`relink`], [`gallery`], [`thumbs`] |
//! | 1 | [`api`], [`staging`], [`state`], [`cache`], [`names`] |
//! | 0 | [`aside`], [`types`], [`config`], [`disk`], [`kind`], [`link`], [`log`], [`memory`], [`paths`], [`process`], [`mountpoint`] |
//!
//! # Three walks
//!
//! *A picture is read.* `fuse` takes the request and finds that `fs` cannot answer it here; in a
//! task `fs` asks `read`, which waits for the block in the `cache` while a flight brings it by
//! `api`.
//!
//! *A picture is copied in.* `fs` writes into a file of `staging`. When it is closed `fs` publishes
//! it: `bed` has it uploaded by `upload`, in place or, over an old version, by way of a scratch
//! folder. The close returns when the service has confirmed it.
//!
//! *A folder is listed.* `fs` asks `tree`, which has `api` list it, all pages or none, and merges
//! the rows into the inode table. For a minute nothing is asked again: the rows held sizes, times
//! and links.

pub mod account;
pub mod api;
pub mod aside;
pub mod background;
pub mod bed;
pub mod cache;
pub mod checkup;
pub mod cli;
pub mod config;
pub mod disk;
pub mod fs;
pub mod fuse;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gallery;
pub mod kind;
pub mod link;
pub mod log;
pub mod memory;
pub mod mount;
pub mod mountpoint;
pub mod names;
pub mod paths;
pub mod pending;
pub mod post;
pub mod probe;
pub mod process;
pub mod read;
pub mod relink;
pub mod serve;
pub mod staging;
pub mod state;
pub mod thumbs;
pub mod tree;
pub mod types;
pub mod upload;
pub mod walk;
