//! Relinking: links of the bed in texts of any kind, found, followed to what took their place, and
//! rewritten without touching another byte.
//!
//! A link is `scheme://host/UID/FILEID.EXT`, on a host of the service's or on a domain of the user's own.
//! So it is known by what its path names, on any host of the bed, however it is spelled: with `http` or
//! `https`, percent-encoded or not, inside JSON (`\/`), or inside another address (`%2F`).

mod chains;
mod file;
mod lookup;
mod query;
mod rewrite;
mod scan;
mod spelling;

pub use chains::Chains;
pub use file::{Error as FileError, TextFile};
pub use lookup::{Lookup, Verdict};
pub use rewrite::{Rewritten, rewrite};
pub use scan::{Found, Scanner};
