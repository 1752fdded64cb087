//! What the scanner promises, against `serde_json` as the oracle.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// Random JSON values of modest size.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß\\n\"\\\\]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"]{1,2}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_takes_is_json_and_nothing_else(text in "[\\[\\]{}\",:0-9a-c.\\-eE\\\\ntrufalse ]{0,14}") {
        let oracle = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(check(&text).is_ok(), oracle, "{}", text);
    }

    #[test]
    fn every_value_is_measured_and_has_one_spelling(value in any_json()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert!(check(&pretty).is_ok());
        let compact = serde_json::to_string(&value).unwrap();
        let one = canonical(&pretty).unwrap();
        prop_assert_eq!(&one, &canonical(&compact).unwrap());
        prop_assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), value);
    }

    #[test]
    fn a_text_comes_back_from_its_literal(text in any::<String>()) {
        let mut literal = String::new();
        quote(&text, &mut literal);
        prop_assert_eq!(serde_json::from_str::<String>(&literal).unwrap(), text.clone());
        prop_assert_eq!(unquote(&literal).unwrap(), text.as_str());
        let foreign = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(unquote(&foreign).unwrap(), text.as_str());
    }

    #[test]
    fn moving_over_any_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        prop_assert!(skip_value(&bytes, 0) <= bytes.len().max(1));
        prop_assert!(members(&bytes, 0).count() <= bytes.len());
        prop_assert!(elements(&bytes, 0).count() <= bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        let _ = (check(&text), canonical(&text), unquote(&text));
    }
}

#[test]
fn depth_and_keys_are_counted_without_recursion() {
    let measure = check(r#" {"a":[{"b":1,"b":2}],"c":{}} "#).unwrap();
    assert_eq!(measure, Measure { root: Root::Object, start: 1, depth: 3, keys: 4 });
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    assert_eq!(check(&deep).unwrap().depth, 1 << 20);
    assert_eq!(check(&"[".repeat(1 << 20)).unwrap_err().at, 1 << 20);
    assert_eq!(canonical(&deep), None);
}

#[test]
fn numbers_keep_every_digit_and_the_last_of_two_keys_wins() {
    let text = r#"{ "n" : 866550311766439020.10 , "a":1, "\u0061" : "\ud83d\ude00\ud83d" }"#;
    assert_eq!(
        canonical(text).unwrap(),
        "{\"a\":\"\u{1F600}\u{FFFD}\",\"n\":866550311766439020.10}"
    );
}
