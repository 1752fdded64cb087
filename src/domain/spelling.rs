//! Reads what users configure, and says what is wrong with it: all of it at once, each with its path,
//! what was expected there and the nearest known name.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// The most mistakes that are told of one object.
const MISTAKES: usize = 100;
/// What serde's readers call themselves, and what users know it as.
const NAMES: [(&str, &str); 17] = [
    ("number", "a number"),
    ("a string", "a text"),
    ("string", "a text"),
    ("a sequence", "a list"),
    ("sequence", "a list"),
    ("a map", "a table"),
    ("map", "a table"),
    ("a boolean", "true or false"),
    ("unit value", "nothing"),
    ("null", "nothing"),
    ("Option value", "nothing"),
    ("u16", "a whole number of at least 0"),
    ("u32", "a whole number of at least 0"),
    ("u64", "a whole number of at least 0"),
    ("usize", "a whole number of at least 0"),
    ("i64", "a whole number"),
    ("unit", "nothing"),
];

/// Reads a JSON object. A mistake is taken away and the rest is read, so that all are told.
///
/// # Errors
/// Each mistake with its path, such as `step[0].webhook.url`; the path of the whole is empty.
pub fn read<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<(String, String)>> {
    let mut mistakes = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(read) if mistakes.is_empty() => return Ok(read),
            Ok(_) => return Err(mistakes),
            Err(error) => error,
        };
        let sentence = friendly(&error.inner().to_string());
        // What is missing after something was taken away is our doing.
        if mistakes.is_empty() || !sentence.starts_with("missing field") {
            mistakes.push((spelt(error.path()), sentence));
        }
        if mistakes.len() >= MISTAKES || !take_away(&mut value, error.path()) {
            return Err(mistakes);
        }
    }
}

/// Reads a JSON text; of several mistakes the first one is told.
///
/// # Errors
/// A sentence, with the path where the text is JSON and does not say what was expected, and with line
/// and column where it is not.
pub fn read_text<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let told = error.inner().to_string();
        if !error.inner().is_data() {
            return told;
        }
        let sentence =
            friendly(told.rsplit_once(" at line ").map_or(&told[..], |(words, _)| words));
        match spelt(error.path()) {
            path if path.is_empty() => sentence,
            path => format!("{path}: {sentence}"),
        }
    })?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(read)
}

/// The path of something within an object: `at` and what is within it.
pub fn within(at: &str, path: &str) -> String {
    match path {
        "" => at.to_owned(),
        _ if path.starts_with('[') => format!("{at}{path}"),
        _ => format!("{at}.{path}"),
    }
}

fn spelt(path: &Path) -> String {
    let text = path.to_string();
    if text == "." { String::new() } else { text }
}

/// Removes what is at the path. An element of a list stays where it is, as the places of the others
/// would not be those that were written any more; `false` then, and where there is nothing.
fn take_away(value: &mut Value, path: &Path) -> bool {
    let mut inner = Some(value);
    let mut segments = path.iter().peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        inner = match (segment, inner) {
            (Segment::Map { key }, Some(Value::Object(table))) if is_last => {
                return table.remove(key).is_some();
            }
            (Segment::Map { key }, Some(Value::Object(table))) => table.get_mut(key),
            (Segment::Seq { index }, Some(Value::Array(list))) if !is_last => list.get_mut(*index),
            _ => return false,
        };
    }
    false
}

/// Says what serde says in words for users, which name the nearest known name.
pub fn friendly(message: &str) -> String {
    // serde: "unknown field `a`, expected one of `b`, `c`"; a changed wording is shown as it is.
    for (beginning, what) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        let Some(rest) = message.strip_prefix(beginning) else { continue };
        let Some((name, expected)) = rest.split_once('`') else { continue };
        if name.starts_with("$serde_json") {
            return "expected a table, found a number".to_owned();
        }
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        return unknown(name, what, known);
    }
    if message == "invalid number" {
        return "expected a whole number of at least 0, found another number".to_owned();
    }
    // serde: "invalid type: string "x", expected a map".
    let wrong = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    match wrong.and_then(|rest| rest.split_once(", expected ")) {
        Some((found, expected)) => {
            format!("expected {}, found {}", named(expected), found_as(found))
        }
        None => message.to_owned(),
    }
}

/// What was found, without the text itself, which may be a secret.
fn found_as(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", _)) => "a text".to_owned(),
        Some(("integer" | "floating", rest)) => match rest.split('`').nth(1) {
            Some(number) => format!("the number {number}"),
            None => "a number".to_owned(),
        },
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        _ => named(found),
    }
}

fn named(text: &str) -> String {
    let is_table = text.starts_with("struct ") || text.starts_with("internally tagged enum");
    let known = NAMES.into_iter().find(|(serde, _)| *serde == text);
    match known {
        Some((_, ours)) => ours.to_owned(),
        None if is_table => "a table".to_owned(),
        None => text.to_owned(),
    }
}

