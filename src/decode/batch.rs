//! Batches: a request that holds several events.
//!
//! In each event of a split array the array is replaced by its one element, and so is every array
//! on the way to it; all else stays beside it as it is spelt. Events are cut out of the text and put
//! together again, never parsed.

use crate::decode::lossy::{Origin, Places};
use crate::decode::piece::{DecodeRefusal, Decoder, Piece, malformed, whole, wrapped};
use crate::domain::event::{Payload, Raw, Reason};
use crate::domain::json;
use crate::domain::json::{Measure, Root};
use crate::domain::path::Step;
use bytes::Bytes;
use smallvec::SmallVec;
use std::ops::Range;

/// The events of a batch, each put together when it is asked for: what they have in common (the
/// query, and what lies beside a split array) is held once, however many they are.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    decoder: Decoder<'a>,
    body: Bytes,
    /// The value in the body that is cut, and its measure, which bounds that of each part.
    root: Range<usize>,
    bound: Measure,
    cuts: Vec<Cut>,
    /// Bytes of all events together, once they are put together.
    bytes: usize,
    /// Where the cuts lie in the bytes that came, where something was read with loss.
    places: Places,
}

/// Where an event of a batch lies in the body.
#[derive(Clone, Debug)]
enum Cut {
    /// A value by itself; the measure is its own, or that of all of them together.
    Value { at: Place, bound: Measure },
    /// Bytes of a line that is no JSON.
    Line(Place),
    /// The arrays on the way, outermost first, each with the element that takes its place.
    Split(SmallVec<[(Place, Place); 1]>),
}

/// A range of the body, which is never as long as 4 GiB.
#[derive(Clone, Copy, Debug)]
struct Place(u32, u32);

impl Place {
    fn of(range: &Range<usize>) -> Self {
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self(short(range.start), short(range.end))
    }

    fn range(self) -> Range<usize> {
        self.0 as usize..self.1 as usize
    }

    fn len(self) -> usize {
        self.range().len()
    }
}

/// U+FFFD in UTF-8.
const REPLACED: &[u8] = "\u{FFFD}".as_bytes();

/// More events, or more bytes, than a batch may have.
pub(super) struct TooLarge;

impl<'a> Batch<'a> {
    fn new(decoder: &Decoder<'a>, body: &Bytes, root: Range<usize>, bound: Measure) -> Self {
        let (decoder, body) = (decoder.clone(), body.clone());
        Self { decoder, body, root, bound, cuts: Vec::new(), bytes: 0, places: Places::default() }
    }

    /// How many events it has.
    pub fn len(&self) -> usize {
        self.cuts.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty()
    }

