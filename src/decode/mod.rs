//! From the bytes of a request to the properties of one or many events.
//!
//! Pure: the raw body goes in, JSON objects come out, and a JSON body that needs no change comes out
//! as the very bytes that came in. No body makes this panic, recurse without bound or allocate
//! more than [`DecodeLimits`] let it.

mod batch;
pub mod charset;
mod compress;
mod fields;
mod form;
mod lenient;
mod lossy;
mod media;
mod multipart;

pub use batch::Batch;
pub use compress::{decoded_bound, decompress};
pub use form::query_pairs;

use crate::domain::event::{Payload, Raw, Reason};
use crate::domain::json::{self, Measure, Root, Syntax};
use crate::domain::path::Step;
use crate::domain::settings::FieldDecoding;
use bytes::Bytes;
use encoding_rs::Encoding;
use form::Fields;
use lossy::{Origin, TextOf};
use media::Media;
use std::fmt::Write as _;
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
    fn new(payload: Payload) -> Self {
        Self { payload, fault: None, raw: None }
    }

    fn aside(payload: Payload, fault: Reason) -> Self {
        Self { fault: Some(fault), ..Self::new(payload) }
    }

    fn size(&self) -> usize {
        self.payload.size() + self.raw.as_ref().map_or(0, |raw| raw.size())
    }
}

/// What a request holds.
#[derive(Clone, Debug)]
pub enum Decoded<'a> {
    /// One event.
    Single(Piece),
    /// A batch, of any number of events.
    Batch(Batch<'a>),
}

impl Decoded<'_> {
    /// Bytes that it holds, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Single(piece) => piece.size(),
            Self::Batch(batch) => batch.size(),
        }
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

/// Decodes a request.
///
/// # Errors
/// A body that is too large, compressed in an unknown way, or not what it says it is. Whether a
/// malformed one is refused or quarantined is up to the caller.
pub fn decode<'a>(
    request: &RawRequest<'_>,
    shape: Shape<'a>,
    limits: &'a DecodeLimits,
) -> Result<Decoded<'a>, DecodeRefusal> {
    if request.body.len() > limits.body {
        return Err(DecodeRefusal::BodyTooLarge { limit: limits.body, decoded: false });
    }
    let body = decompress(request.content_encoding, request.body.clone(), limits.body)?;
    let Fields { object, is_lossy } = match form::parse(request.query.as_bytes(), None, limits) {
        Ok(query) => query,
        Err(fault) => return Ok(Decoded::Single(whole(&body, fault))),
    };
    let raw_query = is_lossy.then(|| Bytes::copy_from_slice(request.query.as_bytes()));
    let query = object.map(Into::into);
    let decoder = Decoder { shape, limits, query, raw_query, origin: None };
    let declared = media::encoding(request.content_type);
    decoder.decode(&Media::of(request.content_type), declared, body)
}

/// What is kept of a request over which [`decode`] panics: its body as it came, decompressed where
/// that can be done; its query where there is no body.
pub fn kept(request: &RawRequest<'_>, limits: &DecodeLimits, reason: Reason) -> Piece {
    let bytes = match request.body.is_empty() {
        true => Bytes::copy_from_slice(request.query.as_bytes()),
        false => {
            let plain = || decompress(request.content_encoding, request.body.clone(), limits.body);
            let plain = std::panic::catch_unwind(std::panic::AssertUnwindSafe(plain));
            plain.ok().and_then(Result::ok).unwrap_or_else(|| request.body.clone())
        }
    };
    Piece::aside(Payload::Opaque(bytes), reason)
}

/// Decodes bytes that were quarantined as they came, when their limits may have changed: what is
/// JSON now becomes a payload, by the same rules as in [`decode`].
pub fn decode_stored<'a>(
    body: Bytes,
    shape: Shape<'a>,
    limits: &'a DecodeLimits,
) -> Option<Decoded<'a>> {
    let decoder = Decoder { shape, limits, query: None, raw_query: None, origin: None };
    decoder.decode(&Media::Json, None, body).ok()
}

