//! Forms and queries: names with brackets become nested objects and arrays.
//!
//! `a=1&a=2` and `a[]=1&a[]=2` are arrays, `a[b][c]=1` nests, and a group whose names are exactly 0
//! to n-1 is an array in that order (`a[0][b]=1`), as PHP and its senders have it. A name that
//! cannot be read like that, or that contradicts an earlier one, stays as it is spelt.

use crate::decode::charset::{self, part};
use crate::decode::piece::DecodeLimits;
use crate::domain::event::Reason;
use crate::domain::json;
use encoding_rs::Encoding;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The decoded pairs of a query, in their order.
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = pairs(query.as_bytes());
    let declared = declared(&pairs);
    let text = |bytes: &[u8]| part(bytes, declared).text.into_owned();
    pairs.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// Fields as a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// None where it would hold nothing.
    pub(super) object: Option<String>,
    /// Whether a byte of them has no character in the encoding that is declared.
    pub(super) is_lossy: bool,
}

/// An urlencoded text as a JSON object, or the limit that it breaks. Its escapes become bytes first,
/// and these characters by what is declared, or by the form's own field that says so.
pub(super) fn parse(
    text: &[u8],
    encoding: Option<&'static Encoding>,
    limits: &DecodeLimits,
) -> Result<Fields, Reason> {
    if text.is_empty() {
        return Ok(Fields::default());
    }
    let pairs = pairs(text);
    let declared = declared(&pairs).or(encoding);
    let mut form = Form::new(limits);
    let mut is_lossy = false;
    for (name, value) in &pairs {
        let (name, value) = (part(name, declared), part(value, declared));
        is_lossy |= name.is_lossy || value.is_lossy;
        let mut literal = String::with_capacity(value.text.len() + 2);
        json::quote(&value.text, &mut literal);
        form.add(&name.text, literal)?;
    }
    Ok(Fields { object: form.finish(), is_lossy })
}

/// The pairs, their escapes undone.
fn pairs(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let plain = |part: &[u8]| -> Vec<u8> {
        let part: Vec<u8> =
            part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_encoding::percent_decode(&part).collect()
    };
    let parts = text.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts
        .map(|part| match memchr::memchr(b'=', part) {
            Some(at) => (plain(&part[..at]), plain(&part[at + 1..])),
            None => (plain(part), Vec::new()),
        })
        .collect()
}

/// The encoding that a form names in a field of its own.
fn declared(pairs: &[(Vec<u8>, Vec<u8>)]) -> Option<&'static Encoding> {
    let said = |name: &[u8]| {
        let mut named = pairs.iter().filter(|(known, _)| known == name);
        named.find_map(|(_, value)| charset::named(std::str::from_utf8(value).ok()?))
    };
    said(b"_charset_").or_else(|| said(b"charset"))
}

/// A form that is being read.
pub(super) struct Form {
    root: Group,
    depth: usize,
    keys: usize,
    fields: usize,
}

#[derive(Debug, Default)]
struct Group {
    entries: BTreeMap<String, Entry>,
    /// The number that `[]` takes next.
    next: usize,
}

#[derive(Debug)]
enum Entry {
    /// JSON values under one name: one as itself, several as an array.
    Leaf(Vec<String>),
    Group(Group),
}

impl Form {
    pub(super) fn new(limits: &DecodeLimits) -> Self {
        Self { root: Group::default(), depth: limits.depth, keys: limits.keys, fields: 0 }
    }

    /// Adds a field with its value as JSON.
    pub(super) fn add(&mut self, name: &str, json: String) -> Result<(), Reason> {
        self.fields += 1;
        if self.fields > self.keys {
            return Err(Reason::TooManyKeys);
        }
        let way = brackets(name);
        if way.len() > self.depth {
            return Err(Reason::TooDeep);
        }
        if let Err(json) = self.root.add(&way, json) {
            self.root.push(name, json);
        }
        Ok(())
    }

