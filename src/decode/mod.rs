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
mod piece;

pub use batch::{Batch, Decoded};
pub use compress::{decoded_bound, decompress};
pub use form::query_pairs;
pub use piece::{DecodeLimits, DecodeRefusal, Piece, RawRequest, Shape};

use crate::domain::event::{Payload, Reason};
use crate::domain::json;
use crate::domain::json::{Measure, Root};
use bytes::Bytes;
use encoding_rs::Encoding;
use form::Fields;
use lossy::{Origin, TextOf};
use media::Media;
use piece::{
    Decoder, as_container, as_json, check, first_byte, malformed, unreadable, whole, wrapped,
};
use std::fmt::Write as _;
use std::sync::Arc;

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

#[cfg(test)]
mod tests;
