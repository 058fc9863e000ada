//! The connections: one client for the API host, one for every other host.
//!
//! Only the first ever carries a secret, and only to the API host's own origin. Neither follows
//! redirects by itself: on the API host a redirect is an error, elsewhere `download` follows it.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, ClientBuilder, RequestBuilder, Url, redirect};

use super::endpoint::Endpoint;
use super::error::Error;
use super::host::Hosts;
use super::line::Line;
use super::scrub;
use super::settings::Settings;
use crate::types::Secret;

/// An idle connection is dropped before servers of this kind drop theirs: a request that crosses
/// such a drop may be lost.
const IDLE: Duration = Duration::from_secs(30);

/// Both clients, and where the API host is.
pub(super) struct Http {
    base: Url,
    pub(super) api: Line,
    /// For storage and CDN.
    pub(super) foreign: Line,
    /// Those that links were read from.
    pub(super) hosts: Hosts,
}

impl Http {
    /// Opens no connection yet. Hosts are known by the certificates that the system trusts, and by
    /// the settings' roots.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let Settings { roots, attempt_timeout, carrier, .. } = settings;
        // A carrier reaches no host that would have to be known.
        let builder = || match carrier {
            Some(_) => builder(*attempt_timeout).tls_certs_only([]),
            None => builder(*attempt_timeout).tls_certs_merge(roots.certificates()),
        };
        let line = |client| Line { client, carrier: carrier.clone() };
        let base = base(&settings.endpoint)?;
        // An error says that the process has a provider already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            base,
            api: line(build(builder())?),
            // Several connections to one host are several times as fast where each is bounded;
            // HTTP/2 would have but one.
            foreign: line(build(builder().http1_only())?),
            hosts: Hosts::default(),
        })
    }

    /// Where the API host is, to be shown.
    pub(super) fn host(&self) -> String {
        scrub::place(&self.base)
    }

    /// A request to the API host with the documented headers (`003`: 公共请求头).
    pub(super) fn request(
        &self, endpoint: Endpoint, query: &[(&str, &str)], token: Option<&Secret>,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), endpoint.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        assert_eq!(url.origin(), self.base.origin(), "secrets go to the API host");
        let request = self
            .api
            .client
            .request(endpoint.method(), url)
            .header("Platform", "open_platform")
            .header(CONTENT_TYPE, "application/json");
        match token {
            Some(token) => request.header(AUTHORIZATION, bearer(token)),
            None => request,
        }
    }
}

/// The header's value. A token that no header can hold is sent as no token: the service says 401.
fn bearer(token: &Secret) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
        .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

fn base(endpoint: &str) -> Result<Url, Error> {
    let wrong = |why: &str| {
        // What stands before an @ may be a password.
        let shown = scrub::scrub(endpoint.rsplit('@').next().unwrap_or_default(), &[]);
        Error::Settings(format!(
            "the endpoint {shown:?} is not usable: {why}; https://open-api.123pan.com is the service's"
        ))
    };
    let url = Url::parse(endpoint.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it does not begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it holds a query or fragment"));
    }
    Ok(url)
}

/// Hosts are reached by way of a proxy where `HTTPS_PROXY` and its like say so.
fn builder(attempt_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("bedfs/", env!("CARGO_PKG_VERSION")))
        .pool_idle_timeout(IDLE)
        // Below one try, so that a host that never answers is known not to have got the request.
        .connect_timeout(attempt_timeout / 3 * 2)
}

fn build(builder: ClientBuilder) -> Result<Client, Error> {
    builder.build().map_err(|error| {
        let cause = scrub::transport(error);
        Error::Settings(format!(
            "cannot set up HTTP: {cause}; certificates that this machine trusts are wanted, as the \
             package ca-certificates has them, or a file of them by --ca-file"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::Credentials;
    use super::*;

    #[test]
    fn a_bad_endpoint_is_an_error_that_hides_its_password() {
        for bad in
            ["", "open-api.123pan.com", "ftp://a.b", "https://u:hunter2@a.b", "https://a.b?c"]
        {
            assert!(base(bad).is_err(), "{bad}");
        }
        let message = base("https://u:hunter2@a.b").expect_err("refused").to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_path_in_the_endpoint_is_kept() {
        let credentials = Credentials { client_id: "id".into(), client_secret: Secret::new("s") };
        let settings = Settings::new("http://a.b/proxy/", credentials, "/nowhere");
        let http = Http::new(&settings).expect("a client");
        let request =
            http.request(Endpoint::Detail, &[("fileID", "a&b")], None).build().expect("a request");
        assert_eq!(request.url().as_str(), "http://a.b/proxy/api/v1/oss/file/detail?fileID=a%26b");
    }
}
