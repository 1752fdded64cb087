//! Who may not even ask: web pages of other origins, names that were pointed here by others (DNS
//! rebinding), and bodies that any page may send without asking first.
//!
//! A browser sends what a page asks of it, with whatever the machine that it runs on may reach. What
//! tells a page's request from an operator's is the head that the page cannot set: `Origin`,
//! `Sec-Fetch-Site` and `Host`, and a media type that no page sends elsewhere without a preflight.
//! Preflights get no leave here. An old browser that sends neither `Origin` nor `Sec-Fetch-Site` with
//! a form still names a form's media type, and sends no `DELETE` or `PUT` without a preflight.

use crate::code::Code;
use crate::http::problem::Problem;
use actix_web::HttpMessage as _;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    TRANSFER_ENCODING,
};
use futures_util::StreamExt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// What a browser says about where a request comes from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where the listener of a request is bound.
#[derive(Clone, Copy, Debug)]
pub struct Listening(pub SocketAddr);

/// Lets a call of the admin side through, or says why not. `is_open` says that no token protects it,
/// so that only names of this very machine are served.
///
/// # Errors
/// 421 `wrong_host`, 403 `cross_origin`, 415 `unsupported_media_type`.
pub fn check(request: &ServiceRequest, is_open: bool) -> Result<(), Problem> {
    let headers = request.headers();
    let hosts = Hosts { named: request.uri().authority().map(|named| named.as_str()), headers };
    let here = request
        .app_data::<Listening>()
        .map_or_else(|| request.app_config().local_addr(), |listening| listening.0);
    if is_open && !hosts.are_of(here.ip()) {
        return Err(Problem::new(
            Code::WrongHost,
            "without admin.token only the listener's IP address and localhost are served: use one \
             of them, or set admin.token",
        ));
    }
    if !is_of_site(headers) || !is_of_origin(headers, &hosts) {
        return Err(Problem::new(
            Code::CrossOrigin,
            "a web page of another origin may neither read nor change anything here; a proxy in \
             front must hand Host on as it came",
        ));
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_json(headers, is_read) { Ok(()) } else { Err(not_json()) }
}

/// Looks whether there is a body at all where the head does not tell: a chunked one may be empty.
/// The request has no body afterwards.
///
/// # Errors
/// 415 where there is one, of no media type; 408 where nothing comes for so long.
pub async fn check_chunked(
    request: &mut ServiceRequest,
    patience: Duration,
) -> Result<(), Problem> {
    let headers = request.headers();
    if !headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(CONTENT_TYPE) {
        return Ok(());
    }
    let mut body = request.take_payload();
    let has_bytes = async {
        // An empty chunk is none; what breaks off is over.
        while let Some(Ok(chunk)) = body.next().await {
            if !chunk.is_empty() {
                return true;
            }
        }
        false
    };
    match actix_rt::time::timeout(patience, has_bytes).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(not_json()),
        Err(_) => Err(Problem::new(Code::TooSlow, "the body did not arrive")),
    }
}

fn not_json() -> Problem {
    Problem::new(Code::UnsupportedMediaType, "expected Content-Type: application/json")
}

/// The names under which a request asks for this machine.
struct Hosts<'r> {
    /// In the request line, where it is a whole address.
    named: Option<&'r str>,
    headers: &'r HeaderMap,
}

impl Hosts<'_> {
    /// All of them; a header that is no text is an empty name, which is nobody's.
    fn all(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.get_all(HOST).map(|host| host.to_str().unwrap_or_default());
        self.named.into_iter().chain(headers)
    }

    /// Whether there is one, and each is this address or `localhost`.
    fn are_of(&self, listener: IpAddr) -> bool {
        let mut all = self.all().peekable();
        all.peek().is_some() && all.all(|host| is_of(host, listener))
    }
}

/// Whether a host, with or without its port, is this address or `localhost`. The port is not looked
/// at: a page cannot choose it apart from the name, and a tunnel has another one.
fn is_of(host: &str, listener: IpAddr) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // A colon within brackets is part of the address.
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let is_listener = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|address| IpAddr::V6(address) == listener),
        None => name.parse::<IpAddr>().is_ok_and(|address| address == listener),
    };
    is_listener || name.eq_ignore_ascii_case("localhost")
}

/// Whether no browser says that it comes from elsewhere.
fn is_of_site(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(SEC_FETCH_SITE);
    said.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// Whether every `Origin` is the address that was asked.
fn is_of_origin(headers: &HeaderMap, hosts: &Hosts<'_>) -> bool {
    let mut origins = headers.get_all(ORIGIN);
    origins.all(|origin| {
        let Some((scheme, authority)) =
            origin.to_str().ok().and_then(|origin| origin.split_once("://"))
        else {
            return false; // `null`, or no text
        };
        // The scheme of the proxy in front is not known here, so both count.
        let port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return false,
        };
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
        let mut asked = hosts.all().peekable();
        asked.peek().is_some() && asked.all(|host| bare(host) == bare(authority))
    })
}

