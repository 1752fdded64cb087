//! The document that the program serves and the routes that it has are the same.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod program;

use program::{Program, request};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// The documented methods of each path.
fn documented(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, methods)| {
            (path.clone(), methods.as_object().unwrap().keys().cloned().collect())
        })
        .collect()
}

/// The methods of each path as the route table says in its own text: what is installed there and
/// listed nowhere would otherwise go unseen.
fn installed() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/routes.rs"));
    let text = text.unwrap();
    let mut found = BTreeMap::new();
    for part in text.split("resource(\"").skip(1) {
        let (path, rest) = part.split_once('"').unwrap();
        let rest = rest.split("fn ").next().unwrap();
        let methods: BTreeSet<String> = METHODS
            .into_iter()
            .filter(|method| rest.contains(&format!("{method}().to(")))
            .map(str::to_owned)
            .collect();
        let is_open = ["/livez", "/readyz", "/metrics", "/openapi.json"].contains(&path);
        let path = if is_open { path.to_owned() } else { format!("/api/v1{path}") };
        found.insert(path, methods);
    }
    found
}

#[test]
fn every_route_is_documented_and_every_documented_one_is_there() {
    let program = Program::start(&["--ephemeral"]);
    let document = request("GET", &format!("{}/openapi.json", program.base), &[], "").body;
    let documented = documented(&document);
    let mut admin = documented.clone();
    admin.retain(|path, _| !path.starts_with("/collect/"));
    assert_eq!(admin, installed());
    for (path, methods) in &documented {
        let url = format!("{}{}", program.base, path.replace(['{', '}'], ""));
        for method in METHODS {
            let answer = request(&method.to_uppercase(), &url, &[], "");
            if methods.contains(method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                let detail = answer.body["detail"].as_str().unwrap_or_default();
                assert!(!detail.contains("page"), "{method} {path}: {detail}");
            } else {
                assert!([404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
                let allowed = answer.allow.split(", ").filter(|one| !one.is_empty());
                let allowed: BTreeSet<String> = allowed.map(str::to_lowercase).collect();
                // A source that does not exist has no methods to tell of.
                assert!(answer.status == 404 || allowed == *methods, "{method} {path}");
            }
        }
    }
    let nowhere = request("GET", &format!("{}/api/v1/nowhere", program.base), &[], "");
    assert!(nowhere.body["detail"].as_str().unwrap().contains("page"));
}
