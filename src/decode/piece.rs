//! The pieces of a request, and what a decoder works with.

use crate::decode::lossy::Origin;
use crate::domain::event::{Payload, Raw, Reason};
use crate::domain::json;
use crate::domain::json::{Measure, Root, Syntax};
use crate::domain::path::Step;
use crate::domain::settings::FieldDecoding;
use bytes::Bytes;
use std::sync::Arc;

/// What decoding may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of a body, before and after decompression.
    pub body: usize,
    /// JSON containers inside each other in one event; at most 512.
    pub depth: usize,
    /// Keys of one event.
    pub keys: usize,
    /// Events of one batch.
    pub batch: usize,
    /// Bytes of all events of a batch together, or [`Self::batch_times`] the body where that is
    /// more: what is beside a split array is repeated in each.
    pub batch_bytes: usize,
    /// How many times as long as the body its events may be together, above `batch_bytes`.
    pub batch_times: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            depth: 64,
            keys: 10_000,
            batch: 5_000,
            batch_bytes: 4 << 20,
            batch_times: 16,
        }
    }
}

/// A request as it came, its body read whole.
#[derive(Clone, Debug)]
pub struct RawRequest<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// The query without its `?`, as it came. Where it is read with loss it is kept, so what must
    /// not be stored is not in it.
    pub query: &'a str,
    /// The body as it came.
    pub body: Bytes,
}

/// What a source wants done to its bodies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape<'a> {
    /// Arrays whose elements are events.
    pub splits: &'a [Vec<Step>],
    /// Fields that hold JSON or base64.
    pub fields: &'a [(Vec<Step>, FieldDecoding)],
}

/// The properties of one event, or why they are set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// A JSON object, or bytes that could not be decoded.
    pub payload: Payload,
    /// Why it is to be quarantined.
    pub fault: Option<Reason>,
    /// What it came as; only where its text was read with loss.
    pub raw: Option<Box<Raw>>,
}

impl Piece {
    pub(super) fn new(payload: Payload) -> Self {
        Self { payload, fault: None, raw: None }
    }

    pub(super) fn aside(payload: Payload, fault: Reason) -> Self {
        Self { fault: Some(fault), ..Self::new(payload) }
    }

    pub(super) fn size(&self) -> usize {
        self.payload.size() + self.raw.as_ref().map_or(0, |raw| raw.size())
    }
}

/// Why a body cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeRefusal {
    /// Larger than `limits.body`.
    #[error("the body is larger than {limit} bytes{}", if *.decoded { " after decoding" } else { "" })]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
        /// Whether only its decompressed form is too large.
        decoded: bool,
    },
    /// A `Content-Encoding` that we do not read.
    #[error("expected a content encoding of gzip, deflate, zstd or identity, found {found:?}")]
    UnsupportedEncoding {
        /// The header, at most 64 characters of it.
        found: String,
    },
    /// What the body says takes far more bytes as JSON than it took.
    #[error("the body takes more than {limit} bytes as JSON")]
    TooLargeAsJson {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is not what its media type says.
    #[error("the body is not {expected}: {detail}")]
    MalformedBody {
        /// What it should have been.
        expected: &'static str,
        /// Where it goes wrong; nothing of the body itself.
        detail: String,
        /// The body, decompressed as far as that went, to be quarantined.
        body: Bytes,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Decoder<'a> {
    pub(super) shape: Shape<'a>,
    pub(super) limits: &'a DecodeLimits,
    /// The query as a JSON object.
    pub(super) query: Option<Arc<str>>,
    /// The query as it came, where it was read with loss.
    pub(super) raw_query: Option<Bytes>,
    /// The request as it came, once it is known that it was read with loss.
    pub(super) origin: Option<Arc<Origin>>,
}

pub(super) fn check(object: &Bytes) -> Result<Measure, Piece> {
    let text = std::str::from_utf8(object).ok();
    let measure = text.and_then(|text| json::check(text).ok());
    measure.ok_or_else(|| unreadable(object.clone()))
}

/// For what was checked or made by us; should it ever not be JSON, it is kept as it is.
pub(super) fn unreadable(bytes: Bytes) -> Piece {
    Piece::aside(Payload::Opaque(bytes), Reason::MalformedBody)
}

/// Any other JSON value than an object, made one.
pub(super) fn wrapped(value: &str) -> Bytes {
    format!("{{\"value\":{}}}", value.trim()).into()
}

/// A whole body, set aside: as JSON where it is, in an object and not too deep to be read.
pub(super) fn whole(body: &Bytes, fault: Reason) -> Piece {
    let json = std::str::from_utf8(body)
        .ok()
        .and_then(|text| Some((text, json::check(text).ok()?)))
        .filter(|(_, measure)| measure.depth <= 64);
    let payload = match json {
        Some((_, Measure { root: Root::Object, .. })) => Payload::Json(body.clone()),
        Some((text, _)) => Payload::Json(wrapped(text)),
        None => Payload::Opaque(body.clone()),
    };
    Piece::aside(payload, fault)
}

pub(super) fn first_byte(body: &[u8]) -> Option<u8> {
    body.get(json::skip_space(body, 0)).copied()
}

/// The body as JSON, when that is an object or an array.
pub(super) fn as_container(body: &Bytes) -> Option<(&str, Measure)> {
    matches!(first_byte(body), Some(b'{' | b'[')).then(|| as_json(body).ok()).flatten()
}

pub(super) fn as_json(body: &Bytes) -> Result<(&str, Measure), DecodeRefusal> {
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed("JSON in UTF-8", error.to_string(), body.clone()))?;
    let measure = json::check(text)
        .map_err(|error: Syntax| malformed("JSON", error.to_string(), body.clone()))?;
    Ok((text, measure))
}

pub(super) fn malformed(expected: &'static str, detail: String, body: Bytes) -> DecodeRefusal {
    DecodeRefusal::MalformedBody { expected, detail, body }
}
