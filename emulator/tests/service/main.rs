//! The emulator as a client sees it, over real HTTP.
//!
//! | module | asks |
//! |---|---|
//! | `account` | tokens, quotas, call limits, headers that every call needs |
//! | `folders` | mkdir, delete, move |
//! | `ledger` | the traffic log, offline logs, links of the cloud drive, paid shares |
//! | `listing` | list, detail, their pages, orders and oddities |
//! | `upload` | create, slices, completion, polls |
//! | `storage` | what presigned URLs take |
//! | `links` | direct links: ranges, signatures, redirects, traffic |
//! | `faults` | every kind of fault |
//! | `witness` | what the emulator tells of itself, and what it keeps |
//!
//! `client` is the client: raw sockets, so that a reset and a cut can be told apart.

mod account;
mod client;
mod faults;
mod folders;
mod ledger;
mod links;
mod listing;
mod storage;
mod upload;
mod witness;
