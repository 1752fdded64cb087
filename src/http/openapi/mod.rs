//! The OpenAPI document: paths, parameters and sentences are the handlers' own descriptions; what
//! goes in and comes out is in `components.json` and in `table`; what every operation may refuse
//! is added here, once for all of them.

mod table;

use crate::code::Code;
use crate::http::admin::{
    campaigns, changes, events, identity, objects, probe, profiles, secrets, sessions, state,
    stream,
};
use crate::http::{health, tracker};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use table::{BODIES, OPTIONAL, PARAMETERS};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Selfsame",
        description = "Webhooks from any system become one profile per person. Times are RFC 3339 in UTC \
                       with milliseconds; lists are pages of `items`, with `next` for the `cursor` \
                       of the next one."
    ),
    paths(
        deliver::post,
        deliver::get,
        deliver::post_in_session,
        deliver::get_in_session,
        profiles::by_identifier,
        profiles::by_id,
        profiles::events,
        profiles::merges,
        profiles::export,
        identity::unmerge,
        identity::withdraw,
        identity::list_types,
        identity::get_type,
        identity::put_type,
        identity::delete_type,
        identity::list_traits,
        identity::get_trait,
        identity::put_trait,
        identity::delete_trait,
        identity::preview,
        identity::lay,
        identity::links,
        identity::link,
        identity::lift,
        identity::blocked,
        identity::explain,
        identity::reprocess,
        identity::erase,
        identity::erasure,
        identity::allow,
        events::list,
        events::by_id,
        stream::stream,
        sessions::by_id,
        objects::list_sources,
        objects::get_source,
        objects::put_source,
        objects::delete_source,
        objects::source_health,
        probe::probe,
        objects::list_points,
        objects::get_point,
        objects::put_point,
        objects::delete_point,
        campaigns::list,
        campaigns::get,
        campaigns::set,
        campaigns::remove,
        campaigns::runs,
        campaigns::explain,
        campaigns::preview,
        campaigns::test,
        campaigns::backtest,
        campaigns::enable,
        campaigns::deliveries,
        campaigns::delivery,
        campaigns::replay,
        campaigns::replay_all,
        changes::list,
        state::digest,
        state::resolution,
        secrets::list,
        secrets::get,
        secrets::set,
        secrets::remove,
        state::snapshot,
        state::reload,
        health::live,
        health::ready,
        health::metrics,
        health::openapi,
        tracker::script,
    )
)]
struct Document;

/// Descriptions of `/collect`, which is taken apart by hand and so has no handler of its own for
/// each method and path.
mod deliver {
    macro_rules! describe {
        ($name:ident, $method:ident, $path:literal, $sentence:literal $(, $session:literal)?) => {
            #[utoipa::path($method, path = $path, tag = "collect", description = $sentence,
                params(("event_type" = String, Path, description = "What happened"),
                       ("source_id" = String, Path, description = "Who says so")
                       $(, ($session = String, Path, description = "The sender's session"))?),
                responses((status = 200,
                    description = "Durable; another status, type and body where the source's `respond` says so")))]
            #[expect(dead_code, reason = "only its description is used")]
            pub fn $name() {}
        };
    }
    describe!(
        post,
        post,
        "/collect/{event_type}/{source_id}",
        "Delivers an event, or a batch; answers when it is durable and visible"
    );
    describe!(
        get,
        get,
        "/collect/{event_type}/{source_id}",
        "Delivers an event in the query; a HEAD stores nothing"
    );
    describe!(
        post_in_session,
        post,
        "/collect/{event_type}/{source_id}/{session_id}",
        "Delivers an event, or a batch, of a session",
        "session_id"
    );
    describe!(
        get_in_session,
        get,
        "/collect/{event_type}/{source_id}/{session_id}",
        "Delivers an event of a session in the query; a HEAD stores nothing",
        "session_id"
    );
}

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

/// What senders may be refused.
const COLLECT: [u16; 12] = [400, 401, 404, 405, 408, 413, 414, 415, 429, 431, 500, 503];
/// What operators may be refused, whatever they ask.
const ADMIN: [u16; 5] = [401, 403, 421, 500, 503];
/// And when they send a body.
const BODY: [u16; 3] = [400, 413, 415];
/// What is told without a token, and to no web page of another origin.
const OPEN: [&str; 2] = ["/metrics", "/openapi.json"];

fn build() -> Value {
    let mut document = serde_json::to_value(Document::openapi())
        .expect("the description is plain data, and tests build it");
    let mut components: Value = serde_json::from_str(include_str!("components.json"))
        .expect("the file is part of the program, and tests read it");
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    components["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(codes);
    components["responses"] = Value::Object(refusals());
    document["components"] = components;
    for (path, methods) in members(&mut document["paths"]) {
        for (method, operation) in members(methods) {
            complete(operation, method, path);
        }
    }
    document
}

/// The members of an object to change; none of anything else.
fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// An answer for each status that a code has, as [`super::problem`] makes it.
fn refusals() -> Map<String, Value> {
    let mut refusals = Map::new();
    for status in Code::ALL.map(Code::status) {
        let all = || Code::ALL.into_iter().filter(|code| code.status() == status);
        let codes: Vec<&str> = all().map(Code::name).collect();
        let titles: Vec<&str> = all().map(Code::title).collect();
        let mut headers = json!({});
        let named: &[&str] = match status {
            401 => &["WWW-Authenticate"],
            405 => &["Allow"],
            429 | 503 => &["Retry-After"],
            _ => &[],
        };
        for name in named {
            headers[*name] = reference("headers", name);
        }
        let narrowed = json!({ "status": { "const": status }, "code": { "enum": codes } });
        let schema =
            json!({ "allOf": [reference("schemas", "Problem"), { "properties": narrowed }] });
        let refusal = json!({
            "description": titles.join("; "),
            "headers": headers,
            "content": { "application/problem+json": { "schema": schema } },
        });
        refusals.insert(format!("Refused{status}"), refusal);
    }
    refusals
}

fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

/// `Thing`, or a page of things.
fn schema(name: &str) -> Value {
    let Some(item) = name.strip_suffix("[]") else { return reference("schemas", name) };
    json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": { "type": "array", "items": reference("schemas", item) },
            "next": { "type": "string", "description": "The `cursor` of the next page; none on the last" },
        },
    })
}

