//! Scenarios that must fail, and must say why: who tests rules has to trust the runner.
//!
//! Played against a small stand-in for the program: this very binary, started as `serve`. That is
//! why it has a `main` of its own (`harness = false`).
#![allow(clippy::unwrap_used, reason = "all of it is a test, though none of it is a `#[test]`")]

#[path = "rehearse_fails/stand_in.rs"]
mod stand_in;

use selfsame::rehearse::{Options, Summary, rehearse};

/// A name, a scenario, and what its report must say; nothing, when it must hold.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "what_holds_passes",
        r#"
        send = { path = "/collect/echo/s?q=%20a", json = { n = 9007199254740993, t = "x" }, headers = { X-A = "1" }, repeat = 3 }
        expect = { status = 200, headers = { X-Stand-In = "$any", nope = "$absent" }, body = { n = 3, json = { n = 9007199254740993 }, path = "/collect/echo/s?q=%20a", headers = { x-a = "1", content-type = "application/json" } } }
        save = { n = "/n", t = "/json/t" }
        [[step]]
        send = { method = "PUT", path = "/collect/${t}/s", form = { a = { b = ["1", "2"] } }, query = { n = "${n}" } }
        expect = { body = { method = "PUT", path = "/collect/x/s?n=3", text = "a%5Bb%5D=1&a%5Bb%5D=2" } }
        [[step]]
        get = "/api/v1/echo"
        expect = { body = { headers = { authorization = "Bearer s3cret" } } }
        [[step]]
        call = { path = "/api/v1/echo", headers = { authorization = "Basic x" } }
        expect = { body = { headers = { authorization = "Basic x" }, json = "$absent" } }
        [[step]]
        get = "/api/v1/counted"
        within = "5s"
        expect = { body = { n = 3 } }
        [[step]]
        get = "/missing"
        expect = { status = 404, body = "$contains:no such" }
        "#,
        &[],
    ),
    (
        "a_wrong_value_a_missing_key_and_a_wrong_status_are_told_together",
        r#"
        send = { path = "/collect/echo/s", json = { a = 1, l = [1, 2] } }
        expect = { status = 201, headers = { x-stand-in = "no" }, body = { json = { a = 2, b = "$any", l = [1] }, n = "$absent" } }
        save = { gone = "/json/gone" }
        "#,
        &[
            "step 1, line 7: POST /collect/echo/s",
            "status              201",
            "headers/x-stand-in  \"no\"",
            "body/json/a         2 ",
            "body/json/b         \"$any\"",
            "body/json/l         1 element: [1]",
            "2 elements: [1,2]",
            "body/n              \"$absent\"",
            "body/json/gone      something to save as \"gone\"",
            "answer: 200 {",
        ],
    ),
    (
        "without_a_status_400_and_more_fail",
        "get = \"/missing\"",
        &["status  any under 400  404", "answer: 404 no such path"],
    ),
    (
        "any_does_not_take_null",
        "get = \"/api/v1/echo\"\nexpect = { body = { null = \"$any\" } }",
        &["body/null  \"$any\"    null"],
    ),
    (
        "within_gives_up_in_the_end",
        "get = \"/api/v1/echo\"\nwithin = \"200ms\"\nexpect = { body = { method = \"POST\" } }",
        &["body/method  \"POST\"    \"GET\""],
    ),
    (
        "deliveries_are_compared_exactly_and_in_order",
        r#"
        receiver = { status = 503, path = "/b" }
        [[step]]
        send = { path = "/collect/hook/s", json = { url = "${receiver}/a?x=1", body = { k = 1 } } }
        expect = { body = { hook = 200 } }
        [[step]]
        send = { path = "/collect/hook/s", json = { url = "${receiver}/b", body = { k = 2 } } }
        expect = { body = { hook = 503 } }
        [[step]]
        deliveries = [ { method = "POST", path = "/a?x=1", json = { k = 1 }, headers = { Content-Type = "application/json" } }, { path = "/b", body = "{\"k\":2}" } ]
        save = { k = "/1/json/k" }
        [[step]]
        deliveries = []
        [[step]]
        send = { path = "/collect/hook/s", json = { url = "${receiver}/c", body = "${k}" } }
        [[step]]
        deliveries = []
        [[step]]
        send = { path = "/collect/hook/s", json = { url = "${receiver}/d", body = 1 }, repeat = 2 }
        [[step]]
        deliveries = [ { path = "/d" } ]
        "#,
        &[
            "step 7, line 22: deliveries",
            "0 elements: []",
            "1 element: [{\"body\":\"2\"",
            "step 9, line 26: deliveries",
            "2 elements: [{",
        ],
    ),
    (
        "missing_deliveries_are_told_after_their_time",
        "deliveries = [ { path = \"/x\" } ]",
        &["deliveries  1 element: [{\"path\":\"/x\"}]  0 elements: []"],
    ),
    (
        "a_digest_that_hangs_on_the_order_is_found",
        r#"
        shuffle = { permutations = 2, sends = [ { path = "/collect/a/s" }, { path = "/collect/b/s" } ] }
        expect = { body = { events = 3 } }
        "#,
        &[
            "step 1, line 7: shuffle of 2 sends",
            "body/events  3",
            "as in the order 1 2",
            "in the order 2 1",
        ],
    ),
    (
        "a_shuffle_whose_sends_are_refused_fails",
        "shuffle = { permutations = 2, sends = [ { path = \"/collect/refuse/s\" } ] }",
        &["send 1 of the order 1 status  any under 400  400"],
    ),
    (
        "a_fresh_engine_that_ends_in_a_shuffle_is_told_with_its_last_words",
        "shuffle = { permutations = 2, sends = [ { path = \"/collect/die/s\" } ] }",
        &["shuffle of 1 sends", "was not answered", "| dying, as asked"],
    ),
    (
        "the_clock_and_the_data_survive_both_restarts",
        r#"
        send = { path = "/collect/a/s" }
        [[step]]
        advance = "2h"
        [[step]]
        restart = "kill"
        [[step]]
        advance = "1h"
        [[step]]
        restart = "graceful"
        [[step]]
        send = { path = "/collect/a/s" }
        expect = { body = { n = 2, offset_ms = 10800000 } }
        "#,
        &[],
    ),
    (
        "a_stop_that_is_not_graceful_fails",
        "send = { path = \"/collect/stubborn/s\" }\n[[step]]\nrestart = \"graceful\"",
        &["expected a graceful stop to exit with 0, found exit status: 3"],
    ),
    (
        "an_engine_that_ends_by_itself_is_told_with_its_last_words",
        "send = { path = \"/collect/die/s\" }\n[[step]]\nget = \"/\"",
        &["POST /collect/die/s", "was not answered", "| dying, as asked"],
    ),
    (
        "a_configuration_that_is_refused_is_told_with_its_last_words",
        "get = \"/\"\n[limits]\nnonsense = 1",
        &["starting the engine", "ended by itself (exit status: 78)", "| nonsense in the config"],
    ),
    (
        "a_file_that_is_no_scenario_is_told_by_line",
        "send = { path = \"/\", jsn = 1 }",
        &["is no scenario", ".toml:6:22: unknown key \"jsn\" in a send; did you mean \"json\"?"],
    ),
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return stand_in::serve();
    }
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<_> = CASES
        .iter()
        .filter(|(name, ..)| wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())))
        .collect();
    let files: Vec<_> = cases
        .iter()
        .map(|(name, steps, _)| {
            let file = folder.path().join(format!("{name}.toml"));
            let head = format!(
                "name = {name:?}\nadmin = {{ token = \"s3cret\", address = \"127.0.0.1:7\" }}\n\
                 server = {{ address = \"127.0.0.1:7\", allow_networks = [] }}\n\n[[step]]\n"
            );
            std::fs::write(&file, head + steps).unwrap();
            file
        })
        .collect();
    let mut options = Options::new(std::env::current_exe().unwrap());
    options.jobs = 4;
    let summary = rehearse(&files, &options);
    let wrong = cases.iter().zip(summary.reports).filter(|((name, _, told), report)| {
        let one = Summary { reports: vec![report.clone()] };
        let text = one.to_string();
        let missing: Vec<_> = told.iter().filter(|part| !text.contains(**part)).collect();
        let holds = told.is_empty() == report.passed() && missing.is_empty();
        println!("test {name} ... {}", if holds { "ok" } else { "FAILED" });
        if !holds {
            println!("not told: {missing:?}, in:\n{text}");
        }
        !holds
    });
    assert_eq!(wrong.count(), 0, "some reports were not as they must be");
}
