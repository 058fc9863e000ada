//! A stand-in for the 123pan image bed, for tests and demonstrations: an HTTP server that is as
//! strict as the service's documents, that counts what it is asked and what that would cost, that
//! fails on purpose, and that plays every answer where the documents leave one open.
//!
//! It shares no type with the client. It spells its JSON from the documents, as an independent
//! witness of what the client sends.
//!
//! ```
//! use bedfs_emulator::{Emulator, Fault, FaultKind, Options};
//!
//! let emulator = Emulator::start(Options::default())?;
//! emulator.put("holiday/beach.jpg", b"bytes");
//! emulator.inject(Fault::new("list", FaultKind::Status(502)).skip(1));
//! // A client of `emulator.base_url()` sees the file, and its second listing fails.
//! assert_eq!(emulator.count("list"), 0);
//! assert!(emulator.violations().is_empty());
//! # std::io::Result::Ok(())
//! ```
//!
//! From the outside in: `emulator` starts `connection`s, each on a `wire`. A connection routes a
//! request (`head`) to the `api`, to `storage` or to the `cdn`, and plays the `fault` that is
//! armed. These read and change the `bed`, a `tree` of `node`s with `content`. All of them share
//! one `server`, which also holds the uploads, the tokens, the limiter, the `record` and the `ledger`,
//! which is what the service itself writes down.

mod answers;
mod api;
mod bed;
mod cdn;
mod clock;
mod connection;
mod content;
mod control;
mod digest;
mod emulator;
mod fault;
mod head;
mod journal;
mod ledger;
mod limiter;
mod link;
mod listener;
mod meter;
mod name;
mod node;
mod options;
mod pace;
mod play;
mod record;
mod refusal;
mod reply;
mod row;
mod server;
mod storage;
mod store;
mod token;
mod tree;
mod upload;
mod wire;

pub use crate::answers::{
    Answers, Asked, Checking, Cursor, DeleteFullFolder, DeleteMissing, DeveloperInfo,
    DuplicateName, EmptyFile, Formats, InstantUpload, Lapsed, ListOrder, LogEnd, LogReach,
    LogTotal, MkdirName, MoveFolder, MoveToRoot, RangeAnswer, Redirect, ReuseFileId, SameBytes,
    SelfUrl, UniqueId, Validator,
};
pub use crate::emulator::Emulator;
pub use crate::fault::{Fault, FaultKind, Instead};
pub use crate::ledger::{Share, TrafficEntry};
pub use crate::options::{Options, Qps};
pub use crate::record::Request;
pub use crate::row::Row;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. A panic elsewhere leaves data that is whole: every section under a lock is short
/// and leaves its invariants standing at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
