//! The API: its endpoints, what each admits, and the envelope around every answer.

mod account;
mod browse;
mod change;
mod fields;
mod ledger;
mod upload;

pub(crate) use upload::go_on;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answers::{Answers, Asked};
use crate::api::fields::Fields;
use crate::head::Head;
use crate::lock;
use crate::options::Options;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::server::Server;

/// One call of the API, as documented.
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    method: &'static str,
    path: &'static str,
    /// Calls a second that the documents admit.
    qps: u32,
    /// Every key that the documents know, of the body or of the query.
    keys: &'static [&'static str],
    run: fn(&Call) -> Result<Value, Refusal>,
}

/// The endpoint of which the documents do not agree how it is asked.
const OFFLINE_LOGS: &str = "direct-link/offline/logs";

const ENDPOINTS: [Endpoint; 16] = [
    Endpoint {
        name: "access_token",
        method: "POST",
        path: "/api/v1/access_token",
        qps: 1,
        keys: &["clientID", "clientSecret"],
        run: account::access_token,
    },
    Endpoint {
        name: "user/info",
        method: "GET",
        path: "/api/v1/user/info",
        qps: 1,
        keys: &[],
        run: account::user_info,
    },
    Endpoint {
        name: "mkdir",
        method: "POST",
        path: "/upload/v1/oss/file/mkdir",
        qps: 2,
        keys: &["name", "parentID", "type"],
        run: change::mkdir,
    },
    Endpoint {
        name: "create",
        method: "POST",
        path: "/upload/v1/oss/file/create",
        qps: 2,
        keys: &["parentFileID", "filename", "etag", "size", "type"],
        run: upload::create,
    },
    Endpoint {
        name: "get_upload_url",
        method: "POST",
        path: "/upload/v1/oss/file/get_upload_url",
        qps: 20,
        keys: &["preuploadID", "sliceNo"],
        run: upload::get_upload_url,
    },
    Endpoint {
        name: "list_upload_parts",
        method: "POST",
        path: "/upload/v1/oss/file/list_upload_parts",
        qps: 20,
        keys: &["preuploadID"],
        run: upload::list_upload_parts,
    },
    Endpoint {
        name: "upload_complete",
        method: "POST",
        path: "/upload/v1/oss/file/upload_complete",
        qps: 20,
        keys: &["preuploadID"],
        run: upload::upload_complete,
    },
    Endpoint {
        name: "upload_async_result",
        method: "POST",
        path: "/upload/v1/oss/file/upload_async_result",
        qps: 5,
        keys: &["preuploadID"],
        run: upload::upload_async_result,
    },
    Endpoint {
        name: "delete",
        method: "POST",
        path: "/api/v1/oss/file/delete",
        qps: 1,
        keys: &["fileIDs"],
        run: change::delete,
    },
    Endpoint {
        name: "move",
        method: "POST",
        path: "/api/v1/oss/file/move",
        qps: 1,
        keys: &["fileIDs", "toParentFileID"],
        run: change::relocate,
    },
    Endpoint {
        name: "detail",
        method: "GET",
        path: "/api/v1/oss/file/detail",
        qps: 10,
        keys: &["fileID"],
        run: browse::detail,
    },
    Endpoint {
        name: "list",
        method: "POST",
        path: "/api/v1/oss/file/list",
        qps: 4,
        keys: &["parentFileId", "limit", "startTime", "endTime", "lastFileId", "type"],
        run: browse::list,
    },
    Endpoint {
        name: "direct-link/log",
        method: "GET",
        path: "/api/v1/direct-link/log",
        qps: 5,
        keys: &["pageNum", "pageSize", "startTime", "endTime"],
        run: ledger::traffic,
    },
    Endpoint {
        name: OFFLINE_LOGS,
        method: "GET",
        path: "/api/v1/direct-link/offline/logs",
        qps: 5,
        keys: &["pageNum", "pageSize", "startHour", "endHour"],
        run: ledger::offline,
    },
    Endpoint {
        name: "direct-link/url",
        method: "GET",
        path: "/api/v1/direct-link/url",
        qps: 5,
        keys: &["fileID"],
        run: ledger::link,
    },
    Endpoint {
        name: "share/payment/list",
        method: "GET",
        path: "/api/v1/share/payment/list",
        qps: 10,
        keys: &["limit", "lastShareId"],
        run: ledger::shares,
    },
];

