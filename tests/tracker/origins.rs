//! A page of another origin against every call of the admin side: whatever a browser lets it send, in
//! every way that it knows, it reads nothing and changes nothing.

use super::{Browser, has_browser, serve};
use crate::program::{Program, request};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

const CONFIG: &str = r#"
[[source]]
id = "web"
profile_id = "u"
[[identification_point]]
id = "mail"
identifiers = [ { type = "email", path = "m", trait = "email" } ]
[[campaign]]
id = "welcome"
state = "live"
trigger = { event_type = "never" }
step = [ { webhook = { url = "https://esp.example/", allow_http = false } } ]
"#;

/// Tries one call in every way; says `read`, where an answer could be read, beside its way.
const ATTACK: &str = r#"
const done = arguments[arguments.length - 1];
const [calls, base] = [arguments[0], arguments[1]];
const bodies = ['{"identifier":"web:1","profile":"x","value":"x","reason":"x"}', ''];
const seen = [];
const told = (way, attempt) => attempt.then(
  answer => { if (answer.type !== 'opaque' && answer.type !== 'opaqueredirect') seen.push(way + ' read ' + answer.status); },
  () => {});
const all = [];
for (const [method, path] of calls) {
  const url = base + path;
  for (const mode of ['cors', 'no-cors', 'same-origin', 'navigate']) {
    for (const kind of [null, 'text/plain', 'application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      for (const body of bodies) {
        const options = { method: method.toUpperCase(), mode, credentials: 'include', headers: kind ? { 'content-type': kind } : {} };
        if (!['GET', 'HEAD'].includes(options.method)) options.body = body || undefined;
        const way = [options.method, path, mode, kind].join(' ');
        try { all.push(told(way, fetch(url, options))); } catch (error) { /* refused by the browser itself */ }
        if (options.method === 'GET') break;
      }
    }
  }
  for (const blob of [new Blob([bodies[0]]), new Blob([bodies[0]], { type: 'text/plain' }), new Blob([bodies[0]], { type: 'application/json' })]) {
    try { navigator.sendBeacon(url, blob); } catch (error) { /* so it is */ }
    all.push(told('blob ' + path, fetch(url, { method: 'POST', mode: 'no-cors', body: blob })));
  }
  for (const kind of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
    for (const sent of ['GET', 'POST']) {
      const frame = document.createElement('iframe');
      frame.name = 'f' + Math.random();
      const form = document.createElement('form');
      Object.assign(form, { action: url, method: sent, enctype: kind, target: frame.name });
      const field = document.createElement('input');
      Object.assign(field, { name: '{"identifier":"web:1","reason":"', value: '"}' });
      form.append(field);
      document.body.append(frame, form);
      all.push(new Promise(end => {
        frame.onload = () => {
          try { if (frame.contentDocument.body.innerText) seen.push('form read ' + path); } catch (error) { /* of another origin */ }
          end();
        };
        setTimeout(end, 3000);
      }));
      form.submit();
    }
  }
  for (const name of ['script', 'img', 'link']) {
    const element = document.createElement(name);
    element.rel = 'stylesheet';
    all.push(new Promise(end => { element.onload = () => { seen.push(name + ' loaded ' + path); end(); }; element.onerror = end; setTimeout(end, 3000); }));
    element.src = element.href = url;
    document.body.append(element);
  }
}
Promise.all(all).then(() => { document.body.replaceChildren(); done(seen); });
"#;

/// What an operator sees; the digest changes with every event, act and rule.
fn state(base: &str) -> Value {
    let get = |path: &str| request("GET", &format!("{base}/api/v1/{path}"), &[], "").body;
    let mut digest = get("state/digest");
    // The sequence counts every record, whatever it says.
    let sequence = digest["sequence"].take();
    let mut secrets = get("secrets");
    let kept = secrets["items"].as_array_mut().into_iter().flatten();
    kept.for_each(|secret| drop(secret["age"].take())); // it goes on by itself
    json!({
        "digest": digest, "sequence": sequence, "sources": get("sources"), "secrets": secrets,
        "points": get("identification-points"), "campaigns": get("campaigns"),
        "types": get("identity/types"), "traits": get("traits"), "links": get("identity/links"),
        "ann": get("profiles?identifier=web:1"), "deliveries": get("deliveries"),
    })
}

