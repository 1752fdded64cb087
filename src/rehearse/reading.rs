//! From a TOML file to a [`Scenario`], checked without running anything: every complaint has its line.

use super::document::{Node, Problem, Problems};
use super::scenario::{
    Action, Body, Call, Expect, ReceiverRule, Restart, Scenario, ScenarioErrors, Send, Step, plain,
};
use super::variables::{RECEIVER, names_in};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The tables that are passed on to the program's configuration.
const CONFIG_KEYS: [&str; 11] = [
    "source",
    "identification_point",
    "identity",
    "traits",
    "campaign",
    "server",
    "limits",
    "memory",
    "admin",
    "journal",
    "snapshots",
];
const ACTIONS: [&str; 8] =
    ["send", "get", "call", "restart", "advance", "shuffle", "receiver", "deliveries"];
const SEND_KEYS: [&str; 10] =
    ["path", "method", "json", "form", "text", "file", "query", "headers", "repeat", "sign"];

/// Reads and checks a scenario file.
///
/// # Errors
/// With everything that is wrong with it, by line: unreadable, not TOML, unknown keys, wrong types,
/// variables that no earlier step saves.
pub fn read(file: &Path) -> Result<Scenario, ScenarioErrors> {
    let errors = |problems| ScenarioErrors { file: file.to_owned(), problems };
    let text = std::fs::read_to_string(file).map_err(|error| {
        errors(vec![Problem { line: 1, column: 1, message: format!("cannot be read: {error}") }])
    })?;
    parse(file, &text).map_err(errors)
}

fn parse(file: &Path, text: &str) -> Result<Scenario, Vec<Problem>> {
    let mut problems = Problems::new(text);
    let scenario = problems.parse().map(|document| {
        let root = document.get_ref();
        let mut known = vec!["name", "step"];
        known.extend(CONFIG_KEYS);
        problems.refuse_unknown_keys(root, "a scenario", &known);
        let name = match root.get("name") {
            Some(node) => problems.text(node, "a sentence that says what is proved"),
            None => None,
        };
        let name = name.unwrap_or_else(|| {
            file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        });
        let config = config(root, &mut problems);
        let steps = steps(root, &mut problems);
        Scenario { file: file.to_owned(), name, config, steps }
    });
    let mut found = problems.found;
    found.sort_by_key(|problem| (problem.line, problem.column));
    match scenario {
        Some(scenario) if found.is_empty() => Ok(scenario),
        _ => Err(found),
    }
}

fn config(root: &DeTable, problems: &mut Problems) -> toml::Table {
    let mut config = toml::Table::new();
    for (key, node) in root {
        let name = key.get_ref().as_ref();
        if CONFIG_KEYS.contains(&name) {
            refuse_unknown_variables(node, &BTreeSet::from([RECEIVER.to_owned()]), problems);
            config.insert(name.to_owned(), problems.config(node));
        }
    }
    config
}

fn steps<'t>(root: &DeTable<'t>, problems: &mut Problems<'t>) -> Vec<Step> {
    let Some(node) = root.get("step") else {
        problems.add(0..0, "expected at least one [[step]], found none");
        return Vec::new();
    };
    let DeValue::Array(nodes) = node.get_ref() else {
        problems.expected(node, "an array of steps: [[step]] or step = [ { … } ]");
        return Vec::new();
    };
    let mut known = BTreeSet::from([RECEIVER.to_owned()]);
    let mut steps = Vec::new();
    for node in nodes {
        refuse_unknown_variables(node, &known, problems);
        if let Some(step) = step(node, problems) {
            known.extend(step.save.iter().map(|(name, _)| name.clone()));
            steps.push(step);
        }
    }
    steps
}

fn refuse_unknown_variables(node: &Node, known: &BTreeSet<String>, problems: &mut Problems) {
    // Numbers do not matter here, and complaints about them are made where the value is read.
    let value = Problems::new("").json(node);
    let unknown: BTreeSet<_> =
        names_in(&value).into_iter().filter(|name| !known.contains(*name)).collect();
    for name in unknown {
        let all: Vec<_> = known.iter().map(String::as_str).collect();
        let message =
            format!("${{{name}}} is not saved by an earlier step; known are: {}", all.join(", "));
        problems.add(node.span(), message);
    }
}

