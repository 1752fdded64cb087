//! `tracker.js` in a real browser, against the real program: headless Chromium on loopback, driven
//! over the WebDriver protocol.
//!
//! Without Chromium the tests in a browser say so and do nothing, unless `CI=true`: there they fail.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "tracker/origins.rs"]
mod origins;
mod program;

use program::{Program, request};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DRIVER: &str = "/usr/bin/chromedriver";
const BROWSER: &str = "/usr/bin/chromium";
/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is a browser; without one nothing is tested, and that is said.
fn has_browser() -> bool {
    if Path::new(DRIVER).exists() && Path::new(BROWSER).exists() {
        return true;
    }
    let sentence = format!("{DRIVER} and {BROWSER} are missing (apt install chromium-driver)");
    assert!(std::env::var("CI").is_err(), "{sentence}");
    eprintln!("SKIPPED, NOT TESTED: the tracker in a browser: {sentence}");
    false
}

/// A browser with one window; ended when dropped.
struct Browser {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Browser {
    fn start() -> Self {
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .unwrap();
        thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::Builder::new().prefix("tracker-").tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({ "binary": BROWSER, "args": arguments });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let mut browser =
            Self { driver, session: format!("http://127.0.0.1:{port}/session"), _profile: profile };
        let made = browser.command("POST", "", &wanted);
        let id = made["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("content-type", "application/json")];
        let answer = request(method, &format!("{}{path}", self.session), &headers, &text);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body["value"].clone()
    }

    /// Goes to a page and waits until it is loaded, its deferred scripts included.
    fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// What a function body returns in the page.
    fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What it says to `done` in the page.
    fn ask(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        self.command("POST", "/execute/async", &json!({ "script": script, "args": [] }))
    }

    fn wait_for(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(&format!("return {expression}")) != Value::Bool(true) {
            assert!(Instant::now() < deadline, "never true: {expression}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session, the driver by itself.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            request("DELETE", &self.session, &[], "");
        })));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

const EARLY: &str = "<script>window.selfsame = { queue: [], track() { this.queue.push(arguments) } }; selfsame.track('early', { n: 0 })</script>";

/// Two websites, of which the first is listed, and a program that they send to.
struct Stage {
    program: Program,
    site: String,
    foreign: String,
    _config: TempDir,
}

fn stage() -> Stage {
    // Bound before the program is started, which has to know the origin of its pages.
    let sites = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [site, foreign] =
        sites.each_ref().map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    let config = tempfile::Builder::new().prefix("tracker-").tempdir().unwrap();
    let source =
        "[[source]]\nid = \"web\"\nevent_id = \"event_id\"\noccurred_at = \"occurred_at\"\n";
    let text = format!("{source}origins = [\"{site}\"]\n");
    std::fs::write(config.path().join("web.toml"), text).unwrap();
    let folder = config.path().to_str().unwrap();
    let program = Program::start(&["--ephemeral", "--config", folder]);
    let base = &program.base;
    let tracker = format!("<script src=\"{base}/tracker.js\" data-source=\"web\" defer></script>");
    let title = "<!doctype html><title>A page</title>";
    let [own, other] = sites;
    serve(own, format!("{title}{EARLY}{tracker}"));
    serve(other, format!("{title}{tracker}"));
    Stage { program, site, foreign, _config: config }
}

fn events(program: &Program) -> Vec<Value> {
    let url = format!("{}/api/v1/events?source=web&limit=250", program.base);
    let mut all = request("GET", &url, &[], "").body["items"].as_array().unwrap().clone();
    all.reverse();
    all
}

/// Waits until so many events are there.
fn arrived(program: &Program, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = events(program);
        if all.len() >= count || Instant::now() > deadline {
            return all;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn told(event: &Value) -> String {
    let properties = &event["properties"];
    let what = properties["page"]["path"].as_str().map(str::to_owned);
    format!("{} {}", event["type"].as_str().unwrap(), what.unwrap_or(properties["n"].to_string()))
}

#[test]
fn page_views_and_tracked_events_arrive_in_one_session() {
    if !has_browser() {
        return;
    }
    let stage = stage();
    let browser = Browser::start();
    browser.open(&format!("{}/a?x=1", stage.site));
    arrived(&stage.program, 2);
    browser.run("selfsame.track('Add to cart', { n: 1 }); history.pushState({}, '', '/b')");
    arrived(&stage.program, 4);
    browser.run("history.replaceState({}, '', '/b'); history.replaceState({}, '', '/c')");
    arrived(&stage.program, 5);
    browser.run("history.back()");
    browser.wait_for("location.pathname === '/a'");
    arrived(&stage.program, 6);
    // The second one waits behind the first, so only the beacon can bring it.
    browser.run(
        "selfsame.track('leaving', { n: 2 }); selfsame.track('leaving', { n: 3 }); location.href = '/d'",
    );
    browser.wait_for("location.pathname === '/d' && !!window.selfsame && !!selfsame.session");
    let all = arrived(&stage.program, 10);
    let mut found: Vec<String> = all.iter().map(told).collect();
    assert_eq!(
        found[..6],
        [
            "page-view /a",
            "early 0",
            "add-to-cart 1",
            "page-view /b",
            "page-view /c",
            "page-view /a"
        ]
    );
    found[6..].sort();
    assert_eq!(found[6..], ["early 0", "leaving 2", "leaving 3", "page-view /d"]);
    let session = browser.run("return selfsame.session()");
    for event in &all {
        assert_eq!(event["session_id"], session, "{event}");
        assert_eq!(event["profile_id"], all[0]["profile_id"]);
        assert_eq!(event["status"], "stored");
    }
    let page = &all[0]["properties"]["page"];
    assert_eq!((&page["query"], &page["title"]), (&json!("x=1"), &json!("A page")));
    assert_eq!(all[3]["properties"]["page"]["referrer"], json!(format!("{}/a?x=1", stage.site)));
}

#[test]
fn a_page_of_another_origin_is_refused() {
    if !has_browser() {
        return;
    }
    let stage = stage();
    let browser = Browser::start();
    let url = format!("{}/collect/probe/web/s1", stage.program.base);
    let send = |media: &str| {
        let options = format!(
            "{{ method: 'POST', body: '{{\"n\":1}}', headers: {{ 'content-type': '{media}' }} }}"
        );
        format!("fetch('{url}', {options}).then(a => done(a.status), e => done(e.name))")
    };
    browser.open(&format!("{}/", stage.site));
    assert_eq!(browser.ask(&send("application/json")), json!(200));
    assert_eq!(browser.ask(&send("text/plain")), json!(200));
    browser.open(&format!("{}/", stage.foreign));
    assert_eq!(browser.ask(&send("text/plain")), json!("TypeError"), "the answer must not be read");
    let before = events(&stage.program).len();
    assert_eq!(browser.ask(&send("application/json")), json!("TypeError"), "nor anything be sent");
    let probes = |all: Vec<Value>| all.iter().filter(|one| one["type"] == "probe").count();
    assert!(before >= 3);
    assert_eq!(probes(events(&stage.program)), 3);
}

/// A website that answers every path with one page; lives as long as the test.
fn serve(listener: TcpListener, page: String) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, page) = (stream.unwrap(), page.clone());
            thread::spawn(move || {
                let mut head = [0; 8_192];
                // A browser opens connections ahead of need and may close them unused.
                if stream.read(&mut head).is_ok_and(|read| read > 0) {
                    let length = page.len();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
                    );
                    drop(stream.write_all(answer.as_bytes()));
                }
            });
        }
    });
}