/// Every call of the document, with parameters that are there.
fn calls(base: &str, profile: &str) -> Vec<(String, String)> {
    let document = request("GET", &format!("{base}/openapi.json"), &[], "").body;
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        if path.starts_with("/collect")
            || ["/livez", "/readyz", "/tracker.js"].contains(&path.as_str())
        {
            continue;
        }
        let id = match path {
            path if path.contains("/profiles/") => profile,
            path if path.contains("/campaigns/") => "welcome",
            path if path.contains("/identification-points/") => "mail",
            path if path.contains("/sources/") => "web",
            _ => "1",
        };
        let path = path.replace("{id}", id).replace("{name}", "key").replace("{type}", "email");
        let path = path.replace("{identifier}", "email:ann@example.com");
        for method in methods.as_object().unwrap().keys() {
            all.push((method.clone(), format!("{path}?identifier=web:1")));
        }
    }
    all
}

fn post(url: &str, body: &Value) -> Value {
    let answer = request("POST", url, &[("content-type", "application/json")], &body.to_string());
    assert_eq!(answer.status, 200, "{url}: {}", answer.body);
    answer.body
}

fn start(config: &Path) -> Program {
    std::fs::write(config.join("a.toml"), CONFIG).unwrap();
    Program::start(&["--ephemeral", "--config", config.to_str().unwrap()])
}

#[test]
fn a_page_of_another_origin_steers_nothing_and_reads_nothing() {
    if !has_browser() {
        return;
    }
    let config = tempfile::tempdir().unwrap();
    let program = start(config.path());
    let base = &program.base;
    post(&format!("{base}/collect/x/web"), &json!({"u": 1, "m": "ann@example.com"}));
    let secret = format!("{base}/api/v1/secrets/key");
    let json = [("content-type", "application/json")];
    assert_eq!(request("PUT", &secret, &json, r#"{"value": "zx"}"#).status, 201);
    let ann = request("GET", &format!("{base}/api/v1/profiles?identifier=web:1"), &[], "").body;
    let calls = calls(base, ann["id"].as_str().unwrap());
    assert!(calls.len() > 50, "{}", calls.len());
    let before = state(base);
    assert_eq!(before["digest"]["profiles"], 1, "{before}");
    let site = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = format!("http://{}", site.local_addr().unwrap());
    serve(site, "<!doctype html><title>Not yours</title><body></body>".to_owned());
    let browser = Browser::start();
    browser.command("POST", "/timeouts", &json!({ "script": 120_000 }));
    browser.open(&format!("{origin}/"));
    // The same page on another port is same-site and yet of another origin.
    for part in calls.chunks(6) {
        let body = json!({ "script": ATTACK, "args": [part, base] });
        let seen = browser.command("POST", "/execute/async", &body);
        assert_eq!(seen, json!([]), "the page saw something");
    }
    assert_eq!(state(base), before, "the page changed something");
    // The same calls of a page of the program's own origin are let through.
    browser.open(&format!("{base}/livez"));
    let own = "const done = arguments[0]; fetch('/api/v1/sources').then(a => done(a.status), e => done(e.name))";
    assert_eq!(browser.command("POST", "/execute/async", &json!({"script": own, "args": []})), 200);
    let erase = r#"const done = arguments[0]; fetch('/api/v1/erasures', { method: 'POST', headers: { 'content-type': 'application/json' },
        body: '{"identifier":"web:1","reason":"asked"}' }).then(a => done(a.status), e => done(e.name))"#;
    assert_eq!(
        browser.command("POST", "/execute/async", &json!({"script": erase, "args": []})),
        200
    );
    assert_ne!(state(base), before, "the check of the state sees a change");
}
