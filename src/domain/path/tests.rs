//! Paths against a naive walk over a `serde_json` tree.

use super::read::{PathSet, scalar};
use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn walk<'a>(value: &'a Value, steps: &[Step], out: &mut Vec<&'a Value>) {
    match steps {
        [] => out.push(value),
        [Step::Key(key), rest @ ..] => {
            if let Some(inner) = value.as_object().and_then(|map| map.get(&**key)) {
                walk(inner, rest, out);
            }
        }
        [Step::Index(index), rest @ ..] => {
            if let Some(inner) = value.as_array().and_then(|list| list.get(*index)) {
                walk(inner, rest, out);
            }
        }
        [Step::Each, rest @ ..] => {
            for inner in value.as_array().into_iter().flatten() {
                walk(inner, rest, out);
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        "[a\"\\\\]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab\"]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        "[ab\"]".prop_map(|key| Step::Key(key.into())),
        (0..3usize).prop_map(Step::Index),
        Just(Step::Each),
    ];
    prop::collection::vec(step, 1..5)
}

proptest! {
    #[test]
    fn one_pass_finds_what_a_walk_over_the_tree_finds(
        value in any_json(),
        paths in prop::collection::vec(any_steps(), 1..6),
    ) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let mut set = PathSet::default();
        let slots: Vec<_> = paths.iter().map(|path| set.add(path)).collect();
        let values = set.read(&text);
        for (path, slot) in paths.iter().zip(slots) {
            let mut expected = Vec::new();
            walk(&value, path, &mut expected);
            let found: Vec<Value> = values.of(slot).map(|raw| serde_json::from_str(raw).unwrap()).collect();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{:?} in {}", path, text);
        }
    }

    #[test]
    fn no_text_makes_compiling_or_reading_panic(path in any::<String>(), noise in any::<String>()) {
        let _ = Path::parse(&path);
        let mut set = PathSet::default();
        set.add(&[Step::Each, Step::Key("a".into())]);
        set.add(&[Step::Key("a".into()), Step::Index(0)]);
        let _ = set.read(&noise);
        let _ = set.read(&format!("[{noise}"));
        let _ = set.read(&format!("{{\"a\":{noise}"));
    }
}

fn body(text: &str) -> Vec<Step> {
    match Path::parse(text).unwrap() {
        Path::Body(steps) => steps,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_of_a_path_compiles() {
    assert_eq!(
        body(r#"a.b-c[0][*]["d.e"].f"#),
        vec![
            Step::Key("a".into()),
            Step::Key("b-c".into()),
            Step::Index(0),
            Step::Each,
            Step::Key("d.e".into()),
            Step::Key("f".into()),
        ]
    );
    assert_eq!(body("[0].a").len(), 2);
    assert_eq!(body("[\"event_type\"]"), vec![Step::Key("event_type".into())]);
    assert_eq!(Path::parse("header: X-Id"), Ok(Path::Header("x-id".into())));
    assert_eq!(Path::parse("query:u"), Ok(Path::Query("u".into())));
    assert_eq!(Path::parse("event_type"), Ok(Path::EventType));
    let template = Path::parse("{portalId}/{header:X}").unwrap();
    assert!(template.reaches_outside() && !template.is_many());
    assert!(matches!(&template, Path::Template(parts) if parts.len() == 3));
}

#[test]
fn a_wrong_path_says_where_and_what() {
    for (text, at) in [
        ("", 0),
        (".a", 0),
        ("a.", 2),
        ("a..b", 2),
        ("a[", 2),
        ("a[x]", 2),
        ("a[0", 3),
        ("a[0]b", 4),
        ("a]", 1),
        ("{a", 2),
        ("a}{b}", 1),
        ("{a[*]}", 1),
        ("header:", 7),
        ("a[\"b]", 2),
        ("{}", 1),
    ] {
        let error = Path::parse(text).unwrap_err();
        assert_eq!(error.at, at, "{text}: {error}");
    }
    assert!(Path::parse(&"a.".repeat(40)).is_err());
}

#[test]
fn of_two_members_with_one_name_the_last_counts() {
    let mut set = PathSet::default();
    let inner = set.add(&body("a.b"));
    let outer = set.add(&body("c"));
    let values = set.read(r#"{"a":{"b":1},"c":1,"\u0061":{"b":2,"b":3},"c":null}"#);
    assert_eq!(values.of(inner).collect::<Vec<_>>(), ["3"]);
    assert_eq!(values.of(outer).collect::<Vec<_>>(), ["null"]);
    assert_eq!(set.read(r#"{"a":{"b":1},"a":7}"#).of(inner).count(), 0);
}

#[test]
fn numbers_are_read_as_they_are_spelt_and_blanks_are_absent() {
    assert_eq!(scalar("866550311766439020").as_deref(), Some("866550311766439020"));
    assert_eq!(scalar(r#"" 42 ""#).as_deref(), Some("42"));
    assert_eq!(scalar("true").as_deref(), Some("true"));
    for absent in ["null", "\"  \"", "\"\"", "{}", "[1]"] {
        assert_eq!(scalar(absent), None, "{absent}");
    }
}