    /// All events, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> {
        (0..self.len()).map(|at| self.piece(at))
    }

    /// The event at this place, put together; an empty one behind the last.
    pub fn piece(&self, at: usize) -> Piece {
        let Some(cut) = self.cuts.get(at) else {
            return crate::decode::piece::unreadable(Bytes::new());
        };
        let piece = match cut {
            Cut::Value { at, bound } => self.value(self.body.slice(at.range()), *bound),
            Cut::Line(at) => crate::decode::piece::unreadable(self.body.slice(at.range())),
            Cut::Split(_) => self.split_off(cut),
        };
        Piece { raw: self.raw(cut), ..piece }
    }

    /// The same once it is known where its cuts lie in the bytes that came.
    pub(super) fn located(mut self) -> Self {
        if let Some(origin) = self.decoder.origin.clone()
            && let Some(text) = origin.text
        {
            let ranges = self.cuts.iter().flat_map(|cut| self.ranges(cut));
            let offsets = ranges.flat_map(|range| [range.start, range.end]).collect();
            self.places = origin.places(text, offsets);
        }
        self
    }

    /// What an event came as, where it was read with loss.
    fn raw(&self, cut: &Cut) -> Option<Box<Raw>> {
        let origin = self.lossy(cut)?;
        let body = match origin.text {
            None if origin.in_body => origin.body.clone(),
            None => Bytes::new(), // it reads as it came, and it is that of many
            Some(_) => {
                let ranges = self.ranges(cut);
                let own = ranges.iter().map(|range| &origin.body[self.places.range(range)]);
                own.collect::<Vec<&[u8]>>().concat().into()
            }
        };
        Some(Box::new(Raw { body, query: origin.query() }))
    }

    /// What came, where this event was read of it with loss.
    fn lossy(&self, cut: &Cut) -> Option<&Origin> {
        let origin = self.decoder.origin.as_deref()?;
        let is_damaged = |range: &Range<usize>| {
            memchr::memmem::find(&self.body[range.clone()], REPLACED).is_some()
        };
        let is_lossy =
            origin.query.is_some() || (origin.in_body && self.ranges(cut).iter().any(is_damaged));
        is_lossy.then_some(origin)
    }

    /// Bytes of what an event came as that are kept beside it, about.
    fn raw_size(&self, cut: &Cut) -> usize {
        match self.lossy(cut) {
            None => 0,
            Some(Origin { text: None, in_body: true, body, .. }) => body.len(),
            Some(Origin { text: None, .. }) => 0,
            // No encoding takes more than two bytes for one of UTF-8.
            Some(_) => self.ranges(cut).iter().map(|range| range.len() * 2).sum(),
        }
    }

    /// The parts of the body that an event is put together of, in their order.
    fn ranges(&self, cut: &Cut) -> SmallVec<[Range<usize>; 3]> {
        let way = match cut {
            Cut::Value { at, .. } | Cut::Line(at) => return SmallVec::from_iter([at.range()]),
            // No array was on the way: the whole is its one element.
            Cut::Split(way) if way.is_empty() => {
                return SmallVec::from_iter([self.root.clone()]);
            }
            Cut::Split(way) => way,
        };
        let mut ranges = SmallVec::new();
        let mut at = self.root.start;
        for (array, element) in way {
            ranges.push(at..array.range().start);
            at = element.range().start;
        }
        let end = way.last().map_or(at, |(_, element)| element.range().end);
        ranges.push(at..end);
        for place in (0..way.len()).rev() {
            let outer =
                place.checked_sub(1).map_or(self.root.end, |outer| way[outer].1.range().end);
            ranges.push(way[place].0.range().end..outer);
        }
        ranges
    }

    /// What is kept of the event at this place if it cannot even be put together: the bytes of its own
    /// as they came.
    pub fn kept(&self, at: usize, reason: Reason) -> Piece {
        let cut = self.cuts.get(at);
        let own = match cut {
            Some(Cut::Value { at, .. } | Cut::Line(at)) => at.range(),
            Some(Cut::Split(way)) => way.last().map_or(self.root.clone(), |(_, one)| one.range()),
            None => 0..0,
        };
        let raw = cut.and_then(|cut| self.raw(cut));
        Piece { raw, ..Piece::aside(Payload::Opaque(self.body.slice(own)), reason) }
    }

    /// The bytes that the event at this place takes, about; its own beside what all have in common.
    pub fn cost(&self, at: usize) -> usize {
        self.cuts.get(at).map_or(0, |cut| self.size_of(cut) + self.raw_size(cut))
    }

    /// Bytes that it holds before an event is put together, about.
    pub fn size(&self) -> usize {
        let raw = self.decoder.origin.as_ref().map_or(0, |origin| origin.body.len());
        self.body.len() + raw + self.places.size() + self.cuts.len() * size_of::<Cut>()
    }

    fn size_of(&self, cut: &Cut) -> usize {
        let beside = self.decoder.query.as_ref().map_or(0, |query| query.len());
        match cut {
            Cut::Value { at, .. } => at.len() + beside,
            Cut::Line(at) => at.len(),
            Cut::Split(way) => {
                let beside = if self.bound.root == Root::Array { beside } else { 0 };
                self.size_of_split(way) + beside
            }
        }
    }

    fn add(&mut self, cut: Cut) -> Result<(), TooLarge> {
        let limits = self.decoder.limits;
        let more = self.size_of(&cut) + self.raw_size(&cut);
        self.bytes = self.bytes.saturating_add(more);
        let most = limits.batch_bytes.max(self.body.len().saturating_mul(limits.batch_times));
        if self.cuts.len() == limits.batch || self.bytes > most {
            return Err(TooLarge);
        }
        self.cuts.push(cut);
        Ok(())
    }

    /// An element or a line as an event, with the query beside it.
    fn value(&self, bytes: Bytes, bound: Measure) -> Piece {
        let object = match (bound.root, std::str::from_utf8(&bytes)) {
            (Root::Object, _) | (_, Err(_)) => bytes,
            (_, Ok(text)) => wrapped(text),
        };
        let bound = match bound.root {
            Root::Object => bound,
            _ => Measure { depth: bound.depth + 1, keys: bound.keys + 1, ..bound },
        };
        match self.decoder.prepare(object, bound) {
            Ok((object, bound)) => self.decoder.finish(object, bound),
            Err(piece) => piece,
        }
    }

    /// The event in which each array on the way is its one element.
    fn split_off(&self, cut: &Cut) -> Piece {
        let event = match self.ranges(cut).as_slice() {
            [all] => return self.decoder.finish(self.body.slice(all.clone()), self.bound),
            ranges => {
                let parts = ranges.iter().map(|range| &self.body[range.clone()]);
                Bytes::from(parts.collect::<SmallVec<[&[u8]; 3]>>().concat())
            }
        };
        if self.bound.root == Root::Array {
            // Nothing was laid beside the whole yet, so it is to each of its parts.
            let root = std::str::from_utf8(&event).map_or(Root::Scalar, root_of);
            return self.value(event, Measure { root, ..self.bound });
        }
        self.decoder.finish(event, self.bound)
    }

    fn size_of_split(&self, way: &[(Place, Place)]) -> usize {
        let removed: usize = way.iter().map(|(array, element)| array.len() - element.len()).sum();
        self.root.len() - removed
    }
}