    /// The object that the fields make; `None` without any.
    pub(super) fn finish(self) -> Option<String> {
        if self.root.entries.is_empty() {
            return None;
        }
        let mut out = String::new();
        self.root.write_object(&mut out);
        Some(out)
    }
}

impl Group {
    /// Adds a value at the end of `way`; gives it back where something else stands in the way.
    fn add(&mut self, way: &[Cow<'_, str>], json: String) -> Result<(), String> {
        let Some((name, rest)) = way.split_first() else { return Err(json) };
        let name = if name.is_empty() { self.next.to_string() } else { name.to_string() };
        if let Some(number) = number(&name) {
            self.next = self.next.max(number.saturating_add(1));
        }
        let fresh = || {
            if rest.is_empty() { Entry::Leaf(Vec::new()) } else { Entry::Group(Group::default()) }
        };
        match (self.entries.entry(name).or_insert_with(fresh), rest) {
            (Entry::Leaf(values), []) => values.push(json),
            (Entry::Group(group), [_, ..]) => return group.add(rest, json),
            // `a[b]=1&a=2`: the group's own value is its member without a name.
            (Entry::Group(group), []) => group.push("", json),
            (Entry::Leaf(_), [_, ..]) => return Err(json),
        }
        Ok(())
    }

    /// Adds a value under a name that no group has.
    fn push(&mut self, name: &str, json: String) {
        match self.entries.entry(name.to_owned()).or_insert_with(|| Entry::Leaf(Vec::new())) {
            Entry::Leaf(values) => values.push(json),
            Entry::Group(group) => group.push("", json),
        }
    }

    /// Recurses as deep as the limit of nesting lets names be.
    fn write(&self, out: &mut String) {
        let is_list = !self.entries.is_empty()
            && (0..self.entries.len()).all(|place| self.entries.contains_key(&place.to_string()));
        if !is_list {
            return self.write_object(out);
        }
        out.push('[');
        for place in 0..self.entries.len() {
            if place > 0 {
                out.push(',');
            }
            if let Some(entry) = self.entries.get(&place.to_string()) {
                entry.write(out);
            }
        }
        out.push(']');
    }

    fn write_object(&self, out: &mut String) {
        out.push('{');
        for (place, (name, entry)) in self.entries.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            json::quote(name, out);
            out.push(':');
            entry.write(out);
        }
        out.push('}');
    }
}

impl Entry {
    fn write(&self, out: &mut String) {
        match self {
            Self::Group(group) => group.write(out),
            Self::Leaf(values) => match values.as_slice() {
                [one] => out.push_str(one),
                many => {
                    out.push('[');
                    out.push_str(&many.join(","));
                    out.push(']');
                }
            },
        }
    }
}

/// A name's number, where it is one as we would spell it.
fn number(name: &str) -> Option<usize> {
    let number: usize = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}

