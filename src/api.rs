//! The service client: a method for every endpoint of the documents (`000` to `004`), with one
//! token, one limiter an endpoint, retries inside a deadline, and errors that say what is known.
//!
//! From a method down to the wire: [`Client`] spells the request and reads the answer (`client`,
//! `wire`), the send loop repeats what may be repeated (`send`, `envelope`, `failure`), the limiter says
//! when (`limit`), the token says as whom (`token`). Bytes take another way, without token or
//! limiter: `upload` and `download`, through the connections that `http` opens for foreign hosts.
//! This room is the only home of `reqwest`.

mod client;
mod denied;
mod download;
mod endpoint;
mod envelope;
mod error;
mod failure;
mod figures;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod host;
mod http;
mod instead;
mod ledger;
mod limit;
mod line;
mod list;
mod numbered;
mod pace;
mod progress;
mod pulse;
mod qps;
mod right;
mod roots;
mod scrub;
mod send;
mod settings;
mod staleness;
mod token;
mod tolerant;
mod upload;
mod user;
mod wire;

pub use client::Client;
pub use download::{Download, Version};
pub use error::{Error, Reply};
pub use figures::Figures;
pub use instead::Instead;
pub use ledger::TrafficPages;
pub use limit::in_background;
pub use line::Carrier;
pub use list::{Page, Pages};
pub use progress::{Completed, Created, Part};
pub use pulse::Pulse;
pub use qps::{NotQps, QpsTable};
pub use roots::{NotRoots, Roots};
pub use settings::{Credentials, Settings};
pub use staleness::Staleness;
pub use upload::Slice;
