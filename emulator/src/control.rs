//! The control surface for people and scripts, which the service does not have.

use serde_json::json;

use crate::lock;
use crate::reply::Reply;
use crate::server::Server;

/// Where the control surface is.
pub(crate) const PATH: &str = "/_emulator/stats";

/// What was asked so far, what it cost, and what the bed holds.
pub(crate) fn stats(server: &Server) -> Reply {
    let entries = lock(&server.bed).tree().len();
    let body = json!({
        "requests": server.record.counts(),
        "traffic": server.traffic(),
        "entries": entries,
        "violations": server.record.violations(),
    });
    Reply::text(200, "application/json", format!("{body:#}\n"))
}