/// `a[b][]` as `a`, `b` and the empty name; any other name as it stands.
fn brackets(name: &str) -> Vec<Cow<'_, str>> {
    let whole = || vec![Cow::Borrowed(name)];
    let Some(open) = name.find('[').filter(|open| *open > 0) else { return whole() };
    let (first, mut rest) = name.split_at(open);
    let mut way = vec![Cow::Borrowed(first)];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let Some((part, behind)) = inner.filter(|(part, _)| !part.contains('[')) else {
            return whole();
        };
        way.push(Cow::Borrowed(part));
        rest = behind;
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Value {
        serde_json::from_str(
            &parse(text.as_bytes(), None, &DecodeLimits::default()).unwrap().object.unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn brackets_nest_and_repeated_names_are_arrays() {
        assert_eq!(
            read("type=subscribe&data%5Bmerges%5D%5BFNAME%5D=Ann+Lee&tag=a&tag=b"),
            json!({"type": "subscribe", "data": {"merges": {"FNAME": "Ann Lee"}}, "tag": ["a", "b"]})
        );
        assert_eq!(read("a[]=1&a[]=2"), json!({"a": ["1", "2"]}));
        assert_eq!(read("a[]=1"), json!({"a": ["1"]}));
        assert_eq!(read("a[1][b]=2&a[0][b]=1"), json!({"a": [{"b": "1"}, {"b": "2"}]}));
        assert_eq!(read("a[0]=x&a[2]=y"), json!({"a": {"0": "x", "2": "y"}}));
        assert_eq!(read("0=a&1=b"), json!({"0": "a", "1": "b"}));
        assert_eq!(read("a.b=1&a="), json!({"a.b": "1", "a": ""}));
    }

    #[test]
    fn what_cannot_be_nested_stays_as_it_is_spelt() {
        assert_eq!(read("a[b=1&[c]=2&d[e]f=3"), json!({"a[b": "1", "[c]": "2", "d[e]f": "3"}));
        assert_eq!(read("a=1&a[b]=2"), json!({"a": "1", "a[b]": "2"}));
        assert_eq!(read("a[b]=2&a=1"), json!({"a": {"b": "2", "": "1"}}));
    }

    #[test]
    fn limits_hold() {
        let limits = DecodeLimits { depth: 3, keys: 4, ..DecodeLimits::default() };
        assert_eq!(parse(b"a[b][c][d]=1", None, &limits), Err(Reason::TooDeep));
        let many = parse(b"a=&a=&a=&a=&a=", None, &limits);
        assert_eq!(many, Err(Reason::TooManyKeys));
        assert_eq!(parse(b"", None, &limits), Ok(Fields::default()));
    }

    #[test]
    fn escapes_are_bytes_first_and_a_form_may_name_its_encoding() {
        assert_eq!(read("name=Jos%E9+Mu%F1oz"), json!({"name": "José Muñoz"}));
        assert_eq!(read("name=Jos%C3%A9"), json!({"name": "José"}));
        let said = read("n=%E3&charset=windows-1251&_charset_=iso-8859-2");
        assert_eq!(said["n"], "ă");
        assert_eq!(read("n=%E3&charset=windows-1251")["n"], "г");
        assert_eq!(read("n=%E3&charset=blue")["n"], "ã");
        let pairs = query_pairs("a=%E9&b&c=%c3%a9=");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("a", "é"), pair("b", ""), pair("c", "é=")]);
        let limits = DecodeLimits::default();
        let utf8 = charset::named("utf-8");
        let object = Some("{\"a\":\"x\u{FFFD}\"}".to_owned());
        assert_eq!(parse(b"a=x%E9", utf8, &limits), Ok(Fields { object, is_lossy: true }));
    }

    fn spell(prefix: &str, value: &Value, out: &mut form_urlencoded::Serializer<'_, String>) {
        match value {
            Value::Object(map) => {
                for (name, inner) in map {
                    let name =
                        if prefix.is_empty() { name.clone() } else { format!("{prefix}[{name}]") };
                    spell(&name, inner, out);
                }
            }
            Value::Array(list) => {
                for (place, inner) in list.iter().enumerate() {
                    spell(&format!("{prefix}[{place}]"), inner, out);
                }
            }
            Value::String(text) => {
                out.append_pair(prefix, text);
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn nested_values_come_back_from_their_form(
            value in {
                let leaf = any::<String>().prop_map(Value::from);
                let inner = leaf.prop_recursive(3, 20, 4, |inner| prop_oneof![
                    prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
                    prop::collection::btree_map("[a-c]", inner, 1..4)
                        .prop_map(|map| Value::Object(map.into_iter().collect())),
                ]);
                prop::collection::btree_map("[a-c]", inner, 1..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            }
        ) {
            let mut form = form_urlencoded::Serializer::new(String::new());
            spell("", &value, &mut form);
            prop_assert_eq!(read(&form.finish()), value);
        }

        #[test]
        fn any_text_is_a_form(text in any::<String>()) {
            if let Ok(Fields { object: Some(object), .. }) =
                parse(text.as_bytes(), None, &DecodeLimits::default())
            {
                prop_assert!(json::check(&object).is_ok());
            }
        }
    }
}