#[derive(Clone, Debug)]
struct Decoder<'a> {
    shape: Shape<'a>,
    limits: &'a DecodeLimits,
    /// The query as a JSON object.
    query: Option<Arc<str>>,
    /// The query as it came, where it was read with loss.
    raw_query: Option<Bytes>,
    /// The request as it came, once it is known that it was read with loss.
    origin: Option<Arc<Origin>>,
}

impl<'a> Decoder<'a> {
    /// Decodes a body. One that was read with loss is never refused for what it says, as nobody
    /// knows what it said: it is set aside whole.
    fn decode(
        mut self,
        media: &Media,
        declared: Option<&'static Encoding>,
        body: Bytes,
    ) -> Result<Decoded<'a>, DecodeRefusal> {
        let read = self.read(media, declared, &body);
        let raw = self.origin.as_ref().map(|origin| Box::new(origin.whole()));
        match read {
            Ok(Decoded::Single(piece)) => Ok(Decoded::Single(Piece { raw, ..piece })),
            Ok(Decoded::Batch(batch)) => Ok(Decoded::Batch(batch.located())),
            Err(DecodeRefusal::MalformedBody { .. }) if self.is_lossy() => {
                Ok(Decoded::Single(Piece { raw, ..unreadable(body) }))
            }
            Err(DecodeRefusal::MalformedBody { expected, detail, .. }) => {
                Err(malformed(expected, detail, body))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether the body was read with loss.
    fn is_lossy(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.in_body)
    }

    /// Keeps the body as it came where something was read with loss.
    fn keep(&mut self, body: &Bytes, in_body: bool, text: Option<TextOf>) {
        let query = self.raw_query.clone();
        self.origin = (in_body || query.is_some())
            .then(|| Arc::new(Origin { body: body.clone(), in_body, query, text }));
    }

    fn read(
        &mut self,
        media: &Media,
        declared: Option<&'static Encoding>,
        raw: &Bytes,
    ) -> Result<Decoded<'a>, DecodeRefusal> {
        // The parts and fields of these are decoded one by one.
        let is_multipart = matches!(media, Media::Multipart { .. });
        let parts = (is_multipart || *media == Media::Form)
            .then(|| charset::of_parts(raw, declared, is_multipart))
            .flatten();
        let Some((body, declared)) = parts else {
            let body = self.text_of(raw, declared, *media == Media::Lines)?;
            return self.by_media(media, None, (&body, raw));
        };
        self.keep(raw, false, None);
        if *media == Media::Form && matches!(first_byte(&body), Some(b'{' | b'[')) {
            // A type that lies; where it does not, all is a form again.
            let text = self.text_of(raw, declared, false)?;
            if let Some((json, measure)) = as_container(&text) {
                return Ok(self.json(&text, json, measure));
            }
            self.keep(raw, false, None);
        }
        self.fits(body.len())?;
        self.by_media(media, declared, (&body, raw))
    }

    /// A whole body as text, with null for numbers that are none.
    fn text_of(
        &mut self,
        raw: &Bytes,
        declared: Option<&'static Encoding>,
        by_line: bool,
    ) -> Result<Bytes, DecodeRefusal> {
        let read = charset::whole(raw, declared);
        self.fits(read.text.len())?;
        let body = lenient::without_nan(read.text.clone(), by_line);
        let is_same = body.as_ptr() == read.text.as_ptr() && body.len() == read.text.len();
        let text = TextOf { encoding: read.encoding, skip: read.skip, shift: 0 };
        self.keep(raw, read.is_lossy, is_same.then_some(text));
        Ok(body)
    }

