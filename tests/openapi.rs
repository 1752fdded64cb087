//! The document that the program serves and what the program does are the same: routes, answers,
//! refusals, bodies.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "openapi/contract.rs"]
mod contract;
mod program;
#[path = "openapi/world.rs"]
mod world;

use contract::Contract;
use program::{Answer, Program, request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use world::World;

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
        let open = ["/livez", "/readyz", "/metrics", "/openapi.json", "/tracker.js"];
        let is_open = open.contains(&path);
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

/// Ids of what the first part of the story makes.
struct Made {
    event: String,
    loose: String,
    aside: String,
    profile: String,
}

/// What senders deliver, and what they are refused.
fn senders(world: &mut World) -> Made {
    let stored = world.collect(
        200,
        "page-view/slack/s-1",
        r#"{"event_id": "1", "user": {"id": "U1", "email": "Ann@Example.com"}}"#,
    );
    let again = world.collect(200, "page-view/slack/s-1", r#"{"event_id": "1"}"#);
    assert_eq!(again["status"], "duplicate");
    let told = world.collect(
        200,
        "order/shop",
        r#"{"customer": {"id": 77, "email": "ann@example.com"}, "total": 12.5}"#,
    );
    let batch = world.collect(200, "order/shop/s-2", r#"[{"customer": {"id": 78}}, {"a": 1}]"#);
    assert_eq!(batch["events"].as_array().unwrap().len(), 2);
    let loose = world.collect(200, "page-view/slack", r#"{"nobody": true}"#);
    assert_eq!(loose["status"], "profile-less");
    let deep = format!("{}1{}", r#"{"a":"#.repeat(70), "}".repeat(70));
    let aside = world.collect(200, "page-view/slack", &deep);
    assert_eq!(aside["reason"], "too_deep");
    for path in ["/collect/page-view/slack?user[id]=U2", "/collect/page-view/slack/s-3?a=1"] {
        assert_eq!(world.send("GET", path, &[], "").status, 200);
    }
    assert_eq!(world.collect(200, "ping/seldom", "{}")["status"], "dropped");
    world.collect(429, "ping/seldom", "{}");
    world.collect(400, "page-view/slack", "{");
    world.collect(400, "%00/slack", "{}");
    world.collect(404, "page-view/nowhere", "{}");
    world.collect(404, "page-view/off", "{}");
    world.collect(413, "page-view/slack", &format!(r#""{}""#, "x".repeat(65 << 10)));
    world.collect(414, &format!("page-view/slack?a={}", "x".repeat(3 << 10)), "{}");
    let refused = [("content-encoding", "br", 415), ("x-long", &"x".repeat(5 << 10), 431)];
    for (name, value, status) in refused {
        let answer = world.send("POST", "/collect/page-view/slack", &[(name, value)], "{}");
        assert_eq!(answer.status, status);
    }
    assert_eq!(world.send("GET", "/collect/order/shop", &[], "").status, 405);
    let id = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    Made {
        event: id(&stored, "event_id"),
        loose: id(&loose, "event_id"),
        aside: id(&aside, "event_id"),
        profile: id(&told, "profile_id"),
    }
}

/// Everything that only reads, and its refusals.
fn readers(world: &mut World, made: &Made) {
    let Made { event, loose, aside, profile } = made;
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json", "/tracker.js"] {
        assert_eq!(world.send("GET", path, &[], "").status, 200);
    }
    assert_eq!(world.send("GET", "/api/v1/state/digest", &[], "").status, 401);
    assert_eq!(
        world
            .send(
                "GET",
                "/api/v1/events/stream",
                &[("authorization", "Bearer s3cret-of-the-operator")],
                ""
            )
            .status,
        200
    );
    let ann = world.get("/api/v1/profiles?identifier=email:ann@example.com&all=true");
    assert_eq!(ann["id"], json!(profile));
    assert_eq!(ann["stats"]["events"], 2);
    for rest in ["", "/events?limit=1", "/events", "/merges", "/export"] {
        world.get(&format!("/api/v1/profiles/{profile}{rest}"));
        world.expect(404, "GET", &format!("/api/v1/profiles/nobody{rest}"), "");
    }
    for id in [event, loose, aside] {
        assert_eq!(world.get(&format!("/api/v1/events/{id}"))["id"], json!(id));
    }
    world.expect(404, "GET", "/api/v1/events/none", "");
    let page =
        world.get("/api/v1/events?limit=1&source=slack&type=page-view&since=2020-01-01T00:00:00Z");
    let next = page["next"].as_str().unwrap();
    world.get(&format!("/api/v1/events?limit=1&source=slack&type=page-view&cursor={next}"));
    world.get("/api/v1/events?profile=none");
    assert_eq!(world.get("/api/v1/events?status=quarantined")["items"][0]["id"], json!(aside));
    world.get("/api/v1/sessions/s-1");
    world.expect(404, "GET", "/api/v1/sessions/none", "");
    world.get("/api/v1/changes?from=0");
    world.get("/api/v1/state/digest");
    world.get("/api/v1/state/resolution");
    for wrong in [
        "profiles?identifier=ann",
        "profiles?identifier=email:ann@example.com&all=perhaps",
        "events?cursor=odd",
        "events?limit=251",
        "events?profile=some",
        "events?status=odd",
        "events?since=yesterday",
        "changes?from=-1",
        "sources?cursor=odd",
        "deliveries?state=odd",
        "identity/explain?a=email:ann@example.com",
    ] {
        world.expect(400, "GET", &format!("/api/v1/{wrong}"), "");
    }
}

/// What is configured one by one.
fn objects(world: &mut World) {
    for (kind, id, body) in [
        (
            "sources",
            "extra",
            r#"{"id": "extra", "profile_id": ["a", "b"], "dedupe_window": "2d", "tenant": null}"#,
        ),
        ("identification-points", "tax", r#"{"identifiers": [{"type": "tax", "path": "tax"}]}"#),
        (
            "identity/types",
            "device",
            r#"{"priority": 70, "limit": {"values": 3}, "blocked": {"prefix": ["x"]}}"#,
        ),
        ("traits", "visits", r#"{"fold": "max"}"#),
    ] {
        let path = format!("/api/v1/{kind}/{id}");
        world.expect(201, "PUT", &path, body);
        world.expect(200, "PUT", &path, body);
        world.get(&path);
        assert!(!world.get(&format!("/api/v1/{kind}"))["items"].as_array().unwrap().is_empty());
        world.expect(400, "PUT", &path, r#"{"odd": 1}"#);
        world.expect(400, "PUT", &path, "");
        world.expect(204, "DELETE", &path, "");
        world.expect(404, "DELETE", &path, "");
    }
    let (secret, value) = ("/api/v1/secrets/esp-key", r#"{"value": "zx"}"#);
    world.expect(201, "PUT", secret, value);
    world.expect(200, "PUT", secret, value);
    world.expect(400, "PUT", "/api/v1/secrets/-", value);
    world.expect(400, "PUT", secret, r#"{"value": 1}"#);
    assert_eq!(world.get(secret)["used_by"], json!([]));
    assert_eq!(world.get("/api/v1/secrets")["items"][0]["name"], "esp-key");
    let sent = json!({"trigger": {"event_type": "a"},
        "step": [{"webhook": {"url": "https://esp.example/", "sign": "secret:esp-key"}}]});
    world.expect(201, "PUT", "/api/v1/campaigns/signed", &sent.to_string());
    world.expect(409, "DELETE", secret, "");
    world.expect(204, "DELETE", "/api/v1/campaigns/signed", "");
    world.expect(204, "DELETE", secret, "");
    world.expect(404, "DELETE", secret, "");
    world.expect(404, "GET", secret, "");
    for kind in ["sources", "identification-points"] {
        let own = if kind == "sources" { "slack" } else { "email" };
        let body = r#"{"id": 5, "identifiers": []}"#;
        world.expect(400, "PUT", &format!("/api/v1/{kind}/extra"), body);
        world.expect(409, "PUT", &format!("/api/v1/{kind}/{own}"), "{}");
        world.expect(409, "DELETE", &format!("/api/v1/{kind}/{own}"), "");
        world.expect(404, "GET", &format!("/api/v1/{kind}/none"), "");
    }
    world.expect(404, "GET", "/api/v1/identity/types/No%20Type", "");
    world.expect(404, "GET", "/api/v1/traits/%20", "");
    let sample =
        r#"{"event_type": "Order", "query": {"a": "1"}, "body": {"customer": {"id": 77}}}"#;
    world.expect(200, "POST", "/api/v1/sources/shop/test", sample);
    world.expect(404, "POST", "/api/v1/sources/none/test", sample);
    world.expect(200, "GET", "/api/v1/sources/shop/health", "");
    world.expect(404, "GET", "/api/v1/sources/none/health", "");
    world.expect(400, "POST", "/api/v1/sources/shop/test", "{}");
    world.expect(413, "POST", "/api/v1/sources/shop/test", &" ".repeat(65 << 10));
}

/// A list is no object, although its elements could be taken for the fields in their order.
fn lists_as_bodies(world: &mut World) {
    let all = world.contract.bodies();
    assert!(all.len() > 10);
    for (method, path) in all {
        let target = path.replace(['{', '}'], "");
        world.expect(400, &method, &target, "[null, null]");
    }
}

/// What operators do about who is who.
fn identity(world: &mut World, profile: &str) {
    world.get("/api/v1/identity/explain?a=slack:U1&b=shop:77");
    world.get("/api/v1/identity/explain?a=slack:U1&b=slack:U2");
    world.expect(404, "GET", "/api/v1/identity/explain?a=slack:U1&b=slack:U9", "");
    let preview = r#"{"types": {"email": {"unique": true}}, "identification_points": [{"id": "t", "identifiers": [{"type": "tax", "path": "tax"}]}]}"#;
    world.expect(200, "POST", "/api/v1/identity/preview", preview);
    world.expect(200, "POST", "/api/v1/identity/preview", "");
    world.expect(400, "POST", "/api/v1/identity/preview", r#"{"odd": 1}"#);
    let link = r#"{"kind": "must", "a": "slack:U2", "b": "shop:78", "reason": "the same"}"#;
    let laid = world.expect(201, "POST", "/api/v1/identity/links", link);
    let merged = world.get("/api/v1/profiles?identifier=slack:U2");
    assert_eq!(merged["id"], world.get("/api/v1/profiles?identifier=shop:78")["id"]);
    world.expect(400, "POST", "/api/v1/identity/links", "{}");
    world.get("/api/v1/identity/links");
    let path = format!("/api/v1/identity/links/{}", laid["id"].as_str().unwrap());
    assert_eq!(world.get(&path), laid);
    world.get("/api/v1/identity/blocked");
    world.expect(204, "DELETE", &path, "");
    world.expect(404, "DELETE", &path, "");
    let unmerge = format!("/api/v1/profiles/{profile}/unmerge");
    let by = r#"{"identifier": "email:ann@example.com", "fragment": null, "reason": "two"}"#;
    let parted = world.expect(200, "POST", &unmerge, by);
    assert_eq!(parted["profiles"].as_array().unwrap().len(), 2);
    world.expect(409, "POST", &unmerge, by);
    world.expect(400, "POST", &unmerge, "{}");
    world.expect(404, "POST", "/api/v1/profiles/nobody/unmerge", by);
    world.expect(
        204,
        "DELETE",
        &format!("/api/v1/profiles/{profile}/identifiers/email:ann@example.com"),
        "",
    );
    world.expect(
        404,
        "DELETE",
        &format!("/api/v1/profiles/{profile}/identifiers/email:ann@example.com"),
        "",
    );
    world.expect(400, "DELETE", &format!("/api/v1/profiles/{profile}/identifiers/odd"), "");
    world.get("/api/v1/changes");
    world.get(&format!("/api/v1/profiles/{profile}/merges"));
    world.expect(200, "POST", "/api/v1/events/reprocess", r#"{"status": "profile-less"}"#);
    world.expect(400, "POST", "/api/v1/events/reprocess", r#"{"status": "odd"}"#);
}

/// A campaign that is delivered, one whose receiver is gone, and everything that is asked of them.
fn campaigns(world: &mut World) {
    let receiver = world.receiver.clone();
    for (id, path) in [("thanks", "in"), ("gone", "gone")] {
        let webhook = json!({ "url": format!("{receiver}/{path}"), "allow_http": true, "fields": { "id": "profile.id" } });
        let body = json!({
            "state": "live", "trigger": { "event_type": "bought" }, "step": [{ "webhook": webhook }],
            "audience": { "where": [{ "trait": "vip", "not": true }] },
        });
        let target = format!("/api/v1/campaigns/{id}");
        world.expect(201, "PUT", &target, &body.to_string());
        world.expect(200, "PUT", &target, &body.to_string());
    }
    world.expect(400, "PUT", "/api/v1/campaigns/thanks", r#"{"trigger": {"event_type": "a"}}"#);
    world.expect(400, "PUT", "/api/v1/campaigns/thanks", "[]");
    let told = world.collect(200, "bought/shop", r#"{"customer": {"id": 90}}"#);
    let is_over = |list: &Value| {
        let items = list["items"].as_array().unwrap();
        items.len() == 2 && items.iter().all(|one| one["state"] != "pending")
    };
    let list = world.await_that("/api/v1/deliveries", is_over);
    let delivery = list["items"][0]["id"].as_str().unwrap().to_owned();
    world.get("/api/v1/deliveries?campaign=thanks&state=delivered&limit=1");
    world.get(&format!("/api/v1/deliveries/{delivery}"));
    world.expect(404, "GET", "/api/v1/deliveries/none", "");
    world.await_that("/api/v1/campaigns/gone", |campaign| campaign["disabled"].is_array());
    world.expect(200, "POST", "/api/v1/campaigns/gone/enable", "");
    world.expect(200, "POST", &format!("/api/v1/deliveries/{delivery}/replay"), "");
    world.expect(404, "POST", "/api/v1/deliveries/none/replay", "");
    world.expect(200, "POST", "/api/v1/deliveries/replay", r#"{"dry_run": true, "profile": null}"#);
    world.expect(400, "POST", "/api/v1/deliveries/replay", r#"{"state": "odd"}"#);
    world.get("/api/v1/campaigns");
    world.get("/api/v1/campaigns/thanks/runs");
    let person = told["profile_id"].as_str().unwrap();
    world.get(&format!("/api/v1/campaigns/thanks/runs?profile={person}"));
    let explained = world.get(&format!("/api/v1/campaigns/thanks/explain?profile={person}"));
    assert_eq!(explained["decisions"][0]["outcome"]["state"], "done", "{explained}");
    world.expect(404, "GET", &format!("/api/v1/campaigns/none/explain?profile={person}"), "");
    world.expect(400, "GET", "/api/v1/campaigns/thanks/explain", "");
    let trial =
        json!({ "profile": told["profile_id"], "event": { "type": "bought", "source": "shop" } });
    let real = json!({ "profile": told["profile_id"], "event": { "id": told["event_id"] } });
    for body in [trial.to_string(), real.to_string()] {
        let preview = world.expect(200, "POST", "/api/v1/campaigns/thanks/preview", &body);
        assert_eq!(preview["fires"], true, "{preview}");
        world.expect(200, "POST", "/api/v1/campaigns/thanks/test", &body);
    }
    world.expect(200, "POST", "/api/v1/campaigns/thanks/backtest", r#"{"days": 7}"#);
    world.expect(400, "POST", "/api/v1/campaigns/thanks/backtest", r#"{"days": 0}"#);
    for call in ["preview", "test", "backtest", "enable"] {
        let body =
            if matches!(call, "preview" | "test") { trial.to_string() } else { String::new() };
        world.expect(404, "POST", &format!("/api/v1/campaigns/none/{call}"), &body);
        if matches!(call, "preview" | "test") {
            world.expect(400, "POST", &format!("/api/v1/campaigns/thanks/{call}"), "{}");
        }
    }
    world.expect(404, "GET", "/api/v1/campaigns/none/runs", "");
    world.expect(404, "GET", "/api/v1/campaigns/none", "");
    world.expect(204, "DELETE", "/api/v1/campaigns/gone", "");
    world.expect(404, "DELETE", "/api/v1/campaigns/gone", "");
}

/// An erasure, and the state as a whole.
fn ends(world: &mut World) {
    let body = r#"{"identifier": "slack:U1", "suppress": true, "reason": "asked"}"#;
    let receipt = world.expect(200, "POST", "/api/v1/erasures", body);
    world.expect(404, "POST", "/api/v1/erasures", body);
    world.expect(400, "POST", "/api/v1/erasures", "{}");
    let path = format!("/api/v1/erasures/{}", receipt["id"].as_str().unwrap());
    world.await_that(&path, |receipt| receipt["state"] == "done");
    world.expect(404, "GET", "/api/v1/erasures/none", "");
    let dropped = world.collect(200, "page-view/slack", r#"{"user": {"id": "U1"}}"#);
    assert_eq!(dropped["status"], "dropped");
    world.expect(204, "DELETE", "/api/v1/suppressions?identifier=slack:U1", "");
    world.expect(404, "DELETE", "/api/v1/suppressions?identifier=slack:U1", "");
    world.expect(400, "DELETE", "/api/v1/suppressions", "");
    world.expect(200, "POST", "/api/v1/snapshots", "");
    world.expect(200, "POST", "/api/v1/reload", "");
    world.get("/api/v1/changes?from=0&limit=250");
}

#[test]
fn every_answer_is_one_that_the_document_names() {
    let mut world = World::start();
    let made = senders(&mut world);
    readers(&mut world, &made);
    objects(&mut world);
    lists_as_bodies(&mut world);
    identity(&mut world, &made.profile);
    campaigns(&mut world);
    ends(&mut world);
    let unseen: Vec<String> =
        world.contract.successes().difference(&world.contract.seen).cloned().collect();
    assert!(unseen.is_empty(), "documented, and never seen: {unseen:?}");
}

/// The answer of a tiny document's only operation.
fn judged(body: Value) -> bool {
    let thing = json!({ "type": "object", "required": ["id"], "properties": { "id": { "type": "string", "format": "uuid" } } });
    let content =
        json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } });
    let document = json!({
        "paths": { "/things/{id}": { "get": { "responses": { "200": { "content": content } } } } },
        "components": { "schemas": { "Thing": thing } },
    });
    let mut headers = ureq::http::HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let answer = Answer { status: 200, allow: String::new(), headers, body };
    let mut contract = Contract::new(document);
    let judge = || contract.judge("GET", "/things/1?a=b", "", &answer);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(judge)).is_ok()
}

#[test]
fn the_judge_refuses_what_is_not_documented() {
    let id = "00000000-0000-7000-8000-000000000000";
    assert!(judged(json!({ "id": id })));
    assert!(!judged(json!({ "id": "1" })));
    assert!(!judged(json!({})));
    assert!(!judged(json!({ "id": id, "more": 1 })));
}
