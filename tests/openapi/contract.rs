//! The document as a judge: whether an answer is one that it names for that operation and status,
//! and whether a body that was accepted is one that it lets in.

use crate::program::Answer;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The document, and what was seen of it.
pub struct Contract {
    document: Value,
    /// The same, but with every object that lists its members closed: a member that the document
    /// does not name is then a mistake.
    closed: Value,
    /// Operations and statuses, as `get /livez 200`.
    pub seen: BTreeSet<String>,
}

impl Contract {
    /// Takes the document.
    pub fn new(document: Value) -> Self {
        let mut closed = document.clone();
        close(&mut closed["components"]["schemas"]);
        Self { document, closed, seen: BTreeSet::new() }
    }

    /// Every documented 2xx answer, as `get /livez 200`.
    pub fn successes(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let statuses = operation["responses"].as_object().unwrap().keys();
                let good = statuses.filter(|status| status.starts_with('2'));
                all.extend(good.map(|status| format!("{method} {path} {status}")));
            }
        }
        all
    }

    /// Method and path of every operation that takes a JSON body of a schema of its own.
    pub fn bodies(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation["requestBody"]["content"]["application/json"].is_object() {
                    all.push((method.to_uppercase(), path.clone()));
                }
            }
        }
        all
    }

    /// Judges an exchange; `target` is path and query.
    pub fn judge(&mut self, method: &str, target: &str, sent: &str, answer: &Answer) {
        let method = method.to_lowercase();
        let path = self.operation(target.split('?').next().unwrap());
        let place = format!("{method} {path} {}", answer.status);
        let what = format!("{place} (asked for {target}): {}", answer.body);
        let operation = &self.document["paths"][&path][&method];
        let named = &operation["responses"][answer.status.to_string()];
        assert!(named.is_object(), "not documented: {what}");
        let named = self.resolved(named);
        self.headers(named, answer, &what);
        match named.get("content") {
            None => assert!(answer.body.is_null(), "no body is documented: {what}"),
            Some(content) => self.content(content, answer, &what),
        }
        let takes = &self.resolved(&operation["requestBody"])["content"]["application/json"];
        if answer.status < 300
            && let (Some(schema), Ok(sent)) = (takes.get("schema"), serde_json::from_str(sent))
        {
            check(&self.document, schema, &sent, &format!("accepted by {what}"));
        }
        self.seen.insert(place);
    }

    /// The documented path that a path is of: of those that fit, the one with the most words.
    fn operation(&self, path: &str) -> String {
        let fits = |documented: &&String| {
            let (ours, theirs) = (path.split('/'), documented.split('/'));
            ours.clone().count() == theirs.clone().count()
                && ours.zip(theirs).all(|(our, their)| our == their || their.starts_with('{'))
        };
        let all = self.document["paths"].as_object().unwrap().keys().filter(fits);
        let best = all.min_by_key(|documented| documented.matches('{').count());
        best.unwrap_or_else(|| panic!("no such path: {path}")).clone()
    }

    fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    fn headers(&self, named: &Value, answer: &Answer, what: &str) {
        for (name, header) in named["headers"].as_object().into_iter().flatten() {
            let header = self.resolved(header);
            let found = answer.headers.get(name).map(|value| value.to_str().unwrap());
            let Some(found) = found else {
                assert_ne!(header["required"], true, "without {name}: {what}");
                continue;
            };
            let found = found.parse::<i64>().map_or_else(|_| json!(found), |number| json!(number));
            check(&self.document, &header["schema"], &found, &format!("{name} of {what}"));
        }
    }

    fn content(&self, content: &Value, answer: &Answer, what: &str) {
        let kind = answer.headers["content-type"].to_str().unwrap();
        let kind = kind.split(';').next().unwrap();
        let named = content.get(kind);
        let named = named.unwrap_or_else(|| panic!("{kind} is not documented: {what}"));
        if kind.ends_with("json") {
            check(&self.closed, &named["schema"], &answer.body, what);
        }
    }
}

/// Checks a value against a schema of the document.
fn check(document: &Value, schema: &Value, value: &Value, what: &str) {
    let whole = json!({ "allOf": [schema], "components": { "schemas": document["components"]["schemas"] } });
    let options = jsonschema::options().should_validate_formats(true);
    let validator: Validator =
        options.build(&whole).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|wrong| format!("{}: {wrong}", wrong.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{what}\n{}", wrong.join("\n"));
}

/// Closes every object that lists its members and says nothing about others.
fn close(schema: &mut Value) {
    if let Value::Object(members) = schema {
        let kind = members.get("type");
        let is_object =
            kind.is_some_and(|kind| kind == "object" || *kind == json!(["object", "null"]));
        if is_object && members.get("properties").is_some_and(Value::is_object) {
            members.entry("additionalProperties").or_insert(json!(false));
        }
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(close),
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