/// Adds to an operation's own description what follows from where it is and from the table.
fn complete(operation: &mut Value, method: &str, path: &str) {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = [method].into_iter().chain(words).collect();
    operation["operationId"] = json!(words.join("_"));
    let (is_collect, is_admin) = (path.starts_with("/collect/"), path.starts_with("/api/v1/"));
    let has_query = parameters(operation, path);
    let name = format!("{method} {path}");
    let row = BODIES.iter().find(|(operation, ..)| *operation == name);
    let (mut takes, gives) = row.map_or(("", ""), |(_, takes, gives)| (*takes, *gives));
    let mut gives = (!gives.is_empty()).then(|| schema(gives));
    if is_collect {
        gives = Some(schema("CollectAnswer"));
        takes = "";
        if method == "post" {
            operation["requestBody"] = reference("requestBodies", "Delivery");
        }
    }
    if !takes.is_empty() {
        operation["requestBody"] = json!({
            "required": !OPTIONAL.contains(&takes),
            "content": { "application/json": { "schema": schema(takes) } },
        });
    }
    let mut refused: Vec<u16> = Vec::new();
    if is_collect {
        refused.extend(COLLECT);
    }
    if is_admin {
        operation["security"] = json!([{ "bearer": [] }]);
        refused.extend(ADMIN);
        refused.extend(has_query.then_some(400));
        refused.extend(if takes.is_empty() { &[][..] } else { &BODY });
    }
    let is_open = OPEN.contains(&path);
    if is_open {
        refused.extend([403, 415, 421]);
    }
    answers(&mut operation["responses"], gives, &refused, is_collect || is_admin || is_open);
}

/// Gives the parameters their schemas; returns whether there are some in the query.
fn parameters(operation: &mut Value, path: &str) -> bool {
    let mut has_query = false;
    let all = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in all.into_iter().flatten() {
        has_query |= parameter["in"] == "query";
        let name = parameter["name"].as_str().unwrap_or_default();
        let row = PARAMETERS.iter().find(|(from, of, _)| path.starts_with(from) && *of == name);
        parameter["schema"] = row.map_or_else(
            || json!({ "type": "string" }),
            |(.., schema)| reference("schemas", schema),
        );
    }
    has_query
}

/// Says what the answers hold, and adds the refusals that are not described yet.
fn answers(answers: &mut Value, gives: Option<Value>, refused: &[u16], has_problems: bool) {
    for status in refused {
        let status = status.to_string();
        if answers.get(&status).is_none() {
            answers[&status] = json!({});
        }
    }
    for (status, answer) in members(answers) {
        if has_problems && status.starts_with(['4', '5']) {
            answer["$ref"] = json!(format!("#/components/responses/Refused{status}"));
        } else if status != "204"
            && let (Some(schema), None) = (&gives, answer.get("content"))
        {
            answer["content"] = json!({ "application/json": { "schema": schema } });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::ADMIN;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_lists_the_very_routes_that_there_are() {
        let mut listed = BTreeSet::new();
        for (path, methods) in document()["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                listed.insert(format!("{method} {path}"));
            }
        }
        let collect = ["{event_type}/{source_id}", "{event_type}/{source_id}/{session_id}"];
        let mut routes: BTreeSet<String> =
            ADMIN.iter().map(|(method, path)| format!("{method} {path}")).collect();
        for path in collect {
            routes.extend(["get", "post"].map(|method| format!("{method} /collect/{path}")));
        }
        assert_eq!(listed, routes);
    }

    #[test]
    fn the_table_names_only_what_there_is() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for (operation, takes, gives) in BODIES {
            let (method, path) = operation.split_once(' ').unwrap();
            assert!(document["paths"][path][method].is_object(), "{operation}");
            for name in [takes, gives.trim_end_matches("[]")] {
                assert!(name.is_empty() || schemas.contains_key(name), "{operation}: {name}");
            }
        }
        for (.., schema) in PARAMETERS {
            assert!(schemas.contains_key(*schema), "{schema}");
        }
    }

    #[test]
    fn every_answer_says_what_is_in_it() {
        for (path, methods) in document()["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let has_null = operation.as_object().unwrap().values().any(Value::is_null);
                assert!(!has_null, "{method} {path}");
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    let says = answer.get("$ref").is_some() || answer.get("content").is_some();
                    assert!(
                        says || ["204", "304"].contains(&status.as_str()),
                        "{method} {path}: {status}"
                    );
                }
            }
        }
    }
}
