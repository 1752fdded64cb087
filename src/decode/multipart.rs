//! `multipart/form-data` (RFC 7578): fields as texts, files as their name, type and size.

use super::form::Form;
use super::{DecodeLimits, DecodeRefusal, malformed};
use crate::domain::event::Reason;
use crate::domain::json;
use bytes::Bytes;
use futures_util::FutureExt as _;
use multer::{Field, Multipart};
use std::convert::Infallible;

/// The fields as a JSON object (`None` without any), or the limit that they break.
pub(super) fn parse(
    boundary: Option<&str>,
    body: &Bytes,
    limits: &DecodeLimits,
) -> Result<Result<Option<String>, Reason>, DecodeRefusal> {
    let wrong = |detail: String| malformed("multipart/form-data", detail, body.clone());
    let Some(boundary) = boundary else {
        return Err(wrong("its Content-Type has no boundary".into()));
    };
    let whole = futures_util::stream::iter([Ok::<_, Infallible>(body.clone())]);
    let fields = read(Multipart::new(whole, boundary), limits).now_or_never();
    // The body is in memory whole, so the reader waits only for parts that never come.
    fields.ok_or_else(|| wrong("it is cut off".into()))?.map_err(|error| wrong(error.to_string()))
}

async fn read(
    mut parts: Multipart<'_>,
    limits: &DecodeLimits,
) -> Result<Result<Option<String>, Reason>, multer::Error> {
    let mut form = Form::new(limits);
    while let Some(field) = parts.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        if let Err(fault) = form.add(&name, value(field).await?) {
            return Ok(Err(fault));
        }
    }
    Ok(Ok(form.finish()))
}

async fn value(field: Field<'_>) -> Result<String, multer::Error> {
    let file = field.file_name().map(str::to_owned);
    let kind = field.content_type().map(|kind| kind.essence_str().to_owned());
    let content = field.bytes().await?;
    let mut out = String::new();
    let Some(file) = file else {
        json::quote(&String::from_utf8_lossy(&content), &mut out);
        return Ok(out);
    };
    out.push_str("{\"name\":");
    json::quote(&file, &mut out);
    out.push_str(",\"type\":");
    match kind {
        Some(kind) => json::quote(&kind, &mut out),
        None => out.push_str("null"),
    }
    out.push_str(&format!(",\"size\":{}}}", content.len()));
    Ok(out)
}