    fn by_media(
        &mut self,
        media: &Media,
        declared: Option<&'static Encoding>,
        (body, raw): (&Bytes, &Bytes),
    ) -> Result<Decoded<'a>, DecodeRefusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(self.object(Bytes::from_static(b"{}")));
        }
        if media.is_sniffed()
            && let Some((text, measure)) = as_container(body)
        {
            return Ok(self.json(body, text, measure));
        }
        match media {
            Media::Json => {
                let (text, measure) = as_json(body)?;
                Ok(self.json(body, text, measure))
            }
            Media::Lines => batch::lines(self, body),
            Media::Form => self.fields(form::parse(body, declared, self.limits), (body, raw)),
            Media::Multipart { boundary } => {
                let boundary = boundary.as_deref();
                let fields = multipart::parse(boundary, declared, body, self.limits)?;
                self.fields(fields, (body, raw))
            }
            Media::Unknown if matches!(first_byte(body), Some(b'{' | b'[')) => {
                let (text, measure) = as_json(body)?;
                Ok(self.json(body, text, measure))
            }
            Media::Text | Media::Unknown => self.text(body),
        }
    }

    /// A form's fields, already written as an object.
    fn fields(
        &mut self,
        fields: Result<Fields, Reason>,
        (body, raw): (&Bytes, &Bytes),
    ) -> Result<Decoded<'a>, DecodeRefusal> {
        match fields {
            Ok(Fields { object, is_lossy }) => {
                // What is made of fields stands nowhere in the body as it is cut.
                self.keep(raw, is_lossy || self.is_lossy(), None);
                self.made(object.unwrap_or_else(|| "{}".to_owned()))
            }
            Err(fault) => Ok(Decoded::Single(whole(body, fault))),
        }
    }

    /// The events of an object that was written here, where that is not much longer than the body:
    /// a control character takes six bytes in JSON.
    fn made(&self, object: String) -> Result<Decoded<'a>, DecodeRefusal> {
        self.fits(object.len())?;
        Ok(self.object(object.into()))
    }

    fn fits(&self, bytes: usize) -> Result<(), DecodeRefusal> {
        let limit = self.limits.body.saturating_mul(2);
        if bytes > limit { Err(DecodeRefusal::TooLargeAsJson { limit }) } else { Ok(()) }
    }

    fn text(&self, body: &Bytes) -> Result<Decoded<'a>, DecodeRefusal> {
        // Before it is written: of control characters, those without a short form take six bytes.
        let is_short = |byte: &u8| *byte >= b' ' || matches!(byte, 8 | 9 | 10 | 12 | 13);
        let long = body.iter().filter(|byte| !is_short(byte)).count();
        self.fits(body.len() + 5 * long)?;
        let mut object = String::from("{\"body\":");
        match std::str::from_utf8(body) {
            Ok(text) => json::quote(text, &mut object),
            Err(error) => return Err(malformed("text in UTF-8", error.to_string(), body.clone())),
        }
        object.push('}');
        self.made(object)
    }

    fn json(&self, body: &Bytes, text: &str, measure: Measure) -> Decoded<'a> {
        match measure.root {
            Root::Object => self.checked_object(body.clone(), measure),
            Root::Array => batch::split(self, body, measure)
                .unwrap_or_else(|| batch::elements(self, body, text, measure)),
            Root::Scalar => self.object(wrapped(text)),
        }
    }

    /// The events of an object that was made here.
    fn object(&self, object: Bytes) -> Decoded<'a> {
        match check(&object) {
            Ok(measure) => self.checked_object(object, measure),
            Err(piece) => Decoded::Single(piece),
        }
    }

    /// An object's events: one, or as many as a split finds.
    fn checked_object(&self, object: Bytes, measure: Measure) -> Decoded<'a> {
        let (before, start) = (object.clone(), measure.start);
        match self.prepare(object, measure) {
            Ok((object, measure)) => self
                .laid_beside(&before, start, &object)
                .map_or_else(
                    || batch::split(self, &object, measure),
                    |moved| batch::split(&moved, &object, measure),
                )
                .unwrap_or_else(|| Decoded::Single(self.finish(object, measure))),
            Err(piece) => Decoded::Single(piece),
        }
    }

    /// The same for an object that was made of the one before, where what came is kept.
    fn laid_beside(&self, before: &Bytes, start: usize, now: &Bytes) -> Option<Self> {
        let origin = self.origin.as_ref().filter(|_| before != now)?;
        let origin = Some(Arc::new(origin.moved(before, start, now)));
        Some(Self { origin, ..self.clone() })
    }

    /// The object with the query beside it and its fields decoded, and its measure or a bound.
    fn prepare(&self, object: Bytes, bound: Measure) -> Result<(Bytes, Measure), Piece> {
        let Ok(text) = std::str::from_utf8(&object) else { return Err(unreadable(object)) };
        let merged = self.query.as_ref().map(|query| merge(query, text));
        let text = merged.as_deref().unwrap_or(text);
        let Some(changed) = fields::decode(text, self.shape.fields).or(merged) else {
            return Ok((object, bound));
        };
        let changed = Bytes::from(changed);
        let measure = check(&changed)?;
        Ok((changed, measure))
    }

    /// An object as an event, within the limits of one; `bound` measures it or more than it.
    fn finish(&self, object: Bytes, bound: Measure) -> Piece {
        let fits = |of: &Measure| of.depth <= self.limits.depth && of.keys <= self.limits.keys;
        let measure = match Some(bound).filter(fits).map_or_else(|| check(&object), Ok) {
            Ok(measure) => measure,
            Err(piece) => return piece,
        };
        if measure.depth > self.limits.depth {
            // Kept as bytes: whoever reads events may not be able to read as deep as this.
            return Piece::aside(Payload::Opaque(object), Reason::TooDeep);
        }
        let fault = (measure.keys > self.limits.keys).then_some(Reason::TooManyKeys);
        Piece { fault, ..Piece::new(Payload::Json(object)) }
    }
}

