//! The wiring of HTTP: what senders and operators are answered, whatever the engine does.

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Inputs};
use crate::engine::{Engine, Options};
use crate::secrets::Secret;
use crate::telemetry::metrics::Metrics;
use actix_web::body::to_bytes;
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const SETTINGS: &str = r#"
[limits]
body = 64
url = 100
headers = 2000
[[source]]
id = "shop"
profile_id = "customer.id"
origins = ["https://shop.example"]
[[source]]
id = "posts"
methods = ["POST"]
[[source]]
id = "off"
enabled = false
[[source]]
id = "slow"
rate_limit = "1/h"
[[source]]
id = "picky"
unidentified = "drop"
[[source]]
id = "own"
respond = { status = 202, type = "text/xml", body = "<ok/>" }
"#;

fn config(token: Option<&str>) -> (Config, Inputs) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.toml"), SETTINGS).unwrap();
    let inputs = Inputs { folder: Some(folder.path().to_owned()), ..Inputs::default() };
    let mut config = Config::load(&inputs).unwrap();
    config.admin.token = token.map(Secret::new);
    (config, inputs)
}

async fn call(token: Option<&str>, request: TestRequest) -> ServiceResponse {
    let (config, inputs) = config(token);
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(Options {
        data: data.path().to_owned(),
        settings: config.settings.clone(),
        clock: Clock::system(),
        queue: 100,
        queue_bytes: 1 << 30,
        active_profiles: 100,
        unsaved_bytes: 128 << 20,
        page_bytes: 4 << 20,
        snapshot_every: Duration::from_secs(60),
        snapshot_every_events: u64::MAX,
        segment_bytes: 1 << 20,
        free_bytes_min: 0,
        retain: Default::default(),
        arbiters: 1,
        metrics: Arc::default(),
        panic_on: Vec::new(),
        accept_journal_loss: false,
        guard: Default::default(),
        secrets: Default::default(),
    });
    engine.ready().await;
    let (_stop, stopping) = watch::channel(false);
    let (clock, metrics) = (Clock::system(), Arc::new(Metrics::new()));
    let http = Http::new(&config, Parts { engine, clock, metrics, inputs, stopping });
    let data = web::Data::new(http);
    let app = App::new().app_data(data.clone());
    let app = init_service(app.configure(|app| routes::install(app, &data, Faces::Both))).await;
    // So that the rate of this source is used up.
    call_service(&app, TestRequest::post().uri("/collect/a/slow").to_request()).await;
    call_service(&app, request.insert_header(("host", "localhost")).to_request()).await
}