/// The message for a name that is not known.
pub fn unknown<'k>(name: &str, what: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
    match nearest {
        Some((_, nearest)) => format!("unknown {what} {name:?}; did you mean {nearest:?}?"),
        None => format!("unknown {what} {name:?}; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::CampaignConfig;
    use crate::domain::settings::{PointConfig, SourceConfig, TypeConfig};
    use serde_json::json;

    fn told<T: DeserializeOwned + std::fmt::Debug>(value: Value) -> Vec<String> {
        let mistakes = read::<T>(value).unwrap_err();
        mistakes.iter().map(|(path, sentence)| format!("{path}: {sentence}")).collect()
    }

    #[test]
    fn every_mistake_of_a_campaign_is_told_with_its_path_and_the_nearest_name() {
        let campaign = json!({
            "trigger": {"event_type": {"a": 1}, "wher": []},
            "step": [
                {"wiat": "1h"},
                {"webhook": {
                    "url": 7,
                    "retry": "often",
                    "timeout": 3,
                    "on_missing": "abrot",
                    "fields": {
                        "a": {"form": "traits.a"},
                        "b": 4,
                        "c": ["traits.c"],
                        "d": {"from": "traits.d", "on_missing": "nul"},
                        "e": {"default": 1},
                    },
                }},
            ],
        });
        let found = told::<CampaignConfig>(campaign);
        let of_field = "expected where the field comes from, such as \"traits.email\", or a table \
                        such as { from = \"traits.gender\", default = \"unknown\" }";
        let expected = [
            "step[0].wiat: unknown key \"wiat\"; did you mean \"wait\"?".to_owned(),
            "step[1].webhook.fields.a.form: unknown key \"form\"; did you mean \"from\"?".to_owned(),
            format!("step[1].webhook.fields.b: {of_field}, found the number 4"),
            format!("step[1].webhook.fields.c: {of_field}, found a list"),
            "step[1].webhook.fields.d.on_missing: unknown value \"nul\"; did you mean \"null\"?"
                .to_owned(),
            "step[1].webhook.on_missing: unknown value \"abrot\"; did you mean \"abort\"?".to_owned(),
            "step[1].webhook.retry: expected how many attempts follow the first one, such as 3, or \
             how long to wait before each, such as [\"5s\", \"5m\"], found a text"
                .to_owned(),
            "step[1].webhook.timeout: expected a text, found a number".to_owned(),
            "step[1].webhook.url: expected a text, found a number".to_owned(),
            "trigger.event_type: expected a text or a list of texts, found a table".to_owned(),
            "trigger.wher: unknown key \"wher\"; did you mean \"where\"?".to_owned(),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_text_is_read_to_its_end_and_a_mistake_named_by_its_path() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            deep: Option<Box<Self>>,
            raw: Option<Box<serde_json::value::RawValue>>,
            days: Option<u32>,
        }
        let told = |text: &str| read_text::<Body>(text.as_bytes()).unwrap_err();
        let read: Body = read_text(br#"{"deep": {"raw": {"a": 1.50}}, "days": 3}"#).unwrap();
        assert_eq!(read.deep.unwrap().raw.unwrap().get(), r#"{"a": 1.50}"#);
        assert_eq!(read.days, Some(3));
        assert_eq!(
            told(r#"{"deep": {"dyas": 3}}"#),
            "deep.dyas: unknown key \"dyas\"; did you mean \"days\"?"
        );
        assert_eq!(
            told(r#"{"days": "s3cret"}"#),
            "days: expected a whole number of at least 0, found a text"
        );
        assert!(told("{").contains("line 1 column 1"));
        assert!(told("{} {}").contains("trailing characters"));
    }

    #[test]
    fn no_choice_says_that_nothing_fitted_and_no_text_is_repeated() {
        let points = [
            json!({"identifiers": [{"type": "email", "path": 3}]}),
            json!({"identifiers": [{"type": "email", "paht": "a"}]}),
            json!({"identifiers": {"type": "email", "path": "a"}}),
            json!({"identifiers": "s3cret"}),
            json!({"identifiers": [], "source": 3}),
            json!({"identifiers": [], "source": ["a", 3]}),
        ];
        let starts = [
            "identifiers[0].path: expected a text or a list of texts, found the number 3",
            "identifiers[0].paht: unknown key \"paht\"; did you mean \"path\"?",
            "identifiers: expected a list, found a table",
            "identifiers: expected a list, found a text",
            "source: expected a text or a list of texts, found the number 3",
            "source[1]: expected a text, found a number",
        ];
        for (point, start) in points.into_iter().zip(starts) {
            assert_eq!(told::<PointConfig>(point)[0], start);
        }
        let source = json!({"profile_id": {"path": "a"}, "durability": "fsync", "enabled": "yes"});
        assert_eq!(
            told::<SourceConfig>(source),
            [
                "durability: unknown value \"fsync\"; did you mean \"fsynced\"?",
                "enabled: expected true or false, found a text",
                "profile_id: expected a text or a list of texts, found a table",
            ]
        );
        assert_eq!(
            told::<TypeConfig>(json!({"limit": 3, "shared_by": -1})),
            [
                "limit: expected a table, found a number",
                "shared_by: expected a whole number of at least 0, found another number",
            ]
        );
    }
}