/// A JSON value per line. A line that is none does not fail the others.
pub(super) fn lines<'a>(decoder: &Decoder<'a>, body: &Bytes) -> Result<Decoded<'a>, DecodeRefusal> {
    let nothing = Measure { root: Root::Scalar, start: 0, depth: 0, keys: 0 };
    let mut batch = Batch::new(decoder, body, 0..body.len(), nothing);
    let mut first_error = None;
    let mut start = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let text = unmarked(line);
        let blank = line.len() - text.len();
        let text = text.trim_ascii_end();
        let range = start + blank..start + blank + text.len();
        start += line.len() + 1;
        if text.is_empty() {
            continue;
        }
        let at = Place::of(&range);
        let added = match crate::decode::piece::as_json(&body.slice(range)) {
            Ok((_, measure)) => batch.add(Cut::Value { at, bound: measure }),
            Err(refusal) => {
                first_error.get_or_insert(refusal);
                batch.add(Cut::Line(at))
            }
        };
        if added.is_err() {
            return Ok(Decoded::Single(whole(body, Reason::BatchTooLarge)));
        }
    }
    let none_is_json = batch.cuts.iter().all(|cut| matches!(cut, Cut::Line(_)));
    match first_error {
        Some(error) if none_is_json => {
            Err(malformed("a JSON value per line", error.to_string(), body.clone()))
        }
        _ => Ok(Decoded::Batch(batch)),
    }
}

/// A line without blanks and byte order marks before it: files with one each were put together.
fn unmarked(line: &[u8]) -> &[u8] {
    let mut text = line.trim_ascii_start();
    while let Some(rest) = text.strip_prefix(b"\xEF\xBB\xBF") {
        text = rest.trim_ascii_start();
    }
    text
}

/// The elements of a top-level array: each is an event by itself.
pub(super) fn elements<'a>(
    decoder: &Decoder<'a>,
    body: &Bytes,
    text: &str,
    measure: Measure,
) -> Decoded<'a> {
    let mut batch = Batch::new(decoder, body, 0..body.len(), measure);
    for range in json::elements(text.as_bytes(), measure.start) {
        // The measure of the whole is a bound for each.
        let bound = Measure { root: root_of(&text[range.clone()]), start: 0, ..measure };
        if batch.add(Cut::Value { at: Place::of(&range), bound }).is_err() {
            return Decoded::Single(whole(body, Reason::BatchTooLarge));
        }
    }
    Decoded::Batch(batch)
}

fn root_of(value: &str) -> Root {
    match value.as_bytes().first() {
        Some(b'{') => Root::Object,
        Some(b'[') => Root::Array,
        _ => Root::Scalar,
    }
}

/// The events of the arrays that the source splits; `None` when there is no such array.
pub(super) fn split<'a>(
    decoder: &Decoder<'a>,
    body: &Bytes,
    measure: Measure,
) -> Option<Decoded<'a>> {
    let text = std::str::from_utf8(body).ok().filter(|_| !decoder.shape.splits.is_empty())?;
    let end = json::skip_value(text.as_bytes(), measure.start);
    let root = measure.start..end;
    let batch = Batch::new(decoder, body, root.clone(), Measure { start: 0, ..measure });
    let way = SmallVec::new();
    let mut splitter = Splitter { text, way, batch, ranks: Vec::new(), is_present: false };
    let splits: Ways<'_> = (0..).zip(decoder.shape.splits.iter().map(Vec::as_slice)).collect();
    if splitter.follow(root, &splits).is_err() {
        return Some(Decoded::Single(whole(body, Reason::BatchTooLarge)));
    }
    splitter.is_present.then(|| Decoded::Batch(splitter.sorted()))
}

