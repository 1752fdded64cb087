//! From what a step says to the request that is made, variables put in.

use super::client::Request;
use super::scenario::{Body, Call, Scenario, Send, plain};
use super::variables::{UnknownVariable, Variables};
use serde_json::{Map, Value};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a request could not be put together.
#[derive(Debug, Error)]
pub enum RequestError {
    /// A variable was not saved, perhaps because its step failed.
    #[error(transparent)]
    Variable(#[from] UnknownVariable),
    /// The file of a body could not be read.
    #[error("the body {} cannot be read: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The request of a `send`; its `url` is a path with its query.
///
/// # Errors
/// When a variable or the body's file is not there.
pub fn of_send(
    send: &Send,
    scenario: &Scenario,
    variables: &Variables,
) -> Result<Request, RequestError> {
    let mut url = variables.text(&send.path)?;
    let query = encoded(&variables.value(&send.query)?);
    if !query.is_empty() {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&query);
    }
    let (kind, body) = match &send.body {
        Body::Empty => (None, None),
        Body::Json(value) => (Some("application/json"), Some(json(value, variables)?)),
        Body::Form(value) => {
            let form = encoded(&variables.value(value)?);
            (Some("application/x-www-form-urlencoded"), Some(form.into_bytes()))
        }
        Body::Text(text) => (Some("text/plain"), Some(variables.text(text)?.into_bytes())),
        Body::File(file) => {
            let folder = scenario.file.parent().unwrap_or_else(|| "".as_ref());
            let file = folder.join(file);
            let bytes = std::fs::read(&file);
            let is_json = file.extension().is_some_and(|extension| extension == "json");
            let kind = if is_json { "application/json" } else { "application/octet-stream" };
            (Some(kind), Some(bytes.map_err(|source| RequestError::File { file, source })?))
        }
    };
    let mut headers = headers(&send.headers, variables)?;
    default_header(&mut headers, "content-type", kind);
    Ok(Request { method: send.method.clone(), url, headers, body })
}

/// The request of a `call` or `get`, with the admin token unless its headers say otherwise.
///
/// # Errors
/// When a variable is not there.
pub fn of_call(
    call: &Call,
    token: Option<&str>,
    variables: &Variables,
) -> Result<Request, RequestError> {
    let body = call.json.as_ref().map(|value| json(value, variables)).transpose()?;
    let mut headers = headers(&call.headers, variables)?;
    default_header(&mut headers, "content-type", body.as_ref().map(|_| "application/json"));
    let bearer = token.map(|token| format!("Bearer {token}"));
    default_header(&mut headers, "authorization", bearer.as_deref());
    Ok(Request { method: call.method.clone(), url: variables.text(&call.path)?, headers, body })
}

fn json(value: &Value, variables: &Variables) -> Result<Vec<u8>, UnknownVariable> {
    Ok(variables.value(value)?.to_string().into_bytes())
}

fn headers(
    named: &Map<String, Value>,
    variables: &Variables,
) -> Result<Vec<(String, String)>, UnknownVariable> {
    named.iter().map(|(name, value)| Ok((name.clone(), variables.text(&plain(value))?))).collect()
}

fn default_header(headers: &mut Vec<(String, String)>, name: &str, value: Option<&str>) {
    let is_set = headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if let Some(value) = value.filter(|_| !is_set) {
        headers.push((name.to_owned(), value.to_owned()));
    }
}

/// An object as `application/x-www-form-urlencoded`: `a[b]=…` for objects within, a repeated key
/// for the elements of an array.
fn encoded(value: &Value) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    append("", value, &mut pairs);
    pairs.finish()
}

fn append(name: &str, value: &Value, pairs: &mut form_urlencoded::Serializer<'_, String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let inner = if name.is_empty() { key.clone() } else { format!("{name}[{key}]") };
                append(&inner, member, pairs);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|e| append(name, e, pairs)),
        // The whole of an absent query.
        Value::Null if name.is_empty() => {}
        leaf => drop(pairs.append_pair(name, &plain(leaf))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms_nest_by_brackets_and_repeat_keys() {
        let form = json!({"a": {"b": {"c": "x y"}}, "t": ["1", 2], "e": "&="});
        assert_eq!(encoded(&form), "a%5Bb%5D%5Bc%5D=x+y&e=%26%3D&t=1&t=2");
        assert_eq!(encoded(&Value::Null), "");
    }

    #[test]
    fn the_token_goes_along_unless_the_headers_say_otherwise() {
        let mut call =
            Call { method: "GET".into(), path: "/x".into(), json: None, headers: Map::new() };
        let variables = Variables::default();
        let sent = of_call(&call, Some("t"), &variables).unwrap();
        assert_eq!(sent.headers, [("authorization".to_owned(), "Bearer t".to_owned())]);
        call.headers.insert("Authorization".into(), "Basic x".into());
        let sent = of_call(&call, Some("t"), &variables).unwrap();
        assert_eq!(sent.headers, [("Authorization".to_owned(), "Basic x".to_owned())]);
    }
}
