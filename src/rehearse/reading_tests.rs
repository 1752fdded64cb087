//! What the format takes, and how it complains.

use super::*;
use serde_json::json;
use std::path::PathBuf;

fn read_text(text: &str) -> Result<Scenario, Vec<Problem>> {
    parse(Path::new("x.toml"), text)
}

fn complaints(text: &str) -> Vec<String> {
    let problems = read_text(text).map(|_| ()).unwrap_err();
    problems.iter().map(|p| format!("{}:{}: {}", p.line, p.column, p.message)).collect()
}

#[test]
fn all_scenarios_of_the_contract_are_read() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/scenarios");
    if !Path::new(root).exists() {
        return; // the contract's folder lies beside the project and need not be there
    }
    let files = crate::rehearse::scenario_files(&[PathBuf::from(root)]).unwrap();
    for file in files {
        if let Err(errors) = read(&file) {
            panic!("{errors}");
        }
    }
}

#[test]
fn steps_may_be_tables_or_one_array() {
    let tables = read_text("[[step]]\nget = \"/a\"\n[[step]]\nadvance = \"2h\"").unwrap();
    let array = read_text("step = [ { get = \"/a\" },\n { advance = \"2h\" } ]").unwrap();
    assert_eq!(tables.steps.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(array.steps.iter().map(|s| s.line).collect::<Vec<_>>(), [1, 2]);
    assert!(matches!(array.steps[1].action, Action::Advance(7_200_000)));
    assert_eq!(array.name, "x");
}

#[test]
fn numbers_keep_every_digit_and_dates_become_texts() {
    let text = "step = [ { send = { path = \"/\", json = { big = 123456789012345678901234567890, \
                f = 1_0.50, hex = 0xff, at = 2026-03-01T10:00:00Z, u = \"\\u0301\" } } } ]";
    let Action::Send(send) = read_text(text).unwrap().steps.remove(0).action else { panic!() };
    let Body::Json(json) = send.body else { panic!() };
    assert_eq!(
        json.to_string(),
        "{\"at\":\"2026-03-01T10:00:00Z\",\"big\":123456789012345678901234567890,\"f\":10.50,\
         \"hex\":255,\"u\":\"\u{301}\"}"
    );
}

#[test]
fn configuration_tables_are_passed_on_with_their_types() {
    let scenario = read_text(
        "limits = { body = 10, ratio = 0.5 }\nsource = [ { id = \"a\" } ]\n[[step]]\nget = \"/\"",
    );
    let config = scenario.unwrap().config;
    assert_eq!(config["limits"]["body"].as_integer(), Some(10));
    assert_eq!(config["limits"]["ratio"].as_float(), Some(0.5));
    assert_eq!(config["source"][0]["id"].as_str(), Some("a"));
}

#[test]
fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_known_one() {
    assert_eq!(
        complaints("sorce = []\n[[step]]\nsend = { path = \"/a\",\n jsn = 1 }"),
        [
            "1:1: unknown key \"sorce\" in a scenario; did you mean \"source\"?",
            "4:2: unknown key \"jsn\" in a send; did you mean \"json\"?",
        ]
    );
    assert_eq!(
        complaints("[[step]]\nget = \"/\"\nexpct = {}"),
        ["3:1: unknown key \"expct\" in a \"get\" step; did you mean \"expect\"?"]
    );
    assert!(complaints("[[step]]\nget = \"/\"\nexpect = { stats = 1 }")[0].contains("\"status\""));
}

#[test]
fn what_a_step_cannot_be_is_told_by_line() {
    for (text, told) in [
        ("name = 1", "1:1: expected at least one [[step]]"),
        ("[[step]]\nget = \"/\"\nadvance = \"1s\"", "1:1: expected exactly one of send, get"),
        ("[[step]]\nrestart = \"soft\"", "2:11: expected \"kill\" or \"graceful\", found a text"),
        ("[[step]]\nadvance = \"soon\"", "2:11: expected a span such as"),
        ("[[step]]\nget = \"/\"\nwithin = 5", "3:10: expected a span such as"),
        ("[[step]]\nget = \"api\"", "2:7: expected a path, which begins with \"/\""),
        ("[[step]]\nsend = {}", "2:8: the key \"path\" is missing"),
        ("[[step]]\nsend = { path = \"/\", json = 1, text = \"\" }", "expected one body"),
        ("[[step]]\nsend = { path = \"/\", sign = \"s\" }", "signing comes with sender presets"),
        ("[[step]]\nget = \"/\"\nsave = { a = \"id\" }", "3:14: expected a JSON pointer"),
        ("[[step]]\nget = \"/\"\nexpect = { status = 1000 }", "from 100 to 599, found a number"),
        ("[[step]]\nget = \"/\"\nexpect = { body = nan }", "3:19: expected a number that JSON"),
        ("[[step]]\nadvance = \"1s\"\nexpect = {}", "unknown key \"expect\""),
        ("[[step]", "1:8: "),
    ] {
        let all = complaints(text);
        assert!(all.iter().any(|one| one.contains(told)), "{text}\nwanted {told}\ngot {all:?}");
    }
}

#[test]
fn a_variable_must_be_saved_by_an_earlier_step() {
    let text = "[[step]]\nget = \"/${a}\"\nsave = { a = \"/id\" }\n[[step]]\nget = \"/${a}\"";
    assert_eq!(complaints(text).len(), 1);
    assert!(complaints(text)[0].contains("${a} is not saved by an earlier step"));
    let config = "source = [ { id = \"${x}\" } ]\n[[step]]\nget = \"/${receiver}\"";
    assert!(complaints(config)[0].starts_with("1:10: ${x} is not saved"));
}

#[test]
fn header_names_of_an_expectation_are_lower_cased() {
    let scenario =
        read_text("[[step]]\nget = \"/\"\nexpect = { headers = { Retry-After = \"$any\" } }");
    let headers = scenario.unwrap().steps.remove(0).expect.headers;
    assert_eq!(headers, Some(json!({"retry-after": "$any"})));
}
