//! Finding the values of many paths in one pass over a payload, without building a tree.
//!
//! The paths are laid into a trie; the pass descends only where the trie goes and skips the rest.
//! Of two members with one name in an object the last one counts.

use crate::domain::json;
use crate::domain::path::Step;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::ops::Range;

/// The most values that one pass keeps; what `[*]` finds beyond it is left out.
const FOUND: usize = 1_024;

/// Which path of a [`PathSet`].
pub type Slot = u32;

/// Paths that are read together.
#[derive(Clone, Debug)]
pub struct PathSet {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    parent: u32,
    keys: Vec<(Box<str>, u32)>,
    indexes: Vec<(usize, u32)>,
    each: Option<u32>,
    wanted: bool,
}

impl Default for PathSet {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl PathSet {
    /// Adds a path; the same path always has the same slot.
    pub fn add(&mut self, steps: &[Step]) -> Slot {
        let at = steps.iter().fold(0, |at, step| self.child(at, step));
        self.nodes[at as usize].wanted = true;
        at
    }

    fn child(&mut self, at: u32, step: &Step) -> u32 {
        let fresh = self.nodes.len() as u32;
        let node = &mut self.nodes[at as usize];
        let known = match step {
            Step::Key(key) => node.keys.iter().find(|(name, _)| name == key).map(|(_, to)| *to),
            Step::Index(index) => {
                node.indexes.iter().find(|(place, _)| place == index).map(|(_, to)| *to)
            }
            Step::Each => node.each,
        };
        if let Some(child) = known {
            return child;
        }
        match step {
            Step::Key(key) => node.keys.push((key.clone(), fresh)),
            Step::Index(index) => node.indexes.push((*index, fresh)),
            Step::Each => node.each = Some(fresh),
        }
        self.nodes.push(Node { parent: at, ..Node::default() });
        fresh
    }

    /// Reads `text`, which must have passed [`json::check`].
    pub fn read<'a>(&self, text: &'a str) -> Values<'a> {
        let mut pass = Pass { set: self, text, found: SmallVec::new(), is_cut: false };
        let start = json::skip_space(text.as_bytes(), 0);
        pass.value(start, &[0]);
        Values { text, found: pass.found, is_cut: pass.is_cut }
    }

    fn is_under(&self, mut node: u32, ancestor: u32) -> bool {
        // A child is always made after its parent, so this counts down.
        while node > ancestor {
            node = self.nodes[node as usize].parent;
        }
        node == ancestor
    }
}

type Found = SmallVec<[(Slot, Range<usize>); 12]>;
type Active = SmallVec<[u32; 4]>;

struct Pass<'s, 'a> {
    set: &'s PathSet,
    text: &'a str,
    found: Found,
    is_cut: bool,
}

impl Pass<'_, '_> {
    /// Reads the value at `at` for the nodes in `active`; returns where it ends. The recursion is
    /// as deep as the longest path, at most.
    fn value(&mut self, at: usize, active: &[u32]) -> usize {
        let bytes = self.text.as_bytes();
        let nodes = active.iter().map(|node| &self.set.nodes[*node as usize]);
        let mark = self.found.len();
        for (slot, node) in active.iter().zip(nodes.clone()) {
            if node.wanted && self.found.len() < FOUND {
                self.found.push((*slot, at..at));
            }
            self.is_cut |= node.wanted && self.found.len() == FOUND;
        }
        let own = mark..self.found.len();
        let end = match bytes.get(at) {
            Some(b'{') if nodes.clone().any(|node| !node.keys.is_empty()) => {
                self.object(at, active)
            }
            Some(b'[')
                if nodes.clone().any(|node| node.each.is_some() || !node.indexes.is_empty()) =>
            {
                self.array(at, active)
            }
            _ => json::skip_value(bytes, at),
        };
        for (_, range) in &mut self.found[own] {
            range.end = end;
        }
        end
    }

    fn object(&mut self, at: usize, active: &[u32]) -> usize {
        let bytes = self.text.as_bytes();
        let mark = self.found.len();
        let mut at = at + 1;
        loop {
            at = json::skip_space(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {}
                Some(b',') => {
                    at += 1;
                    continue;
                }
                Some(b'}') => return at + 1,
                _ => return bytes.len(),
            }
            let key = at..json::skip_string(bytes, at);
            let colon = json::skip_space(bytes, key.end);
            let value = json::skip_space(bytes, colon + 1);
            let next = self.children_named(key, active);
            if next.is_empty() {
                at = json::skip_value(bytes, value);
                continue;
            }
            let set = self.set;
            if self.found.len() > mark {
                let mut place = 0;
                self.found.retain(|(slot, _)| {
                    place += 1;
                    place <= mark || !next.iter().any(|child| set.is_under(*slot, *child))
                });
            }
            at = self.value(value, &next);
        }
    }

    #[inline]
    fn children_named(&self, literal: Range<usize>, active: &[u32]) -> Active {
        let raw = self.text.get(literal).unwrap_or_default();
        let mut next = Active::new();
        if raw.len() < 2 {
            return next;
        }
        let inner = &raw.as_bytes()[1..raw.len() - 1];
        let escaped = inner.contains(&b'\\').then(|| json::unquote(raw)).flatten();
        let name = escaped.as_deref().map_or(inner, str::as_bytes);
        for node in active {
            for (key, child) in &self.set.nodes[*node as usize].keys {
                if key.as_bytes() == name {
                    next.push(*child);
                }
            }
        }
        next
    }

    fn array(&mut self, at: usize, active: &[u32]) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = at + 1;
        let mut place = 0;
        loop {
            at = json::skip_space(bytes, at);
            match bytes.get(at) {
                Some(b',') => {
                    at += 1;
                    continue;
                }
                Some(b']') => return at + 1,
                Some(_) => {}
                None => return bytes.len(),
            }
            let mut next: Active = smallvec![];
            for node in active.iter().map(|node| &self.set.nodes[*node as usize]) {
                next.extend(node.each);
                let here = node.indexes.iter().filter(|(index, _)| *index == place);
                next.extend(here.map(|(_, child)| *child));
            }
            let end =
                if next.is_empty() { json::skip_value(bytes, at) } else { self.value(at, &next) };
            // Text that was not checked may hold nothing that can be skipped.
            at = if end > at { end } else { return bytes.len() };
            place += 1;
        }
    }
}

/// What one pass found.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    text: &'a str,
    found: Found,
    is_cut: bool,
}

impl<'a> Values<'a> {
    /// Whether the pass found as much as it keeps, so that there may be more.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The JSON spellings found for `slot`, in the order of the payload.
    pub fn of(&self, slot: Slot) -> impl Iterator<Item = &'a str> {
        let text = self.text;
        self.found
            .iter()
            .filter(move |(of, _)| *of == slot)
            .filter_map(move |(_, range)| text.get(range.clone()))
    }
}

/// A value as an identifier reads it: texts trimmed, numbers and booleans in their JSON spelling;
/// `None` for null, a blank text, an object and an array.
pub fn scalar(spelling: &str) -> Option<Cow<'_, str>> {
    match spelling.as_bytes().first()? {
        b'{' | b'[' | b'n' => None,
        b'"' => {
            let text = match json::unquote(spelling)? {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            };
            (!text.is_empty()).then_some(text)
        }
        _ => Some(Cow::Borrowed(spelling)),
    }
}