/// Whether a body, and whatever is said to be one, is JSON; of a chunked one that says nothing,
/// [`check_chunked`] decides.
fn is_json(headers: &HeaderMap, is_read: bool) -> bool {
    let is_empty = |length: &HeaderValue| length.as_bytes().iter().all(|byte| *byte == b'0');
    let is_empty = headers.get_all(CONTENT_LENGTH).all(is_empty);
    // Some clients name a media type with every call; no form reads with one.
    if is_read && is_empty && !headers.contains_key(TRANSFER_ENCODING) {
        return true;
    }
    let mut kinds = headers.get_all(CONTENT_TYPE).peekable();
    if kinds.peek().is_some() {
        return kinds.all(|kind| {
            let kind = kind.to_str().unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/json")
        });
    }
    is_empty
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    /// The code of the refusal of a request with these headers; empty where it is let through.
    fn said(headers: &[(&str, &str)], is_open: bool) -> String {
        let mut request = TestRequest::post().uri("/api/v1/erasures");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request = request.append_header((name, HeaderValue::from_str(value).unwrap()));
        }
        let refused = check(&request.to_srv_request(), is_open).err();
        refused.map(|problem| problem.code.name().to_owned()).unwrap_or_default()
    }

    #[test]
    fn only_names_of_this_machine_are_served_without_a_token() {
        let local = IpAddr::from([127, 0, 0, 1]);
        for host in ["127.0.0.1", "127.0.0.1:7676", "localhost", "LocalHost:1", "localhost:"] {
            assert!(is_of(host, local), "{host}");
        }
        let hosts = [
            "",
            "evil.example",
            "evil.example:7676",
            "localhost.evil.example",
            "localhost:1@evil.example",
            "evil.localhost",
            "127.0.0.2",
            "127.1",
            "127.0.0.1.evil.example",
            "[::1]:7676",
            "[127.0.0.1]",
            "192.168.0.7:7676",
            "localhost:evil",
        ];
        for host in hosts {
            assert!(!is_of(host, local), "{host}");
            assert_eq!(said(&[("host", host)], true), "wrong_host", "{host}");
            assert_eq!(said(&[("host", host)], false), "", "{host}");
        }
        let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert!(is_of("[::1]", six) && is_of("[::1]:7676", six) && is_of("[0:0::1]:1", six));
        assert!(!is_of("[::2]:7676", six) && !is_of("127.0.0.1", six));
        assert_eq!(said(&[], true), "wrong_host");
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(said(&two, true), "wrong_host");
    }

    #[test]
    fn a_page_of_another_origin_gets_nowhere() {
        let host = ("host", "localhost:7676");
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost:3000",
            "http://127.0.0.1:7676",
            "http://localhost",
            "chrome-extension://abc",
            "",
        ] {
            assert_eq!(said(&[host, ("origin", origin)], true), "cross_origin", "{origin}");
            assert_eq!(said(&[host, ("origin", origin)], false), "cross_origin", "{origin}");
        }
        for site in ["cross-site", "same-site", "Same-Origin", "", "none, cross-site"] {
            assert_eq!(said(&[host, ("sec-fetch-site", site)], true), "cross_origin", "{site}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(said(&[host, ("sec-fetch-site", site)], true), "");
        }
        assert_eq!(said(&[host, ("origin", "http://LOCALHOST:7676")], true), "");
        let proxied = [("host", "admin.example"), ("origin", "https://admin.example")];
        assert_eq!(said(&proxied, false), "");
        let proxied = [("host", "admin.example:443"), ("origin", "https://admin.example")];
        assert_eq!(said(&proxied, false), "");
    }

    #[test]
    fn a_body_is_json_by_its_media_type() {
        let host = ("host", "localhost");
        let length = ("content-length", "2");
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/json;x"] {
            assert_eq!(said(&[host, length, ("content-type", kind)], true), "", "{kind}");
        }
        for kind in [
            "text/plain",
            "text/plain; application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json-patch+json",
            "",
        ] {
            let given = [host, length, ("content-type", kind)];
            assert_eq!(said(&given, true), "unsupported_media_type", "{kind}");
            // An empty form of an old browser.
            let given = [host, ("content-length", "0"), ("content-type", kind)];
            assert_eq!(said(&given, true), "unsupported_media_type", "{kind}");
        }
        assert_eq!(said(&[host, length], true), "unsupported_media_type");
        assert_eq!(said(&[host, ("content-length", "0")], true), "");
        assert_eq!(said(&[host], true), "");
        let read = |length| {
            let request = TestRequest::get().uri("/api/v1/sources").insert_header(host);
            let request = request.insert_header(("content-type", "text/plain"));
            let request = request.insert_header(("content-length", length)).to_srv_request();
            check(&request, true).is_ok()
        };
        assert!(read("0") && !read("2"), "a media type of nothing that is read does no harm");
    }
}