fn check(object: &Bytes) -> Result<Measure, Piece> {
    let text = std::str::from_utf8(object).ok();
    let measure = text.and_then(|text| json::check(text).ok());
    measure.ok_or_else(|| unreadable(object.clone()))
}

/// For what was checked or made by us; should it ever not be JSON, it is kept as it is.
fn unreadable(bytes: Bytes) -> Piece {
    Piece::aside(Payload::Opaque(bytes), Reason::MalformedBody)
}

/// Any other JSON value than an object, made one.
fn wrapped(value: &str) -> Bytes {
    format!("{{\"value\":{}}}", value.trim()).into()
}

/// A whole body, set aside: as JSON where it is, in an object and not too deep to be read.
fn whole(body: &Bytes, fault: Reason) -> Piece {
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

/// Members of `query` that `object` has not, before the members of `object` as they are spelt.
fn merge(query: &str, text: &str) -> String {
    let start = json::skip_space(text.as_bytes(), 0);
    let own: std::collections::HashSet<_> = json::members(text.as_bytes(), start)
        .map(|member| json::text_of(text, member.key))
        .collect();
    let mut merged = String::with_capacity(query.len() + text.len());
    merged.push('{');
    for member in json::members(query.as_bytes(), 0) {
        if !own.contains(&json::text_of(query, member.key.clone())) {
            // Writing to a text cannot fail.
            let _ = write!(merged, "{}:{},", &query[member.key], &query[member.value]);
        }
    }
    if own.is_empty() && merged.len() > 1 {
        merged.pop();
    }
    merged.push_str(text.get(start + 1..).unwrap_or("}"));
    merged
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.get(json::skip_space(body, 0)).copied()
}

/// The body as JSON, when that is an object or an array.
fn as_container(body: &Bytes) -> Option<(&str, Measure)> {
    matches!(first_byte(body), Some(b'{' | b'[')).then(|| as_json(body).ok()).flatten()
}

fn as_json(body: &Bytes) -> Result<(&str, Measure), DecodeRefusal> {
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed("JSON in UTF-8", error.to_string(), body.clone()))?;
    let measure = json::check(text)
        .map_err(|error: Syntax| malformed("JSON", error.to_string(), body.clone()))?;
    Ok((text, measure))
}

fn malformed(expected: &'static str, detail: String, body: Bytes) -> DecodeRefusal {
    DecodeRefusal::MalformedBody { expected, detail, body }
}

#[cfg(test)]
mod tests;
