//! What a request came as, kept beside what was read of it where that is not all.
//!
//! In a text a byte that has no character becomes U+FFFD. Such an event is kept with its own bytes:
//! a batch is cut in the text, so the same cuts are looked for in the bytes.

use crate::domain::event::Raw;
use bytes::Bytes;
use encoding_rs::Encoding;
use std::ops::Range;

/// The bytes of a request of which a part was read with loss.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The body, its content encoding undone.
    pub(super) body: Bytes,
    /// Whether the loss is in the body.
    pub(super) in_body: bool,
    /// The query, where the loss is in it.
    pub(super) query: Option<Bytes>,
    /// How the text that is cut lies in the body; none where it was made of parts.
    pub(super) text: Option<TextOf>,
}

/// A text that a whole body was decoded to.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextOf {
    pub(super) encoding: &'static Encoding,
    /// The byte order marks before it.
    pub(super) skip: usize,
    /// How much further behind everything lies than in the decoded text, since something was laid
    /// before it; less than nothing where blanks were taken away.
    pub(super) shift: isize,
}

impl Origin {
    /// All of it, for a request that is one event.
    pub(super) fn whole(&self) -> Raw {
        Raw { body: self.body.clone(), query: self.query() }
    }

    pub(super) fn query(&self) -> Bytes {
        self.query.clone().unwrap_or_default()
    }

    /// The same for a text that was made of the one before: where that stands at its end, without
    /// its first byte, the bytes can still be found.
    pub(super) fn moved(&self, before: &[u8], start: usize, now: &[u8]) -> Self {
        let is_end = before.get(start + 1..).is_some_and(|end| now.ends_with(end));
        let by = now.len() as isize - before.len() as isize;
        let text = self.text.filter(|_| is_end);
        let text = text.map(|text| TextOf { shift: text.shift + by, ..text });
        Self { text, ..self.clone() }
    }

    /// Where places of the text lie in the body, which is gone through once.
    pub(super) fn places(&self, text: TextOf, mut offsets: Vec<usize>) -> Places {
        offsets.sort_unstable();
        offsets.dedup();
        let mut decoder = text.encoding.new_decoder_without_bom_handling();
        let mut out = [0; OUT];
        let (mut at, mut reached) = (text.skip, 0_usize);
        let mut found = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let wanted = offset.saturating_add_signed(-text.shift);
            while reached < wanted && at < self.body.len() {
                // As many as cannot go beyond it; at the end one after the other.
                let step = (wanted - reached).saturating_sub(PENDING) / 3;
                let end = (at + step.clamp(1, STEP)).min(self.body.len());
                let (_, _, written, _) =
                    decoder.decode_to_utf8(&self.body[at..end], &mut out, false);
                (at, reached) = (end, reached + written);
            }
            found.push((offset, at));
        }
        Places(found)
    }
}

/// Bytes of text that can come of what was read before, and not yet written.
const PENDING: usize = 32;
/// Bytes that are decoded at a time.
const STEP: usize = 1_024;
/// A byte becomes three of text at most.
const OUT: usize = 3 * STEP + PENDING;

/// Places of a text, in their order, each with its place in the bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Vec<(usize, usize)>);

impl Places {
    /// Bytes that it holds, about.
    pub(super) fn size(&self) -> usize {
        self.0.len() * size_of::<(usize, usize)>()
    }

    /// Where a range of the text lies; empty for one that nobody asked about.
    pub(super) fn range(&self, of: &Range<usize>) -> Range<usize> {
        let at = |offset: usize| {
            let place = self.0.binary_search_by_key(&offset, |(known, _)| *known);
            place.ok().and_then(|place| self.0.get(place)).map_or(0, |(_, at)| *at)
        };
        let (start, end) = (at(of.start), at(of.end));
        start..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::charset;
    use proptest::prelude::*;

    proptest! {
        /// The bytes behind a cut read as the text behind it.
        #[test]
        fn a_cut_of_the_text_is_found_in_the_bytes(
            label in prop::sample::select(vec![
                "utf-8", "utf-16le", "utf-16be", "windows-1252", "shift_jis", "gb18030", "euc-kr", "big5",
            ]),
            texts in prop::collection::vec("[a-zé日\u{1F600}]{0,60}", 1..6),
            laid_before in 0_usize..9,
        ) {
            let encoding = charset::named(label).unwrap();
            let text = format!(",{}", texts.join(","));
            let bytes: Vec<u8> = match label {
                "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
                _ => encoding.encode(&text).0.into_owned(),
            };
            let read = encoding.decode_without_bom_handling(&bytes).0.into_owned();
            let origin = Origin { body: bytes.into(), in_body: true, query: None, text: None };
            let shift = laid_before as isize;
            let commas: Vec<usize> = read.match_indices(',').map(|(at, _)| at).collect();
            let cuts: Vec<usize> = commas.iter().map(|at| at + laid_before).collect();
            let places = origin.places(TextOf { encoding, skip: 0, shift }, cuts.clone());
            for (cut, pair) in cuts.windows(2).zip(commas.windows(2)) {
                let own = &origin.body[places.range(&(cut[0]..cut[1]))];
                let (own, _) = encoding.decode_without_bom_handling(own);
                prop_assert_eq!(&*own, &read[pair[0]..pair[1]]);
            }
        }
    }
}
