//! [`Guard`]: who may read. Where there is a token, whoever knows it. Where
//! there is none, whoever reaches the agent by an address or a name that is its
//! own: a page from elsewhere that gives its own name to this host's address
//! would otherwise read what it likes through its visitor's browser.
//!
//! Whether the agent is well, and of which version it is, anybody may ask.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::hmac;
use ring::rand::SystemRandom;

use super::query::{Query, TOKEN};

/// Lets in, or not.
pub(super) struct Guard {
    /// The key is drawn anew at each start. To compare sums under it takes as long for any two, and says nothing of the
    /// token, nor how long it is.
    token: Option<(hmac::Key, hmac::Tag)>,
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(token: Option<&str>, hosts: &[String]) -> Result<Guard, String> {
        let sealed = |token: &str| {
            let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
            let key =
                key.map_err(|_| "the system gives no random bytes, and no token can be kept without".to_owned())?;
            let tag = hmac::sign(&key, token.as_bytes());
            Ok::<_, String>((key, tag))
        };
        let token = token.map(sealed).transpose()?;
        Ok(Guard { token, hosts: hosts.iter().map(|host| bare(host).to_ascii_lowercase()).collect() })
    }

    /// Whether somebody who asks so may read. If not: what to tell him.
    fn admit(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), (StatusCode, String)> {
        match &self.token {
            Some((key, tag)) => {
                let shown = shown(headers, query);
                if shown.is_some_and(|shown| hmac::verify(key, &shown, tag.as_ref()).is_ok()) {
                    return Ok(());
                }
                let why = "this is for those who know the agent's token: say it as `Authorization: Bearer TOKEN`, or \
                           as `?token=TOKEN`\n";
                Err((StatusCode::UNAUTHORIZED, why.to_owned()))
            }
            None => {
                let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                if self.is_own(host) {
                    return Ok(());
                }
                let why = format!(
                    "the agent is not known as {host:?}: reach it by its address or as localhost, list the name among \
                     its hosts, or give it a token\n"
                );
                Err((StatusCode::FORBIDDEN, why))
            }
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let host = bare(host).to_ascii_lowercase();
        host == "localhost" || host.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }
}

/// The token that somebody shows.
fn shown(headers: &HeaderMap, query: Option<&str>) -> Option<Vec<u8>> {
    if let Some(said) = headers.get(AUTHORIZATION) {
        let (scheme, token) = said.as_bytes().split_at_checked("Bearer ".len())?;
        return scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.to_vec());
    }
    Query::read(query).ok()?.bytes(TOKEN).map(<[u8]>::to_vec)
}

/// A name or address without the port, and without what stands around it only where there is one.
fn bare(host: &str) -> &str {
    let host = host.trim();
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split_once(']').map_or(inside, |(address, _)| address);
    }
    let name = match host.split_once(':') {
        // Of an address of version 6 a port is not told apart without brackets, so it has none.
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Stands before everything that not everybody may read.
pub(super) async fn only_the_known(
    State(guard): State<std::sync::Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.admit(request.headers(), request.uri().query()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => {
            let mut response = (status, why).into_response();
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn names_that_are_not_its_own_are_refused() {
        let guard = Guard::new(None, &["Edge.example.".to_owned(), "door:8080".to_owned()]).unwrap();
        for own in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:9000",
            "10.1.2.3",
            "[::1]:80",
            "[::1]",
            "::1",
            "edge.example",
            "EDGE.example:1",
            "edge.example.:1",
            "door",
        ] {
            assert!(guard.is_own(own), "{own}");
        }
        for foreign in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", "[evil]"]
        {
            assert!(!guard.is_own(foreign), "{foreign}");
        }
        let (status, why) = guard.admit(&headers(&[(HOST, "evil.example")]), None).unwrap_err();
        assert!(status == StatusCode::FORBIDDEN && why.contains("\"evil.example\"") && why.contains("hosts"), "{why}");
        assert!(guard.admit(&HeaderMap::new(), None).is_err(), "nobody's name");
    }

    #[test]
    fn whoever_knows_the_token_may_read_under_any_name() {
        let guard = Guard::new(Some("se cret+"), &[]).unwrap();
        let admits =
            |said: &[(axum::http::HeaderName, &'static str)], query| guard.admit(&headers(said), query).is_ok();
        assert!(admits(&[(AUTHORIZATION, "Bearer se cret+"), (HOST, "any.example")], None));
        assert!(admits(&[(AUTHORIZATION, "bearer se cret+")], None));
        assert!(admits(&[], Some("limit=3&token=se+cret%2B")));
        assert!(!admits(&[], None) && !admits(&[(HOST, "localhost")], None));
        assert!(!admits(&[(AUTHORIZATION, "Bearer se cret")], None) && !admits(&[(AUTHORIZATION, "Basic x")], None));
        assert!(!admits(&[], Some("token=")) && !admits(&[], Some("token=%")) && !admits(&[], Some("token=se cret++")));
        let wrong = [(AUTHORIZATION, "Bearer wrong")];
        assert!(!admits(&wrong, Some("token=se+cret%2B")), "who says one thing here and another there is not believed");
    }
}
