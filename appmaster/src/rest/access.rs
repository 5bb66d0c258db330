use std::fmt;
use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::proxy::{Peer, ProxyRule, Reader};

/// Shortest token: what is guessed at one try a millisecond for a year is far below.
const SHORTEST_TOKEN: usize = 16;
/// Longest token that fits a header with room to spare.
const MAX_TOKEN_LENGTH: usize = 4096;
/// Largest body of a request. No request needs one; clients send `{}` at times.
const MAX_BODY_BYTES: u64 = 64 << 10;

/// What a client shows to be let in. Only its hash is kept, and nothing prints it.
#[derive(Clone)]
pub struct AccessToken([u8; 32]);

/// A text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the REST token must have {SHORTEST_TOKEN} to {MAX_TOKEN_LENGTH} letters, digits or signs without blanks; \
     for example 64 hexadecimal digits from /dev/urandom"
)]
pub struct InvalidToken;

impl AccessToken {
    /// Makes a token of its text.
    ///
    /// # Errors
    /// The text is too short to be a secret, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let sized = (SHORTEST_TOKEN..=MAX_TOKEN_LENGTH).contains(&text.len());
        if !sized || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    /// Compares hashes of equal length to their end, so that the time says nothing about the token.
    fn admits(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let difference = self.0.iter().zip(&presented).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// What a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    None,
    Wrong,
    Right,
}

/// The rules. Everything is denied that they do not allow:
///
/// | | no token | wrong token | right token |
/// |---|---|---|---|
/// | GET, HEAD; the server listens on loopback | allowed | 401 | allowed |
/// | GET, HEAD; it listens elsewhere | 401 | 401 | allowed |
/// | GET, HEAD; there is a proxy, and it asks | allowed; 403 for users who may not see the application | 401 | allowed |
/// | GET, HEAD; there is a proxy, and somebody else asks | sent to the proxy | 401 | allowed |
/// | anything else | 401 (403 when the server has no token) | 401 | allowed |
///
/// On top, against pages in a browser of somebody on this host: a request without the token must be addressed to
/// loopback (or the configured host) by name, so that a foreign name that is made to point here is refused; and one
/// that carries another page's `Origin` is refused always.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Whether the server listens on loopback only.
    pub(super) loopback: bool,
    /// The token; none: nothing can be changed.
    pub(super) token: Option<AccessToken>,
    /// More names that clients may call the server by.
    pub(super) hosts: Vec<String>,
    /// YARN's web proxy.
    pub(super) proxy: Option<ProxyRule>,
}

impl Guard {
    /// Lets a request through or says why not.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Failure> {
        check_body(&request.headers)?;
        let target = target(request)?;
        let credential = self.credential(&request.headers);
        if credential == Credential::Wrong {
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "the token in the header Authorization is not valid"));
        }
        if credential == Credential::None && self.loopback && !self.is_known_host(target.host()) {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                format!("this server is not called `{}`; use localhost or set rest.address", target.host()),
            ));
        }
        check_origin(&request.headers, &target)?;
        if is_reading(&request.method) {
            self.check_reading(credential, request)
        } else {
            check_fetch_site(&request.headers)?;
            self.check_changing(credential)
        }
    }

    /// For whom the proxy reads, if the request is one of its own.
    fn reader(&self, request: &Parts) -> Option<Reader> {
        let peer = request.extensions.get::<Peer>()?;
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.admits(peer.0))?;
        Some(proxy.reader(&request.headers))
    }

    fn check_reading(&self, credential: Credential, request: &Parts) -> Result<(), Failure> {
        if self.loopback || credential == Credential::Right {
            return Ok(());
        }
        match self.reader(request) {
            Some(Reader::Allowed) => return Ok(()),
            Some(Reader::Refused(user)) => {
                let message =
                    format!("`{user}` may not see this application; its owner can allow it with yarn.view.acls");
                return Err(Failure::new(StatusCode::FORBIDDEN, message));
            }
            Some(Reader::Unknown) | None => {}
        }
        if let Some(location) = self.proxy.as_ref().and_then(|proxy| proxy.location(&request.uri)) {
            return Err(Failure::elsewhere(location));
        }
        Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "this server is reachable from other hosts, so reading needs the header `Authorization: Bearer <token>`",
        ))
    }

    fn check_changing(&self, credential: Credential) -> Result<(), Failure> {
        match (&self.token, credential) {
            (Some(_), Credential::Right) => Ok(()),
            (Some(_), _) => Err(Failure::new(
                StatusCode::UNAUTHORIZED,
                "changing something needs the header `Authorization: Bearer <token>`",
            )),
            (None, _) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "this server was started without a token, so nothing can be changed over REST",
            )),
        }
    }

    /// Two headers are none that is right: a proxy may have read the other one.
    fn credential(&self, headers: &HeaderMap) -> Credential {
        let Ok(header) = single(headers, &AUTHORIZATION) else { return Credential::Wrong };
        let Some(header) = header else { return Credential::None };
        let presented = split_scheme(header.as_bytes());
        match (&self.token, presented) {
            (Some(token), Some(presented)) if token.admits(presented) => Credential::Right,
            _ => Credential::Wrong,
        }
    }

    fn is_known_host(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback
            || host.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

fn is_reading(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn check_body(headers: &HeaderMap) -> Result<(), Failure> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES) {
        let message = format!("the body is over {MAX_BODY_BYTES} bytes; no request of this API needs one");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(())
}

/// Whom the request is addressed to; a full address in the first line counts more than the header, as in RFC 9112.
fn target(request: &Parts) -> Result<Authority, Failure> {
    let wrong = || Failure::bad_request("the request needs exactly one valid header Host");
    let header = single(&request.headers, &HOST).map_err(|Several| wrong())?.ok_or_else(wrong)?;
    let header = Authority::try_from(header.as_bytes()).map_err(|_| wrong())?;
    Ok(request.uri.authority().cloned().unwrap_or(header))
}

/// Pages send their origin with what could change something; tools send none.
fn check_origin(headers: &HeaderMap, target: &Authority) -> Result<(), Failure> {
    let foreign = || Failure::new(StatusCode::FORBIDDEN, "requests from the pages of another site are refused");
    let Some(origin) = single(headers, &ORIGIN).map_err(|Several| foreign())? else { return Ok(()) };
    let origin = origin.to_str().map_err(|_| foreign())?;
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).ok_or_else(foreign)?;
    if authority.eq_ignore_ascii_case(target.as_str()) { Ok(()) } else { Err(foreign()) }
}

