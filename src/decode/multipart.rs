//! `multipart/form-data` (RFC 7578): fields as texts, files as their name, type and size.

use super::charset::{self, characters};
use super::form::{Fault, Form};
use super::{DecodeLimits, DecodeRefusal, malformed};
use crate::domain::json;
use bytes::Bytes;
use encoding_rs::Encoding;
use futures_util::FutureExt as _;
use multer::{Field, Multipart};
use std::convert::Infallible;

/// The fields as a JSON object (`None` without any), or the limit that they break.
pub(super) fn parse(
    boundary: Option<&str>,
    encoding: Option<&'static Encoding>,
    body: &Bytes,
    limits: &DecodeLimits,
) -> Result<Result<Option<String>, Fault>, DecodeRefusal> {
    let wrong = |detail: String| malformed("multipart/form-data", detail, body.clone());
    let Some(boundary) = boundary else {
        return Err(wrong("its Content-Type has no boundary".into()));
    };
    let whole = futures_util::stream::iter([Ok::<_, Infallible>(body.clone())]);
    let fields = read(Multipart::new(whole, boundary), encoding, limits).now_or_never();
    // The body is in memory whole, so the reader waits only for parts that never come.
    fields.ok_or_else(|| wrong("it is cut off".into()))?.map_err(|error| wrong(error.to_string()))
}

async fn read(
    mut parts: Multipart<'_>,
    encoding: Option<&'static Encoding>,
    limits: &DecodeLimits,
) -> Result<Result<Option<String>, Fault>, multer::Error> {
    let mut form = Form::new(limits);
    let mut is_lossy = false;
    let mut all = None; // the encoding that the form names for its parts (RFC 7578, 4.6)
    while let Some(field) = parts.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        let own = field.content_type().and_then(|kind| kind.get_param("charset"));
        let own = own.and_then(|label| charset::named(label.as_str()));
        let literal = match is_file {
            true => file(field).await?,
            false => {
                let content = field.bytes().await?;
                let read = characters(&content, own.or(all).or(encoding));
                is_lossy |= read.is_lossy;
                if name == "_charset_" {
                    all = charset::named(&read.text);
                }
                let mut literal = String::with_capacity(read.text.len() + 2);
                json::quote(&read.text, &mut literal);
                literal
            }
        };
        if let Err(fault) = form.add(&name, literal) {
            return Ok(Err(fault.into()));
        }
    }
    Ok(if is_lossy { Err(Fault::Lossy) } else { Ok(form.finish()) })
}

/// What is kept of a file.
async fn file(field: Field<'_>) -> Result<String, multer::Error> {
    let file = field.file_name().unwrap_or_default().to_owned();
    let kind = field.content_type().map(|kind| kind.essence_str().to_owned());
    let content = field.bytes().await?;
    let mut out = String::from("{\"name\":");
    json::quote(&file, &mut out);
    out.push_str(",\"type\":");
    match kind {
        Some(kind) => json::quote(&kind, &mut out),
        None => out.push_str("null"),
    }
    out.push_str(&format!(",\"size\":{}}}", content.len()));
    Ok(out)
}