fn step<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Option<Step> {
    let table = problems.table(node, "a step, which is a table")?;
    let mut actions = table.iter().filter(|(key, _)| ACTIONS.contains(&key.get_ref().as_ref()));
    let (Some((key, value)), None) = (actions.next(), actions.next()) else {
        problems.refuse_unknown_keys(table, "a step", &step_keys(&["expect", "save", "within"]));
        let message = format!("expected exactly one of {} in a step", ACTIONS.join(", "));
        problems.add(node.span(), message);
        return None;
    };
    let name = key.get_ref().as_ref();
    let beside: &[&str] = match name {
        "send" | "shuffle" => &["expect", "save"],
        "get" | "call" => &["expect", "save", "within"],
        "deliveries" => &["save"],
        _ => &[],
    };
    let mut allowed = vec![name];
    allowed.extend(beside);
    problems.refuse_unknown_keys(table, &format!("a \"{name}\" step"), &allowed);
    let line = problems.line(key.span().start);
    let expect = table.get("expect").map(|node| expect(node, problems)).unwrap_or_default();
    let save = table.get("save").map(|node| save(node, problems)).unwrap_or_default();
    let within_ms = table.get("within").and_then(|node| problems.span_ms(node));
    let action = action(name, value, problems)?;
    Some(Step { line, action, expect, save, within_ms })
}

fn step_keys<'k>(beside: &[&'k str]) -> Vec<&'k str> {
    ACTIONS.iter().copied().chain(beside.iter().copied()).collect()
}

fn action<'t>(name: &str, node: &Node<'t>, problems: &mut Problems<'t>) -> Option<Action> {
    Some(match name {
        "send" => Action::Send(send(node, problems)?),
        "get" => Action::Call(Call {
            method: "GET".to_owned(),
            path: path(node, problems)?,
            json: None,
            headers: Map::new(),
        }),
        "call" => Action::Call(call(node, problems)?),
        "restart" => Action::Restart(match node.get_ref().as_str() {
            Some("kill") => Restart::Kill,
            Some("graceful") => Restart::Graceful,
            _ => {
                problems.expected(node, "\"kill\" or \"graceful\"");
                return None;
            }
        }),
        "advance" => Action::Advance(problems.span_ms(node)?),
        "shuffle" => shuffle(node, problems)?,
        "receiver" => Action::Receiver(receiver(node, problems)?),
        _ => {
            if node.get_ref().as_array().is_none() {
                problems.expected(node, "an array of deliveries");
            }
            Action::Deliveries(problems.json(node))
        }
    })
}

fn send<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Option<Send> {
    let table = problems.table(node, "a request: { path, … }")?;
    problems.refuse_unknown_keys(table, "a send", &SEND_KEYS);
    if let Some(sign) = table.get("sign") {
        problems.add(sign.span(), "signing comes with sender presets, which are not there yet");
    }
    let bodies: Vec<_> = ["json", "form", "text", "file"]
        .into_iter()
        .filter_map(|kind| Some((kind, table.get(kind)?)))
        .collect();
    if let [_, (second, extra), ..] = bodies.as_slice() {
        problems.add(extra.span(), format!("expected one body, found \"{second}\" as well"));
    }
    let body = match bodies.first() {
        None => Body::Empty,
        Some(("json", node)) => Body::Json(problems.json(node)),
        Some(("form", node)) => {
            problems.table(node, "a table of form fields")?;
            Body::Form(problems.json(node))
        }
        Some(("text", node)) => Body::Text(problems.text(node, "a text")?),
        Some((_, node)) => Body::File(problems.text(node, "a file name")?.into()),
    };
    let query = match table.get("query") {
        Some(node) => {
            problems.table(node, "a table of parameters")?;
            problems.json(node)
        }
        None => Value::Null,
    };
    let repeat = table.get("repeat").map(|node| problems.integer(node, "a count", 1..=1_000_000));
    Some(Send {
        path: required(table, "path", node, problems).and_then(|node| path(node, problems))?,
        method: method(table, "POST", problems),
        body,
        query,
        headers: headers(table, problems),
        repeat: repeat.flatten().unwrap_or(1),
    })
}