impl Endpoint {
    /// The endpoint with that path.
    pub(crate) fn at(path: &str) -> Option<&'static Endpoint> {
        ENDPOINTS.iter().find(|endpoint| endpoint.path == path)
    }

    /// Whether it is called with a body of JSON rather than with a query.
    fn has_body(&self) -> bool {
        self.method == "POST"
    }

    /// Whether it is called without a token.
    fn is_open(&self) -> bool {
        self.name == "access_token"
    }
}

/// A call that was admitted.
struct Call<'a> {
    server: &'a Arc<Server>,
    options: &'a Options,
    fields: Fields,
}

/// Answers a request to an endpoint.
pub(crate) fn answer(
    server: &Arc<Server>, options: &Options, endpoint: &'static Endpoint, head: &Head, body: &[u8],
) -> Reply {
    if head.method != endpoint.method {
        server.record.breach(endpoint.name, &format!("called with {}", head.method));
        return Reply::html(405);
    }
    let result =
        admit(server, options, endpoint, head, body).and_then(|call| (endpoint.run)(&call));
    let as_string = options.answers.code_as_string;
    match result {
        Ok(data) => Reply::envelope(0, "ok", &dress(data, &options.answers), as_string),
        Err(refusal) => {
            if refusal.is_breach {
                server.record.breach(endpoint.name, &refusal.message);
            }
            let reply = Reply::envelope(refusal.code, &refusal.message, &Value::Null, as_string);
            Reply { status: refusal.status, ..reply }
        }
    }
}

/// Holds a request against what the documents say of every call.
fn admit<'a>(
    server: &'a Arc<Server>, options: &'a Options, endpoint: &'static Endpoint, head: &Head,
    body: &[u8],
) -> Result<Call<'a>, Refusal> {
    if head.header("platform") != Some("open_platform") {
        return Err(Refusal::breach("Platform is not open_platform"));
    }
    if endpoint.has_body() && !head.says("content-type", "application/json") {
        return Err(Refusal::breach("Content-Type is not application/json"));
    }
    if !endpoint.is_open() {
        authorize(server, head)?;
    }
    if endpoint.path.contains("/oss/")
        && let Some(lapsed) = &options.answers.lapsed
    {
        let refusal = Refusal::new(lapsed.code, lapsed.message.as_str());
        return Err(Refusal { status: lapsed.status, ..refusal });
    }
    if let Some(limit) = options.qps.limit(endpoint.name, endpoint.qps)
        && !lock(&server.limiter).admit(endpoint.name, limit)
    {
        return Err(Refusal::too_frequent());
    }
    let reads_body = match (endpoint.name, options.answers.offline_logs) {
        // The sample of `001` sends a body with GET, and its table speaks of the query.
        (OFFLINE_LOGS, Asked::Body) => !body.is_empty(),
        (OFFLINE_LOGS, Asked::Either) => head.query_keys().is_empty() && !body.is_empty(),
        _ => endpoint.has_body(),
    };
    let fields = match (reads_body, endpoint.name, options.answers.offline_logs) {
        (true, _, _) => Fields::of_body(body)?,
        (false, OFFLINE_LOGS, Asked::Body) => Fields::default(),
        (false, _, _) => Fields::of_query(head),
    };
    fields.check_keys(endpoint.keys)?;
    Ok(Call { server, options, fields })
}

fn authorize(server: &Server, head: &Head) -> Result<(), Refusal> {
    let unauthorized = Refusal::unauthorized();
    let Some(token) = head.header("authorization").and_then(|value| value.strip_prefix("Bearer "))
    else {
        return Err(Refusal { is_breach: true, ..unauthorized });
    };
    if lock(&server.tokens).is_live(token) { Ok(()) } else { Err(unauthorized) }
}

/// Gives an answer the oddities that the switches ask for.
fn dress(data: Value, answers: &Answers) -> Value {
    match data {
        Value::Number(number) if answers.numbers_as_strings => json!(number.to_string()),
        Value::Bool(flag) if answers.booleans_as_numbers => json!(u8::from(flag)),
        Value::Array(list) if list.is_empty() && answers.null_lists => Value::Null,
        Value::Array(list) => list.into_iter().map(|value| dress(value, answers)).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, dress(value, answers))).collect()
        }
        plain => plain,
    }
}