fn check_fetch_site(headers: &HeaderMap) -> Result<(), Failure> {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Ok(());
    }
    Err(Failure::new(StatusCode::FORBIDDEN, "requests from the pages of another site are refused"))
}

struct Several;

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a axum::http::HeaderValue>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(Several),
    }
}

fn split_scheme(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::super::proxy::Readers;
    use super::*;

    const TOKEN: &str = "0123456789abcdef-right";

    fn guard(loopback: bool, token: bool) -> Guard {
        let token = token.then(|| AccessToken::new(TOKEN).unwrap());
        Guard { loopback, token, hosts: vec!["Flink.example".to_owned()], proxy: None }
    }

    fn status(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/v1/jobs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard.check(&parts).map_or_else(|failure| failure.status.as_u16(), |()| 200)
    }

    #[test]
    fn the_table_of_rules_holds() {
        let right = format!("Bearer {TOKEN}");
        let check = |guard: &Guard, method: &str, expected: [u16; 3]| {
            let host = ("host", "localhost:8081");
            let none = status(guard, method, &[host]);
            let wrong = status(guard, method, &[host, ("authorization", "Bearer 0123456789abcdef-wrong")]);
            let right = status(guard, method, &[host, ("authorization", &right)]);
            assert_eq!([none, wrong, right], expected, "{method} {guard:?}");
        };
        for read in ["GET", "HEAD"] {
            check(&guard(true, true), read, [200, 401, 200]);
            check(&guard(true, false), read, [200, 401, 401]);
            check(&guard(false, true), read, [401, 401, 200]);
            check(&guard(false, false), read, [401, 401, 401]);
        }
        for change in ["PATCH", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "ANYTHING"] {
            check(&guard(true, true), change, [401, 401, 200]);
            check(&guard(false, true), change, [401, 401, 200]);
            check(&guard(true, false), change, [403, 401, 401]);
            check(&guard(false, false), change, [403, 401, 401]);
        }
    }

    #[test]
    fn a_proxy_may_read_and_others_are_sent_to_it() {
        let mut guard = guard(false, true);
        let base = Some("http://rm/proxy/a".to_owned());
        guard.proxy = Some(ProxyRule { addresses: vec!["10.0.0.1".parse().unwrap()], base, readers: None });
        let check = |method: &str, peer: &str, token: bool, expected: u16| {
            let mut request = Request::builder().method(method).uri("/v1/jobs").header("host", "am:1");
            if token {
                request = request.header("authorization", format!("Bearer {TOKEN}"));
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(Peer(format!("{peer}:1").parse().unwrap()));
            let status = guard.check(&parts).map_or_else(|failure| failure.status.as_u16(), |()| 200);
            assert_eq!(status, expected, "{method} {peer} {token}");
        };
        check("GET", "10.0.0.1", false, 200);
        check("GET", "10.0.0.2", false, 302);
        check("GET", "10.0.0.2", true, 200);
        check("PATCH", "10.0.0.1", false, 401);
        check("PATCH", "10.0.0.2", true, 200);
    }

    #[test]
    fn a_proxy_reads_for_those_who_may_see_the_application() {
        let mut guard = guard(false, true);
        guard.proxy = Some(ProxyRule {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            base: Some("http://rm/proxy/a".to_owned()),
            readers: Some(Readers::new("alice", None)),
        });
        let check = |peer: &str, cookie: Option<&str>, expected: u16| {
            let mut request = Request::builder().uri("/v1/jobs").header("host", "am:1");
            if let Some(cookie) = cookie {
                request = request.header("cookie", cookie);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(Peer(format!("{peer}:1").parse().unwrap()));
            let status = guard.check(&parts).map_or_else(|failure| failure.status.as_u16(), |()| 200);
            assert_eq!(status, expected, "{peer} {cookie:?}");
        };
        check("10.0.0.1", Some("proxy-user=alice"), 200);
        check("10.0.0.1", Some("proxy-user=bob"), 403);
        check("10.0.0.1", None, 302);
        check("10.0.0.2", Some("proxy-user=alice"), 302);
    }

    #[test]
    fn only_the_exact_token_is_right() {
        let guard = guard(true, true);
        let check = |value: &str, expected: u16| {
            let shown = status(&guard, "PATCH", &[("host", "localhost"), ("authorization", value)]);
            assert_eq!(shown, expected, "{value}");
        };
        check(&format!("bearer  {TOKEN} "), 200);
        for wrong in ["", "Bearer", "Bearer ", TOKEN, "Basic 0123456789abcdef-right", "Bearer 0123456789abcdef-righ"] {
            check(wrong, 401);
        }
        check(&format!("Bearer {TOKEN}x"), 401);
        let right = format!("Bearer {TOKEN}");
        let twice = [("host", "localhost"), ("authorization", right.as_str()), ("authorization", right.as_str())];
        assert_eq!(status(&guard, "PATCH", &twice), 401);
    }

    #[test]
    fn a_foreign_name_for_this_host_is_refused() {
        let check = |host: &str, expected: u16| {
            assert_eq!(status(&guard(true, true), "GET", &[("host", host)]), expected, "{host}");
        };
        for known in ["localhost", "LOCALHOST:1", "127.0.0.1:8081", "127.3.4.5", "[::1]:8081", "flink.example:80"] {
            check(known, 200);
        }
        for foreign in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io", "[::2]"] {
            check(foreign, 403);
        }
        check("", 400);
        check("a b", 400);
        assert_eq!(status(&guard(true, true), "GET", &[]), 400);
        assert_eq!(status(&guard(true, true), "GET", &[("host", "localhost"), ("host", "localhost")]), 400);
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let right = format!("Bearer {TOKEN}");
        let check = |method: &str, name: &str, value: &str, expected: u16| {
            let headers = [("host", "localhost:8081"), ("authorization", right.as_str()), (name, value)];
            assert_eq!(status(&guard(true, true), method, &headers), expected, "{method} {name}: {value}");
        };
        check("PATCH", "origin", "http://localhost:8081", 200);
        for origin in ["http://evil.example", "http://localhost:3000", "null", "file://", "localhost:8081"] {
            check("PATCH", "origin", origin, 403);
            check("GET", "origin", origin, 403);
        }
        check("PATCH", "sec-fetch-site", "same-origin", 200);
        check("PATCH", "sec-fetch-site", "cross-site", 403);
        check("PATCH", "sec-fetch-site", "same-site", 403);
        check("GET", "sec-fetch-site", "cross-site", 200);
    }

    #[test]
    fn a_large_body_is_refused() {
        let headers = [("host", "localhost"), ("content-length", "65537")];
        assert_eq!(status(&guard(true, true), "PATCH", &headers), 413);
    }

    #[test]
    fn tokens_are_long_and_never_shown() {
        for bad in ["", "short", "fifteen-letters", "with a blank in it", "umlaut-ä-umlaut-ä"] {
            assert_eq!(AccessToken::new(bad).unwrap_err(), InvalidToken, "{bad}");
        }
        assert_eq!(format!("{:?}", AccessToken::new(TOKEN).unwrap()), "AccessToken(***)");
    }
}