fn call<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Option<Call> {
    let table = problems.table(node, "a call: { method, path, json, headers }")?;
    problems.refuse_unknown_keys(table, "a call", &["method", "path", "json", "headers"]);
    Some(Call {
        method: method(table, "GET", problems),
        path: required(table, "path", node, problems).and_then(|node| path(node, problems))?,
        json: table.get("json").map(|node| problems.json(node)),
        headers: headers(table, problems),
    })
}

fn shuffle<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Option<Action> {
    let table = problems.table(node, "a shuffle: { permutations, sends }")?;
    problems.refuse_unknown_keys(table, "a shuffle", &["permutations", "sends"]);
    let permutations = required(table, "permutations", node, problems)
        .and_then(|node| problems.integer(node, "a count of orders", 2..=1_000))?;
    let nodes = required(table, "sends", node, problems)?;
    let Some(nodes) = nodes.get_ref().as_array() else {
        problems.expected(nodes, "an array of sends");
        return None;
    };
    let sends = nodes.iter().filter_map(|node| send(node, problems)).collect();
    Some(Action::Shuffle { permutations, sends })
}

fn receiver<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Option<ReceiverRule> {
    let table = problems.table(node, "how to answer: { status, delay, headers, path }")?;
    problems.refuse_unknown_keys(table, "a receiver", &["status", "delay", "headers", "path"]);
    let texts = headers(table, problems).into_iter();
    Some(ReceiverRule {
        status: table.get("status").and_then(|node| status(node, problems)).unwrap_or(200),
        delay_ms: table.get("delay").and_then(|node| problems.span_ms(node)).unwrap_or(0),
        headers: texts.map(|(name, value)| (name, plain(&value))).collect(),
        path: table.get("path").and_then(|node| path(node, problems)),
    })
}

fn expect<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Expect {
    let Some(table) = problems.table(node, "an expectation: { status, headers, body }") else {
        return Expect::default();
    };
    problems.refuse_unknown_keys(table, "an expectation", &["status", "headers", "body"]);
    let lower = |(name, value): (String, Value)| (name.to_ascii_lowercase(), value);
    let headers = |node| {
        let members = problems.table(node, "a table of headers")?;
        Some(Value::Object(problems.json_object(members).into_iter().map(lower).collect()))
    };
    let headers = table.get("headers").and_then(headers);
    Expect {
        status: table.get("status").and_then(|node| status(node, problems)),
        headers,
        body: table.get("body").map(|node| problems.json(node)),
    }
}

fn save<'t>(node: &Node<'t>, problems: &mut Problems<'t>) -> Vec<(String, String)> {
    let Some(table) = problems.table(node, "names to save: { name = \"/json/pointer\" }") else {
        return Vec::new();
    };
    let mut save = Vec::new();
    for (key, node) in table {
        let pointer = problems.text(node, "a JSON pointer").unwrap_or_default();
        if !pointer.is_empty() && !pointer.starts_with('/') {
            problems.expected(node, "a JSON pointer, which begins with \"/\"");
        }
        save.push((key.get_ref().to_string(), pointer));
    }
    save
}

fn required<'n, 't>(
    table: &'n DeTable<'t>,
    key: &str,
    whole: &Node<'t>,
    problems: &mut Problems<'t>,
) -> Option<&'n Node<'t>> {
    let node = table.get(key);
    if node.is_none() {
        problems.add(whole.span(), format!("the key \"{key}\" is missing"));
    }
    node
}

fn path(node: &Node, problems: &mut Problems) -> Option<String> {
    let path = problems.text(node, "a path")?;
    if !path.starts_with('/') && !path.starts_with("${") {
        problems.expected(node, "a path, which begins with \"/\"");
    }
    Some(path)
}

fn method(table: &DeTable, default: &str, problems: &mut Problems) -> String {
    let given = table.get("method").and_then(|node| problems.text(node, "an HTTP method"));
    given.unwrap_or_else(|| default.to_owned())
}

fn headers<'t>(table: &DeTable<'t>, problems: &mut Problems<'t>) -> Map<String, Value> {
    let Some(node) = table.get("headers") else { return Map::new() };
    let members = problems.table(node, "a table of headers");
    members.map(|members| problems.json_object(members)).unwrap_or_default()
}

fn status(node: &Node, problems: &mut Problems) -> Option<u16> {
    let status = problems.integer(node, "an HTTP status", 100..=599)?;
    u16::try_from(status).ok()
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
