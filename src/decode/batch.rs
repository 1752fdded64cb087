//! Batches: a request that holds several events.
//!
//! In each event of a split array the array is replaced by its one element, and so is every array
//! on the way to it; all else stays beside it as it is spelt. Events are cut out of the text and put
//! together again, never parsed.

use super::{DecodeRefusal, Decoded, Decoder, Piece, malformed, whole, wrapped};
use crate::domain::event::Reason;
use crate::domain::json::{self, Measure, Root};
use crate::domain::path::Step;
use bytes::Bytes;
use std::ops::Range;

/// A JSON value per line. A line that is none does not fail the others.
pub(super) fn lines(decoder: &Decoder<'_>, body: &Bytes) -> Result<Decoded, DecodeRefusal> {
    let mut batch = Batch::new(decoder);
    let mut first_error = None;
    for line in body.split(|byte| *byte == b'\n') {
        let line = body.slice_ref(line.trim_ascii());
        if line.is_empty() {
            continue;
        }
        let added = match super::as_json(&line) {
            Ok((text, measure)) => batch.add_value(text, &line, measure),
            Err(refusal) => {
                first_error.get_or_insert(refusal);
                batch.add(super::unreadable(line))
            }
        };
        if added.is_err() {
            return Ok(Decoded::Single(whole(body, Reason::BatchTooLarge)));
        }
    }
    let none_is_json = batch.pieces.iter().all(|piece| piece.fault == Some(Reason::MalformedBody));
    match first_error {
        Some(error) if none_is_json => {
            Err(malformed("a JSON value per line", error.to_string(), body.clone()))
        }
        _ => Ok(Decoded::Batch(batch.pieces)),
    }
}

/// The elements of a top-level array: each is an event by itself.
pub(super) fn elements(
    decoder: &Decoder<'_>,
    body: &Bytes,
    text: &str,
    measure: Measure,
) -> Decoded {
    let mut batch = Batch::new(decoder);
    for range in json::elements(text.as_bytes(), measure.start) {
        let element = &text[range.clone()];
        // The measure of the whole is a bound for each.
        let bound = Measure { root: root_of(element), start: 0, ..measure };
        if batch.add_value(element, &body.slice(range), bound).is_err() {
            return Decoded::Single(whole(body, Reason::BatchTooLarge));
        }
    }
    Decoded::Batch(batch.pieces)
}

fn root_of(value: &str) -> Root {
    match value.as_bytes().first() {
        Some(b'{') => Root::Object,
        Some(b'[') => Root::Array,
        _ => Root::Scalar,
    }
}

/// The events of the arrays that the source splits; `None` when there is no such array.
pub(super) fn split(decoder: &Decoder<'_>, body: &Bytes, measure: Measure) -> Option<Decoded> {
    let text = std::str::from_utf8(body).ok().filter(|_| !decoder.shape.splits.is_empty())?;
    let end = json::skip_value(text.as_bytes(), measure.start);
    let mut splitter = Splitter {
        text,
        root: measure.start..end,
        bound: Measure { start: 0, ..measure },
        way: Vec::new(),
        batch: Batch::new(decoder),
        is_present: false,
    };
    for split in decoder.shape.splits {
        if splitter.follow(splitter.root.clone(), split).is_err() {
            return Some(Decoded::Single(whole(body, Reason::BatchTooLarge)));
        }
    }
    splitter.is_present.then_some(Decoded::Batch(splitter.batch.pieces))
}

/// More events, or more bytes, than a batch may have.
struct TooLarge;

/// Events that are being collected, within the limits of a batch.
struct Batch<'a> {
    decoder: &'a Decoder<'a>,
    pieces: Vec<Piece>,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(decoder: &'a Decoder<'a>) -> Self {
        Self { decoder, pieces: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, piece: Piece) -> Result<(), TooLarge> {
        if self.pieces.len() == self.decoder.limits.batch {
            return Err(TooLarge);
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Makes room for an event of so many bytes, before they are put together.
    fn reserve(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.decoder.limits.batch_bytes { Err(TooLarge) } else { Ok(()) }
    }

    /// An element or a line as an event, with the query beside it.
    fn add_value(&mut self, text: &str, bytes: &Bytes, bound: Measure) -> Result<(), TooLarge> {
        let beside = self.decoder.query.as_ref().map_or(0, String::len);
        self.reserve(text.len() + beside)?;
        let object = if bound.root == Root::Object { bytes.clone() } else { wrapped(text) };
        let bound = match bound.root {
            Root::Object => bound,
            _ => Measure { depth: bound.depth + 1, keys: bound.keys + 1, ..bound },
        };
        let (object, bound) = match self.decoder.prepare(object, bound) {
            Ok(prepared) => prepared,
            Err(piece) => return self.add(piece),
        };
        self.add(self.decoder.finish(object, bound))
    }
}

/// Follows split paths and cuts an event for every element of the arrays at their ends.
struct Splitter<'a> {
    text: &'a str,
    root: Range<usize>,
    bound: Measure,
    /// The arrays on the way, each with the element that takes its place.
    way: Vec<(Range<usize>, Range<usize>)>,
    batch: Batch<'a>,
    is_present: bool,
}

impl Splitter<'_> {
    /// The recursion is as deep as a path is long.
    fn follow(&mut self, value: Range<usize>, steps: &[Step]) -> Result<(), TooLarge> {
        let bytes = self.text.as_bytes();
        match steps.split_first() {
            Some((Step::Key(name), rest)) => match json::member(self.text, value.start, name) {
                Some(inner) => self.follow(inner, rest),
                None => Ok(()),
            },
            Some((Step::Index(place), rest)) => {
                match json::elements(bytes, value.start).nth(*place) {
                    Some(inner) => self.follow(inner, rest),
                    None => Ok(()),
                }
            }
            Some((Step::Each, rest)) => {
                for element in json::elements(bytes, value.start) {
                    self.way.push((value.clone(), element.clone()));
                    let followed = self.follow(element, rest);
                    self.way.pop();
                    followed?;
                }
                Ok(())
            }
            None if bytes.get(value.start) == Some(&b'[') => {
                self.is_present = true;
                for element in json::elements(bytes, value.start) {
                    self.way.push((value.clone(), element));
                    let cut = self.cut();
                    self.way.pop();
                    cut?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The event in which each array on the way is its one element.
    fn cut(&mut self) -> Result<(), TooLarge> {
        let removed: usize =
            self.way.iter().map(|(array, element)| array.len() - element.len()).sum();
        let len = self.root.len() - removed;
        self.batch.reserve(len)?;
        let mut event = String::with_capacity(len);
        let mut at = self.root.start;
        for (array, element) in &self.way {
            event.push_str(&self.text[at..array.start]);
            at = element.start;
        }
        let mut end = self.way.last().map_or(at, |(_, element)| element.end);
        event.push_str(&self.text[at..end]);
        for place in (0..self.way.len()).rev() {
            let outer = place.checked_sub(1).map_or(&self.root, |outer| &self.way[outer].1);
            end = self.way[place].0.end;
            event.push_str(&self.text[end..outer.end]);
        }
        if self.bound.root == Root::Array {
            // Nothing was laid beside the whole yet, so it is to each of its parts.
            let bound = Measure { root: root_of(&event), ..self.bound };
            let bytes = Bytes::from(event);
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            return self.batch.add_value(text, &bytes, bound);
        }
        self.batch.add(self.batch.decoder.finish(event.into(), self.bound))
    }
}
