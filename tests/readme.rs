//! Plays the five minutes of the README against the real program: each `curl` line, and that its
//! answer is the one shown below it.
//!
//! An answer shown is a part of the real one: objects by the keys that are shown, arrays element by
//! element, `"…"` for anything.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod program;

use program::{Program, request};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const README: &str = include_str!("../README.md");
/// Where the README says that the program listens.
const SHOWN_ADDRESS: &str = "localhost:7676";

/// Where the README says that the receiver of webhooks listens.
const SHOWN_RECEIVER: &str = "127.0.0.1:7700";

/// The fenced blocks of a section, in order: language and text.
fn blocks(title: &str) -> Vec<(String, String)> {
    let is_it = |part: &&str| part.lines().next() == Some(title);
    let section = README.split("\n## ").find(is_it).unwrap();
    let mut blocks = Vec::new();
    for (number, part) in section.split("```").enumerate() {
        if number % 2 == 1 {
            let (language, text) = part.split_once('\n').unwrap();
            blocks.push((language.to_owned(), text.to_owned()));
        }
    }
    blocks
}

/// The words of a command, as a shell would see them; single quotes are all that is needed.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in command.replace("\\\n", " ").split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Runs a `curl` line against the program.
fn curl(program: &Program, command: &str) -> (u16, Value) {
    let mut words = words(command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"), "{command}");
    let (mut url, mut body, mut headers) = (String::new(), String::new(), Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                headers.push((name.to_owned(), value.to_owned()));
            }
            "--json" => {
                body = words.next().unwrap();
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            word => {
                let path = word.strip_prefix(SHOWN_ADDRESS);
                let path = path.unwrap_or_else(|| panic!("{word} is not known to this test"));
                url = format!("{}{path}", program.base);
            }
        }
    }
    let method = if body.is_empty() { "GET" } else { "POST" };
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = request(method, &url, &headers, &body);
    (answer.status, answer.body)
}

/// What of `shown` is not in `found`.
fn missing(at: &str, shown: &Value, found: &Value) -> Vec<String> {
    match (shown, found) {
        (Value::String(text), found) if text == "…" && !found.is_null() => Vec::new(),
        (Value::Object(shown), Value::Object(found)) => shown
            .iter()
            .flat_map(|(key, value)| {
                missing(&format!("{at}/{key}"), value, found.get(key).unwrap_or(&Value::Null))
            })
            .collect(),
        (Value::Array(shown), Value::Array(found)) if shown.len() == found.len() => shown
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(number, (shown, found))| missing(&format!("{at}/{number}"), shown, found))
            .collect(),
        (shown, found) if shown == found => Vec::new(),
        (shown, found) => vec![format!("{at}: the README shows {shown}, the program says {found}")],
    }
}

#[test]
fn the_five_minutes_of_the_readme_are_true() {
    let program = Program::start(&["--ephemeral", "--config", "config/examples"]);
    let mut played = 0;
    let mut answer = Value::Null;
    for (language, text) in blocks("Five minutes") {
        match language.as_str() {
            "sh" if text.starts_with("curl") => {
                let (status, body) = curl(&program, &text);
                assert_eq!(status, 200, "{text}\n{body}");
                answer = body;
                played += 1;
            }
            "json" => {
                let shown: Value = serde_json::from_str(&text).unwrap();
                let missing = missing("", &shown, &answer);
                assert!(missing.is_empty(), "{}\n{answer}", missing.join("\n"));
            }
            _ => assert!(text.starts_with("cargo run"), "{text}"),
        }
    }
    assert_eq!(played, 5);
    program.stop();
}

/// `selfsame receiver` on a free port: it, its address, and the lines that it prints.
fn receiver() -> (Child, String, impl Iterator<Item = String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_selfsame"))
        .args(["receiver", "--address", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut greeting).unwrap();
    let (_, address) = greeting.split_once("http://").unwrap();
    let address = address.split(';').next().unwrap().to_owned();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, address, lines)
}

#[test]
fn the_campaign_of_the_readme_runs_against_the_receiver() {
    let (mut child, address, mut lines) = receiver();
    let config = tempfile::Builder::new().prefix("readme-").tempdir().unwrap();
    let blocks = blocks("A campaign in five minutes");
    let toml = blocks.iter().find(|(language, _)| language == "toml").unwrap();
    let toml = toml.1.replace(SHOWN_RECEIVER, &address);
    std::fs::write(config.path().join("hello.toml"), toml).unwrap();
    let folder = config.path().to_str().unwrap();
    let program = Program::start(&["--ephemeral", "--config", folder]);
    let (mut played, mut shown_by) = (0, String::new());
    for (language, text) in blocks {
        match language.as_str() {
            "sh" if text.starts_with("curl") => {
                played += 1;
                shown_by = text;
                if shown_by.contains("/collect/") {
                    assert_eq!(curl(&program, &shown_by).0, 200);
                }
            }
            "json" if shown_by.contains("/collect/") => {
                let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
                let missing = missing("", &serde_json::from_str(&text).unwrap(), &line);
                assert!(missing.is_empty(), "{}\n{line}", missing.join("\n"));
            }
            "json" => {
                // The attempt is in the journal a moment after the receiver has answered.
                let shown: Value = serde_json::from_str(&text).unwrap();
                let deadline = Instant::now() + Duration::from_secs(60);
                loop {
                    let (_, answer) = curl(&program, &shown_by);
                    let missing = missing("", &shown, &answer);
                    if missing.is_empty() {
                        break;
                    }
                    assert!(Instant::now() < deadline, "{}\n{answer}", missing.join("\n"));
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            _ => {}
        }
    }
    assert_eq!(played, 3);
    program.stop();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn every_command_that_the_readme_shows_is_one() {
    let section = README.split("\n## ").find(|part| part.starts_with("Commands\n")).unwrap();
    for line in section.lines().filter(|line| line.starts_with("selfsame ")) {
        let command = line.split('#').next().unwrap();
        let plain = words(command).into_iter().skip(1).filter(|word| !word.contains('['));
        let mut arguments: Vec<String> = plain.filter(|word| !word.contains("…]")).collect();
        arguments.insert(0, "selfsame".to_owned());
        let parsed = <selfsame::cli::Cli as clap::Parser>::try_parse_from(&arguments);
        assert!(parsed.is_ok(), "{line}\n{}", parsed.err().unwrap());
    }
}

/// What follows `[[bench]]` in Cargo.toml, and the parts of each that have a file of their own.
#[test]
fn every_bench_is_in_the_readme_and_every_one_there_is_a_bench() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table =
        std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let mut benches: Vec<String> = Vec::new();
    for bench in manifest["bench"].as_array().unwrap() {
        let name = bench["name"].as_str().unwrap();
        benches.push(name.to_owned());
        let main = root.join("benches").join(name).join("main.rs");
        let main = std::fs::read_to_string(main).unwrap_or_default();
        // A part has flags of its own, or is one of criterion's.
        for module in main.lines().filter_map(|line| line.strip_prefix("mod ")) {
            let module = module.trim_end_matches(';');
            if main.contains(&format!("{module}::Flags"))
                || main.contains(&format!("{module}::all"))
            {
                benches.push(format!("{name} {module}"));
            }
        }
    }
    let lines = README.lines().filter_map(|line| line.strip_prefix("cargo bench --bench "));
    let mut shown: Vec<String> = lines
        .map(|line| line.split('#').next().unwrap().replace("-- ", "").trim().to_owned())
        .collect();
    shown.push("parts".to_owned()); // alone, it is all of its parts
    benches.sort();
    shown.sort();
    assert_eq!(shown, benches);
}