/// What is left of split paths on the way, each with its place in the list.
type Ways<'s> = SmallVec<[(u32, &'s [Step]); 4]>;

/// Follows split paths, all of them at once, and cuts an event for every element of the arrays at
/// their ends, and for every element of an array on the way in which none of them finds one: nothing
/// is lost, and nothing that two of them reach is cut twice.
struct Splitter<'t, 'a> {
    text: &'t str,
    /// The arrays on the way, each with the element that takes its place.
    way: SmallVec<[(Place, Place); 1]>,
    batch: Batch<'a>,
    /// The split by which each event was cut.
    ranks: Vec<u32>,
    is_present: bool,
}

impl<'a> Splitter<'_, 'a> {
    /// Returns whether an event was cut. The recursion is as deep as a path is long.
    fn follow(&mut self, value: Range<usize>, paths: &[(u32, &[Step])]) -> Result<bool, TooLarge> {
        match self.text.as_bytes().get(value.start) {
            Some(b'[') => self.array(value, paths),
            Some(b'n') | None => Ok(false), // null says nothing
            Some(_) => self.one(value, paths),
        }
    }

    fn array(&mut self, value: Range<usize>, paths: &[(u32, &[Step])]) -> Result<bool, TooLarge> {
        let end = end_of(paths);
        let each = paths.iter().filter(|(_, path)| path.first() == Some(&Step::Each));
        let cut = end.or(each.map(|(rank, _)| *rank).min());
        let is_cut = cut.is_some();
        self.is_present |= end.is_some();
        let mut found = false;
        for (place, element) in json::elements(self.text.as_bytes(), value.start).enumerate() {
            let mut inner = Ways::new();
            for (rank, path) in paths {
                match path.split_first() {
                    Some((Step::Each, rest)) => add(&mut inner, *rank, rest),
                    Some((Step::Index(at), rest)) if *at == place => add(&mut inner, *rank, rest),
                    _ => {}
                }
            }
            if is_cut {
                self.way.push((Place::of(&value), Place::of(&element)));
            }
            let within = !inner.is_empty() && self.follow(element, &inner)?;
            if let Some(rank) = cut {
                if !within {
                    self.cut(rank)?;
                }
                self.way.pop();
            }
            found |= is_cut || within;
        }
        Ok(found)
    }

    /// What is no array: it counts as an array of one.
    fn one(&mut self, value: Range<usize>, paths: &[(u32, &[Step])]) -> Result<bool, TooLarge> {
        let mut own = Ways::new();
        for (rank, path) in paths {
            let only = |step: &&Step| matches!(step, Step::Each | Step::Index(0));
            let steps = path.iter().take_while(only).count();
            add(&mut own, *rank, path.get(steps..).unwrap_or_default());
        }
        let mut found = false;
        let mut names: SmallVec<[&str; 4]> = SmallVec::new();
        for (_, path) in &own {
            let Some(Step::Key(name)) = path.first() else { continue };
            if names.contains(&&**name) {
                continue;
            }
            names.push(name);
            let mut inner = Ways::new();
            for (rank, path) in &own {
                match path.split_first() {
                    Some((Step::Key(other), rest)) if other == name => add(&mut inner, *rank, rest),
                    _ => {}
                }
            }
            if let Some(member) = json::member(self.text, value.start, name) {
                found |= self.follow(member, &inner)?;
            }
        }
        match end_of(&own).filter(|_| !found) {
            Some(rank) => self.cut(rank).map(|()| true),
            None => Ok(found),
        }
    }

    fn cut(&mut self, rank: u32) -> Result<(), TooLarge> {
        self.is_present = true;
        self.ranks.push(rank);
        self.batch.add(Cut::Split(self.way.clone()))
    }

    /// The batch in the order of the splits, and of what each found.
    fn sorted(mut self) -> Batch<'a> {
        let mut cuts: Vec<(u32, Cut)> = self.ranks.into_iter().zip(self.batch.cuts).collect();
        cuts.sort_by_key(|(rank, _)| *rank);
        self.batch.cuts = cuts.into_iter().map(|(_, cut)| cut).collect();
        self.batch
    }
}

/// The first split that ends here.
fn end_of(paths: &[(u32, &[Step])]) -> Option<u32> {
    paths.iter().filter(|(_, path)| path.is_empty()).map(|(rank, _)| *rank).min()
}

fn add<'s>(ways: &mut Ways<'s>, rank: u32, way: &'s [Step]) {
    match ways.iter_mut().find(|(_, known)| *known == way) {
        Some((known, _)) => *known = rank.min(*known),
        None => ways.push((rank, way)),
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
