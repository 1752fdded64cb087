//! `multipart/form-data` (RFC 7578): fields as texts, files as their name, type and size.

use crate::decode::charset::{self, characters, part};
use crate::decode::form::{Fields, Form};
use crate::decode::piece::{DecodeLimits, DecodeRefusal, malformed};
use crate::domain::event::Reason;
use crate::domain::json;
use bytes::Bytes;
use encoding_rs::Encoding;
use futures_util::FutureExt as _;
use multer::{Field, Multipart};
use std::convert::Infallible;

/// The fields as a JSON object, or the limit that they break.
pub(super) fn parse(
    boundary: Option<&str>,
    encoding: Option<&'static Encoding>,
    body: &Bytes,
    limits: &DecodeLimits,
) -> Result<Result<Fields, Reason>, DecodeRefusal> {
    let wrong = |detail: String| malformed("multipart/form-data", detail, body.clone());
    let Some(boundary) = boundary else {
        return Err(wrong("its Content-Type has no boundary".into()));
    };
    let parts = || {
        let whole = futures_util::stream::iter([Ok::<_, Infallible>(body.clone())]);
        Multipart::new(whole, boundary)
    };
    // What the form names counts for the parts before it, too. Most forms name nothing.
    let is_named = memchr::memmem::find(body, b"charset").is_some();
    let named = is_named.then(|| declared(parts()).now_or_never().flatten()).flatten();
    let fields = read(parts(), named.or(encoding), limits).now_or_never();
    // The body is in memory whole, so the reader waits only for parts that never come.
    fields.ok_or_else(|| wrong("it is cut off".into()))?.map_err(|error| wrong(error.to_string()))
}

/// The encoding that the form names for its parts in a field of its own (RFC 7578, 4.6).
async fn declared(mut parts: Multipart<'_>) -> Option<&'static Encoding> {
    let mut named = None;
    while let Ok(Some(field)) = parts.next_field().await {
        let is_first_choice = field.name() == Some("_charset_");
        if !is_first_choice && (named.is_some() || field.name() != Some("charset")) {
            continue;
        }
        let Ok(content) = field.bytes().await else { break };
        let said = std::str::from_utf8(&content).ok().and_then(charset::named);
        if is_first_choice && said.is_some() {
            return said;
        }
        named = named.or(said);
    }
    named
}

async fn read(
    mut parts: Multipart<'_>,
    encoding: Option<&'static Encoding>,
    limits: &DecodeLimits,
) -> Result<Result<Fields, Reason>, multer::Error> {
    let mut form = Form::new(limits);
    let mut is_lossy = false;
    while let Some(field) = parts.next_field().await? {
        let named = Named::of(&field, encoding);
        is_lossy |= named.is_lossy;
        let own = field.content_type().and_then(|kind| kind.get_param("charset"));
        let own = own.and_then(|label| charset::named(label.as_str()));
        let literal = match named.file {
            Some(name) => file(&name, field).await?,
            None => {
                let content = field.bytes().await?;
                let read = match own {
                    Some(_) => characters(&content, own),
                    None => part(&content, encoding),
                };
                is_lossy |= read.is_lossy;
                let mut literal = String::with_capacity(read.text.len() + 2);
                json::quote(&read.text, &mut literal);
                literal
            }
        };
        if let Err(limit) = form.add(&named.field, literal) {
            return Ok(Err(limit));
        }
    }
    Ok(Ok(Fields { object: form.finish(), is_lossy }))
}

/// What a part is called; its header is written in the form's encoding (RFC 7578, 5.1.2).
struct Named {
    field: String,
    file: Option<String>,
    is_lossy: bool,
}

impl Named {
    fn of(field: &Field<'_>, encoding: Option<&'static Encoding>) -> Self {
        let header = field.headers().get("content-disposition");
        let header = header.map(|value| part(value.as_bytes(), encoding));
        match header {
            // In UTF-8 the reader of parts has read it already.
            Some(header) if matches!(header.text, std::borrow::Cow::Owned(_)) => Self {
                field: parameter(&header.text, "name").unwrap_or_default(),
                file: parameter(&header.text, "filename"),
                is_lossy: header.is_lossy,
            },
            _ => Self {
                field: field.name().unwrap_or_default().to_owned(),
                file: field.file_name().map(str::to_owned),
                is_lossy: false,
            },
        }
    }
}

/// A parameter of a header, quoted or not.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once(';') {
        rest = behind;
        let Some((found, value)) = behind.split_once('=') else { continue };
        let value = value.trim_start();
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// What stands before the closing quote, and behind it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, one)) = chars.next() {
        match one {
            '"' => return (value, text.get(at + 1..).unwrap_or("")),
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                value.push('"');
                chars.next();
            }
            _ => value.push(one),
        }
    }
    (value, "")
}

/// What is kept of a file.
async fn file(name: &str, field: Field<'_>) -> Result<String, multer::Error> {
    let kind = field.content_type().map(|kind| kind.essence_str().to_owned());
    let content = field.bytes().await?;
    let mut out = String::from("{\"name\":");
    json::quote(name, &mut out);
    out.push_str(",\"type\":");
    match kind {
        Some(kind) => json::quote(&kind, &mut out),
        None => out.push_str("null"),
    }
    out.push_str(&format!(",\"size\":{}}}", content.len()));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_header_are_found() {
        let header = r#"form-data; name="na;m\"é=" ; FileName = x.txt"#;
        assert_eq!(parameter(header, "name").as_deref(), Some("na;m\"é="));
        assert_eq!(parameter(header, "filename").as_deref(), Some("x.txt"));
        assert_eq!(parameter(header, "form-data"), None);
        assert_eq!(parameter("form-data; name=\"open", "name").as_deref(), Some("open"));
        assert_eq!(parameter("form-data; name=", "name").as_deref(), Some(""));
        assert_eq!(parameter("form-data", "name"), None);
    }
}
