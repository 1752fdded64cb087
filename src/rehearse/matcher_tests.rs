//! The matcher is itself tested: what must hold, and what must not.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn holds(expected: Value, found: Value) -> bool {
    differences(&expected, Some(&found)).is_empty()
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_object_matches_by_its_named_keys_only() {
    assert!(holds(json!({"a": 1}), json!({"a": 1, "b": 2})));
    assert!(!holds(json!({"a": 1, "b": 2}), json!({"a": 1})));
    assert!(!holds(json!({"a": 1}), json!([1])));
    assert!(!holds(json!({"a": null}), json!({})));
}

#[test]
fn an_array_matches_element_by_element_and_in_length() {
    assert!(holds(json!([{"a": 1}, 2]), json!([{"a": 1, "b": 1}, 2])));
    assert!(!holds(json!([1]), json!([1, 2])));
    assert!(!holds(json!([1, 2]), json!([1])));
    assert!(!holds(json!([1, 2]), json!([2, 1])));
    assert!(!holds(json!([]), json!({})));
}

#[test]
fn types_are_told_apart() {
    for (a, b) in [(json!("1"), json!(1)), (json!(true), json!("true")), (json!(""), json!(null))] {
        assert!(!holds(a.clone(), b.clone()));
        assert!(!holds(b, a));
    }
}

#[test]
fn numbers_are_compared_by_value_with_every_digit() {
    assert!(holds(number("1"), number("1.0")));
    assert!(holds(number("1200"), number("1.2e3")));
    assert!(holds(number("-0.0"), number("0")));
    assert!(holds(number("0.50"), number("5E-1")));
    assert!(holds(number("1e999999999999"), number("10e999999999998")));
    assert!(!holds(number("9007199254740993"), number("9007199254740992")));
    assert!(!holds(
        number("123456789012345678901234567890"),
        number("123456789012345678901234567891")
    ));
    assert!(!holds(number("1"), number("-1")));
    assert!(!holds(number("1e5"), number("1e-5")));
    assert!(!holds(number("1e99999999999999999999"), number("1e99999999999999999998")));
}

#[test]
fn any_wants_something_that_is_not_null() {
    assert!(holds(json!({"a": "$any"}), json!({"a": false})));
    assert!(!holds(json!({"a": "$any"}), json!({"a": null})));
    assert!(!holds(json!({"a": "$any"}), json!({})));
}

#[test]
fn absent_wants_nothing_there_not_even_null() {
    assert!(holds(json!({"a": "$absent"}), json!({})));
    assert!(!holds(json!({"a": "$absent"}), json!({"a": null})));
    assert!(!holds(json!({"a": "$absent"}), json!({"a": 1})));
    assert!(differences(&json!("$absent"), None).is_empty());
}

#[test]
fn contains_looks_into_texts_elements_and_their_json() {
    assert!(holds(json!("$contains:b"), json!("abc")));
    assert!(holds(json!("$contains:b"), json!(["a", "b"])));
    assert!(holds(json!("$contains:\"kind\":\"refusal\""), json!([{"kind": "refusal"}])));
    assert!(holds(json!("$contains:say \"hi\""), json!([{"text": "we say \"hi\""}])));
    assert!(holds(json!("$contains:12"), json!(3125)));
    assert!(!holds(json!("$contains:x"), json!("abc")));
    assert!(!holds(json!({"a": "$contains:x"}), json!({})));
}

#[test]
fn lacks_is_the_opposite_but_wants_something_there() {
    assert!(holds(json!("$lacks:x"), json!(["a", "b"])));
    assert!(!holds(json!("$lacks:b"), json!(["a", "b"])));
    assert!(!holds(json!({"a": "$lacks:x"}), json!({})));
}

#[test]
fn not_refuses_one_value_in_any_spelling_and_wants_something_there() {
    assert!(holds(json!("$not:a"), json!("b")));
    assert!(holds(json!("$not:5"), json!(6)));
    assert!(!holds(json!("$not:a"), json!("a")));
    assert!(!holds(json!("$not:5"), json!(5)));
    assert!(!holds(json!({"a": "$not:x"}), json!({})));
    assert!(holds(json!("$not:$any"), json!(null)));
    assert!(!holds(json!("$not:$any"), json!(1)));
}

#[test]
fn len_counts_elements_keys_and_characters() {
    assert!(holds(json!("$len:3"), json!([1, 2, 3])));
    assert!(holds(json!("$len:3"), json!("äöü")));
    assert!(holds(json!("$len:1"), json!({"a": 1})));
    assert!(holds(json!("$len:0"), json!([])));
    assert!(!holds(json!("$len:3"), json!([1, 2])));
    assert!(!holds(json!("$len:3"), json!(3)));
}

#[test]
fn a_text_that_only_looks_like_a_test_is_a_text() {
    assert!(holds(json!("$5"), json!("$5")));
    assert!(!holds(json!("$anyone"), json!("x")));
    assert!(holds(json!("$len:three"), json!("$len:three")));
}

#[test]
fn a_difference_says_where_what_was_expected_and_what_was_found() {
    let found = differences(
        &json!({"items": [{"a/b": 1, "c~d": "$any"}], "n": [1]}),
        Some(&json!({"items": [{"a/b": 2}], "n": [1, 2]})),
    );
    let told: Vec<_> =
        found.iter().map(|d| (d.pointer.as_str(), d.expected.as_str(), d.found.as_str())).collect();
    assert_eq!(
        told,
        [
            ("/items/0/a~1b", "1", "2"),
            ("/items/0/c~0d", "\"$any\"", "nothing there"),
            ("/n", "1 element: [1]", "2 elements: [1,2]"),
        ]
    );
}

fn texts() -> impl Strategy<Value = String> {
    "[a-z0-9/~ ]{0,6}"
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9f64..1e9).prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(texts(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The pointers of all values without children.
fn leaves(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            for (index, element) in elements.iter().enumerate() {
                leaves(element, &format!("{pointer}/{index}"), out);
            }
        }
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                let token = key.replace('~', "~0").replace('/', "~1");
                leaves(member, &format!("{pointer}/{token}"), out);
            }
        }
        _ => out.push(pointer.to_owned()),
    }
}

proptest! {
    #[test]
    fn every_value_matches_itself(value in values()) {
        prop_assert_eq!(differences(&value, Some(&value)), vec![]);
    }

    #[test]
    fn an_expectation_with_a_key_dropped_still_matches(
        found in prop::collection::btree_map(texts(), values(), 1..5),
        pick in any::<prop::sample::Index>(),
    ) {
        let found = Value::Object(found.into_iter().collect());
        let mut expected = found.clone();
        let members = expected.as_object_mut().unwrap();
        let key = pick.get(&members.keys().cloned().collect::<Vec<_>>()).clone();
        members.remove(&key);
        prop_assert_eq!(differences(&expected, Some(&found)), vec![]);
        // The other way round it is missed.
        prop_assert!(!differences(&found, Some(&expected)).is_empty());
    }

    #[test]
    fn a_changed_leaf_is_told_at_its_pointer(
        value in values(),
        pick in any::<prop::sample::Index>(),
    ) {
        let mut pointers = Vec::new();
        leaves(&value, "", &mut pointers);
        let pointer = pick.get(&pointers).clone();
        let mut changed = value.clone();
        *changed.pointer_mut(&pointer).unwrap() = Value::from("CHANGED");
        let told = differences(&value, Some(&changed));
        prop_assert!(told.len() == 1 && told[0].pointer == pointer, "{told:?}");
    }
}
