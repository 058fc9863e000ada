//! The fuzzer's door to this room: requests to the server.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use tokio::runtime::Builder;

use super::guard::Door;
use super::picgo::{Paths, understood};
use super::{delete, spool};

/// The body of a request: JSON, and a form whose boundary is `B`. No name of a picture leads into a
/// folder.
pub fn picgo(bytes: &[u8]) {
    let _understood = (understood::<Paths>(bytes), understood::<delete::Wanted>(bytes));
    let request = Request::builder()
        .header(CONTENT_TYPE, "multipart/form-data; boundary=B")
        .body(Body::from(bytes.to_vec()))
        .expect("a request");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sent = runtime.block_on(async {
        let form = Multipart::from_request(request, &()).await.expect("a boundary");
        spool::files(form, &std::env::temp_dir()).await
    });
    for (name, _) in sent.into_iter().flatten() {
        assert!(!name.contains(['/', '\\']), "{name:?}");
    }
}

/// Headers of a request, a line each: `Host`, `Origin` and `Sec-Fetch-Site`. Whoever is let in names this
/// machine and this port.
pub fn guard(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [HOST, ORIGIN, HeaderName::from_static("sec-fetch-site")] {
        let value = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok());
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            headers.append(name, value);
        }
    }
    if !Door::new(36677, None, Vec::new()).is_for_us(&headers, None, false) {
        return;
    }
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().expect("was read"));
    assert!(text(HOST).is_some_and(is_here), "{headers:?}");
    let origin = text(ORIGIN).map(|origin| origin.strip_prefix("http://").is_some_and(is_here));
    assert_ne!(origin, Some(false), "{headers:?}");
}

/// Whether it is a name of this machine and the port, told in another way than the guard does.
fn is_here(authority: &str) -> bool {
    let Some((host, "36677")) = authority.rsplit_once(':') else { return false };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inside {
        Some(inside) => inside.parse() == Ok(Ipv6Addr::LOCALHOST),
        None => {
            let address: Option<Ipv4Addr> = host.parse().ok();
            host.eq_ignore_ascii_case("localhost")
                || address.is_some_and(|address| address.octets()[0] == 127)
        }
    }
}
