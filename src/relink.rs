//! Relinking: links of the bed in texts of any kind, found, followed to what took their place, and
//! rewritten without touching another byte.
//!
//! A link is `scheme://host/UID/FILEID.EXT`, on the service's host or on a domain of the user's own,
//! which names the same path. So it is known by its path, on any host of the bed, however it is spelled:
//! with `http` or `https`, percent-encoded or not, inside JSON (`\/`), or inside another address
//! (`%2F`).

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
pub use scan::{Found, Scanner, host};

/// The host of the service's links, in the samples of `003`.
pub const SERVICE_HOST: &str = "vip.123pan.cn";
