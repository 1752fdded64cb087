//! As much of HTTP/1.1 (RFC 9112) as a test receiver needs: requests read off a stream with
//! `Content-Length` or chunks, answers written with a length, connections kept alive.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

/// No line of a request's head may be longer, in bytes.
const LINE_MAX: u64 = 64 * 1024;
/// No request may have more headers.
const HEADERS_MAX: usize = 1_000;
/// No body may be longer, in bytes.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// Headers by lower-case name; repeated ones joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Whether the sender wants the connection closed after the answer.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads one request; `None` when the peer closed instead of sending one.
///
/// # Errors
/// When the stream fails, ends in the middle, or does not hold a request within the limits.
pub fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(line) = read_line(stream)? else { return Ok(None) };
    let mut words = line.split(' ');
    let (Some(method), Some(path), Some(_version)) = (words.next(), words.next(), words.next())
    else {
        return Err(invalid("the first line is no HTTP request line"));
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let headers = read_headers(stream)?;
    let body = if headers.get("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        read_chunks(stream)?
    } else {
        let length = headers.get("content-length").map_or(Ok(0), |value| value.parse());
        read_exactly(stream, length.map_err(|_| invalid("content-length is no number"))?)?
    };
    Ok(Some(Request { method, path, headers, body }))
}

/// Writes one answer, with its length.
///
/// # Errors
/// When the stream fails.
pub fn write_answer(
    stream: &mut impl Write,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} -\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // RFC 9110, 8.6: neither 1xx nor 204 carries a length.
    if status >= 200 && status != 204 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

fn read_headers(stream: &mut impl BufRead) -> io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::<String, String>::new();
    for _ in 0..HEADERS_MAX {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header has no colon"))?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        headers
            .entry(name)
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    Err(invalid("too many headers"))
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk has no size"))?;
        if size == 0 {
            read_headers(stream)?;
            return Ok(body);
        }
        if body.len() as u64 + size > BODY_MAX {
            return Err(invalid("the body is too long"));
        }
        body.extend(read_exactly(stream, size)?);
        read_line(stream)?;
    }
}

fn read_exactly(stream: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    if length > BODY_MAX {
        return Err(invalid("the body is too long"));
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

/// One line without its end; `None` at the end of the stream.
fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(invalid("a line is too long or not ended"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> io::Result<Vec<Request>> {
        std::iter::from_fn(|| read_request(&mut bytes).transpose()).collect()
    }

    #[test]
    fn requests_follow_each_other_on_one_connection() {
        let stream = b"POST /a?b=%20 HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi\
            PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n\
            GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        let requests = all(stream).unwrap();
        let told: Vec<_> = requests
            .iter()
            .map(|r| (r.method.as_str(), r.path.as_str(), r.body.as_slice(), r.closes()))
            .collect();
        assert_eq!(
            told,
            [
                ("POST", "/a?b=%20", &b"hi"[..], false),
                ("PUT", "/c", b"abcd", false),
                ("GET", "/", b"", true)
            ]
        );
        assert_eq!(requests[0].headers["x-a"], "1, 2");
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_an_error() {
        assert!(all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhi").is_err());
        assert!(all(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n").is_err());
        assert!(
            all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n").is_err()
        );
        assert!(all(b"nonsense\r\n\r\n").is_err());
        assert!(all(b"GET / HTTP/1.1\r\nX: 1").is_err());
    }
}
