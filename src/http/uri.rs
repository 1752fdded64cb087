//! What is asked of every path and head before anything else.

use crate::code::Code;
use crate::http::problem::Problem;
use crate::http::shared::Http;
use actix_web::dev::RequestHead;

/// Whether a path can be read.
///
/// # Errors
/// 400 of a bad escape.
pub fn spelled(path: &str) -> Result<(), Problem> {
    if has_bad_escape(path) {
        return Err(Problem::new(
            Code::MalformedPath,
            "expected two hexadecimal digits behind each % of the path",
        ));
    }
    Ok(())
}

/// Whether a request's target and headers are within their limits.
///
/// # Errors
/// 414 or 431.
pub fn within_sizes(http: &Http, head: &RequestHead) -> Result<(), Problem> {
    let url = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let most = http.limits.url.bytes();
    if url > most {
        let detail = format!("path and query are longer than limits.url, {most} bytes");
        return Err(Problem::new(Code::UrlTooLong, detail));
    }
    let headers = head.headers.iter();
    let size: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let most = http.limits.headers.bytes();
    if size > most {
        let detail = format!("the headers are longer than limits.headers, {most} bytes");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

pub(super) fn has_bad_escape(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'%', bytes).any(|at| {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_two_digits() {
        for good in ["/", "/a%20b", "/%C3%a9", "/%25zz"] {
            assert!(!has_bad_escape(good), "{good}");
        }
        for bad in ["/%", "/a%2", "/%zz", "/%4g", "/%%20"] {
            assert!(has_bad_escape(bad), "{bad}");
        }
    }
}