async fn answer(request: TestRequest) -> (u16, serde_json::Value) {
    let answer = call(None, request).await;
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body()).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn code(request: TestRequest) -> (u16, String) {
    let (status, body) = answer(request).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn post(path: &str) -> TestRequest {
    TestRequest::post().uri(path)
}

fn json(request: TestRequest, body: &str) -> TestRequest {
    request.insert_header(("content-type", "application/json")).set_payload(body.to_owned())
}

#[actix_web::test]
async fn every_refusal_of_a_sender_has_its_code() {
    let long = format!("/collect/a/shop?{}", "x".repeat(100));
    let name = format!("/collect/{}/shop", "x".repeat(60));
    for (place, (request, status, expected)) in [
        (post("/collect/a/nope"), 404, "source_not_found"),
        (post("/collect/a/off"), 404, "source_disabled"),
        (post("/collect/a"), 404, "not_found"),
        (post("/collect/a/shop/s/t"), 404, "not_found"),
        (post("/collect/%20/shop"), 400, "malformed_path"),
        (post("/collect/a%00b/shop"), 400, "malformed_path"),
        (post("/collect/%fz/shop"), 400, "malformed_path"),
        (post("/collect/%ff/shop"), 200, ""),
        (post("/collect//shop"), 400, "malformed_path"),
        (TestRequest::get().uri("/collect/a/posts"), 405, "method_not_allowed"),
        (TestRequest::put().uri("/collect/a/shop"), 405, "method_not_allowed"),
        (post("/collect/a/shop").set_payload("x".repeat(65)), 413, "body_too_large"),
        (post(&long), 414, "url_too_long"),
        (post("/collect/a/shop").insert_header(("x", "y".repeat(2000))), 431, "headers_too_large"),
        (
            post("/collect/a/shop").insert_header(("content-encoding", "br")),
            415,
            "unsupported_encoding",
        ),
        (post("/collect/a/slow"), 429, "rate_limited"),
        (post(&name), 200, ""),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(code(request).await, (status, expected.to_owned()), "case {place}");
    }
    let broken = post("/collect/a/shop").insert_header(("content-type", "application/json"));
    assert_eq!(code(broken.set_payload("{")).await, (400, "malformed_body".to_owned()));
}

#[actix_web::test]
async fn a_used_up_rate_says_when_to_come_again() {
    let answer = call(None, post("/collect/a/slow")).await;
    assert_eq!(answer.headers().get("retry-after").unwrap(), "3600");
}

#[actix_web::test]
async fn a_probe_is_answered_and_stores_nothing() {
    let head = call(None, TestRequest::default().method(Method::HEAD).uri("/collect/a/shop")).await;
    assert_eq!(head.status(), 200);
    assert!(to_bytes(head.into_body()).await.unwrap().is_empty());
}

#[actix_web::test]
async fn a_listed_page_may_deliver_and_another_may_not() {
    let preflight = |origin| {
        TestRequest::default()
            .method(Method::OPTIONS)
            .uri("/collect/a/shop")
            .insert_header(("origin", origin))
    };
    let allowed = call(None, preflight("https://shop.example")).await;
    assert_eq!(allowed.status(), 204);
    let origin = allowed.headers().get("access-control-allow-origin").unwrap();
    assert_eq!(origin, "https://shop.example");
    assert_eq!(allowed.headers().get("access-control-allow-methods").unwrap(), "POST, GET");
    let refused = call(None, preflight("https://evil.example")).await;
    assert!(refused.headers().get("access-control-allow-origin").is_none());
    let sent = post("/collect/a/shop").insert_header(("origin", "https://shop.example"));
    assert!(call(None, sent).await.headers().contains_key("access-control-allow-origin"));
}

#[actix_web::test]
async fn an_event_and_a_batch_are_answered_in_their_own_forms() {
    let (status, one) = answer(post("/collect/a/shop").set_payload("{\"a\":1}")).await;
    assert_eq!((status, one["status"].as_str()), (200, Some("profile-less")));
    assert_eq!(one.as_object().unwrap().len(), 3);
    let (_, batch) = answer(post("/collect/a/shop").set_payload("[{\"a\":1},{\"a\":2}]")).await;
    assert_eq!(batch["events"].as_array().map(Vec::len), Some(2));
    let (status, none) = answer(post("/collect/a/shop").set_payload("[]")).await;
    assert_eq!((status, none), (200, serde_json::json!({ "events": [] })));
}

#[actix_web::test]
async fn a_source_may_drop_what_identifies_nobody_and_answer_in_its_own_words() {
    let (status, dropped) = answer(post("/collect/a/picky").set_payload("{\"a\":1}")).await;
    assert_eq!((status, dropped["status"].as_str()), (200, Some("dropped")));
    let own = call(None, post("/collect/a/own")).await;
    assert_eq!(own.status(), 202);
    assert_eq!(own.headers().get("content-type").unwrap(), "text/xml");
    assert_eq!(to_bytes(own.into_body()).await.unwrap(), "<ok/>");
}

#[actix_web::test]
async fn the_admin_api_opens_to_its_token_only_and_collecting_needs_none() {
    let list = || TestRequest::get().uri("/api/v1/sources");
    let refused = call(Some("s3cret"), list()).await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    let opened = list().insert_header(("authorization", "Bearer s3cret"));
    assert_eq!(call(Some("s3cret"), opened).await.status(), 200);
    assert_eq!(call(Some("s3cret"), post("/collect/a/shop")).await.status(), 200);
    assert_eq!(call(Some("s3cret"), TestRequest::get().uri("/livez")).await.status(), 200);
}

#[actix_web::test]
async fn every_refusal_of_an_operator_has_its_code() {
    let get = |path: &str| TestRequest::get().uri(path);
    for (request, status, expected) in [
        (get("/nowhere"), 404, "not_found"),
        (get("/api/v1/nowhere"), 404, "not_found"),
        (post("/api/v1/profiles"), 405, "method_not_allowed"),
        (post("/readyz"), 405, "method_not_allowed"),
        (get("/api/v1/profiles"), 400, "invalid_request"),
        (get("/api/v1/profiles?identifier=a:b"), 404, "not_found"),
        (get("/api/v1/events?limit=251"), 400, "invalid_request"),
        (get("/api/v1/events?cursor=nonsense"), 400, "invalid_request"),
        (get("/api/v1/sources/nope"), 404, "not_found"),
        (json(TestRequest::put().uri("/api/v1/sources/x"), "{"), 400, "invalid_request"),
        (json(TestRequest::put().uri("/api/v1/sources/x"), &"x".repeat(65)), 413, "body_too_large"),
        (json(post("/api/v1/sources/shop/test"), "{\"even\":1}"), 400, "invalid_request"),
    ] {
        assert_eq!(code(request).await, (status, expected.to_owned()));
    }
}

#[actix_web::test]
async fn a_page_of_another_origin_is_refused_by_the_admin_side_only() {
    for path in ["/api/v1/sources", "/api/v1/nowhere", "/metrics", "/openapi.json"] {
        let get = || TestRequest::get().uri(path);
        let foreign = ("origin", "https://evil.example");
        let refused = (403, "cross_origin".to_owned());
        assert_eq!(code(get().insert_header(foreign)).await, refused, "{path}");
        let preflight = TestRequest::default().method(Method::OPTIONS).uri(path);
        let preflight = preflight.insert_header(("access-control-request-method", "DELETE"));
        let answer = call(None, preflight.insert_header(foreign)).await;
        assert_eq!(answer.status(), 403, "{path}");
        assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control")));
        let text = post(path).insert_header(("content-type", "text/plain"));
        assert_eq!(code(text).await, (415, "unsupported_media_type".to_owned()), "{path}");
    }
    for path in ["/livez", "/readyz", "/collect/a/shop"] {
        let request =
            TestRequest::get().uri(path).insert_header(("origin", "https://evil.example"));
        assert_eq!(call(None, request).await.status(), 200, "{path}");
    }
}

#[actix_web::test]
async fn a_request_keeps_the_id_that_it_came_with() {
    for path in ["/collect/a/shop", "/collect/a/nope", "/api/v1/sources", "/api/v1/nowhere"] {
        let request = post(path).insert_header(("x-request-id", "mine"));
        assert_eq!(call(None, request).await.headers().get("x-request-id").unwrap(), "mine");
    }
}

#[actix_web::test]
async fn a_chunked_body_of_no_media_type_is_none_only_where_it_is_empty() {
    let chunked = |body: &str| {
        let chunked = ("transfer-encoding", "chunked");
        post("/api/v1/snapshots").insert_header(chunked).set_payload(body.to_owned())
    };
    assert_eq!(code(chunked("{}")).await, (415, "unsupported_media_type".to_owned()));
    assert_eq!(code(chunked("")).await.0, 200);
}
