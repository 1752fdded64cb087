//! Secrets stay secret: planted ones are looked for in every file, record, answer and log line of a
//! run, and in what `inspect` prints. And the data folder is its owner's alone.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;
mod traces;

use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::client::{Answer, Client};
use support::program::{Home, Program, poll};
use support::receiver::Receiver;

/// In every planted secret, and in nothing else.
const MARK: &str = "zxsecret";
const TOKEN: &str = "zxsecret-of-the-operator";
/// A delivery arrives long before.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(receiver: &Receiver) -> String {
    let address = receiver.address;
    format!(
        r#"
        [server]
        allow_networks = ["127.0.0.0/8"]
        [admin]
        token = "file:keys/token"
        [log]
        level = "trace"
        [[source]]
        id = "web"
        profile_id = "u"
        respond_with_profile = true
        [[campaign]]
        id = "filed"
        state = "live"
        trigger = {{ event_type = "x" }}
        [[campaign.step]]
        webhook = {{ url = "http://{address}/ok", allow_http = true, sign = "zxsecret-sign-1 zxsecret-sign-2", headers = {{ Authorization = "Bearer zxsecret-in-clear", X-File = "file:keys/esp", X-Stored = "secret:esp" }} }}
        "#
    )
}

/// Asks as the operator.
fn call(client: &mut Client, method: &str, path: &str, body: &Value) -> Answer {
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.send(method, path, &headers, body.as_bytes()).unwrap();
    assert_lacks(&String::from_utf8_lossy(&answer.body), &format!("{method} {path}"));
    assert_lacks(&format!("{:?}", answer.headers), &format!("head of {method} {path}"));
    answer
}

fn expect(client: &mut Client, status: u16, method: &str, path: &str, body: &Value) -> Value {
    let answer = call(client, method, path, body);
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.json());
    answer.json()
}

fn assert_lacks(text: &str, place: &str) {
    let line = text.lines().find(|line| line.to_lowercase().contains(MARK));
    assert!(line.is_none(), "a secret is in {place}: {}", line.unwrap_or_default());
}

fn campaign(receiver: &Receiver, path: &str, sign: &str, header: &str) -> Value {
    let url = format!("http://{}{path}", receiver.address);
    json!({"state": "live", "trigger": {"event_type": "x"}, "step": [{"webhook": {"url": url,
        "allow_http": true, "sign": sign, "headers": {"X-Api-Key": header}}}]})
}

/// Sets what may be set, and tries what may not.
fn steer(client: &mut Client, receiver: &Receiver) {
    for (name, value) in [("esp", "zxsecret-stored-1"), ("sign", "zxsecret-stored-2")] {
        let value = json!({ "value": value });
        expect(client, 201, "PUT", &format!("/api/v1/secrets/{name}"), &value);
        expect(client, 200, "PUT", &format!("/api/v1/secrets/{name}"), &value);
    }
    let good = campaign(receiver, "/ok", "secret:sign", "secret:esp");
    expect(client, 201, "PUT", "/api/v1/campaigns/set", &good);
    let failing = campaign(receiver, "/fail", "secret:sign", "secret:esp");
    expect(client, 201, "PUT", "/api/v1/campaigns/fails", &failing);
    for (sign, header) in [
        ("zxsecret-refused", "secret:esp"),
        ("secret:sign", "zxsecret-refused"),
        ("env:zxsecret-refused", "secret:esp"),
        ("secret:sign", "file:/zxsecret-refused"),
        ("secret:zxsecret refused", "secret:esp"),
    ] {
        let refused = campaign(receiver, "/ok", sign, header);
        expect(client, 400, "PUT", "/api/v1/campaigns/refused", &refused);
    }
    let verify = json!({"verify": {"scheme": "bearer", "secret": "zxsecret-refused"}});
    expect(client, 400, "PUT", "/api/v1/sources/refused", &verify);
    for odd in [json!({"value": ["zxsecret-odd"]}), json!({"value": "x", "zxsecret": 1})] {
        // The name of a field is the caller's own.
        let body = odd.to_string().replace("zxsecret\"", "other\"");
        expect(client, 400, "PUT", "/api/v1/secrets/odd", &serde_json::from_str(&body).unwrap());
    }
    let wrong = [("authorization", "Bearer zxsecret-wrong-token")];
    let refused = client.send("GET", "/api/v1/secrets", &wrong, b"").unwrap();
    assert_eq!(refused.status, 401);
    assert_lacks(&String::from_utf8_lossy(&refused.body), "the refusal of a token");
}

/// Reads whatever there is to read.
fn read_all(client: &mut Client) {
    let document = expect(client, 200, "GET", "/openapi.json", &Value::Null);
    let profile = expect(client, 200, "GET", "/api/v1/profiles?identifier=web:1", &Value::Null);
    let profile = profile["id"].as_str().unwrap().to_owned();
    let delivery = expect(client, 200, "GET", "/api/v1/deliveries", &Value::Null);
    let delivery = delivery["items"][0]["id"].as_str().unwrap().to_owned();
    let mut read = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if methods.get("get").is_none() || path.contains("/stream") || path.contains("/collect") {
            continue;
        }
        for id in ["set", "filed", "web", "esp", &profile, &delivery] {
            let path = path.replace("{id}", id).replace("{name}", id).replace("{type}", id);
            let answer = call(client, "GET", &format!("{path}?profile={profile}"), &Value::Null);
            read += usize::from(answer.status == 200);
        }
    }
    assert!(read > 40, "{read} answers were read");
    let trial = json!({"profile": profile,
        "event": {"type": "x", "source": "web", "properties": {"u": 1}}});
    for id in ["set", "filed", "fails"] {
        for what in ["preview", "test"] {
            expect(client, 200, "POST", &format!("/api/v1/campaigns/{id}/{what}"), &trial);
        }
        expect(client, 200, "POST", &format!("/api/v1/campaigns/{id}/backtest"), &json!({}));
    }
}

fn inspect(data: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
    let output = command.arg("inspect").args(arguments).arg("--data").arg(data).output().unwrap();
    assert!(output.status.success(), "inspect {arguments:?}: {output:?}");
    assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
    for text in [&output.stdout, &output.stderr] {
        assert_lacks(&String::from_utf8_lossy(text), &format!("inspect {arguments:?}"));
    }
}

fn home(receiver: &Receiver) -> Home {
    let home = Home::new(&config(receiver));
    let keys = home.data().parent().unwrap().join("config/keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("token"), format!("{TOKEN}\n")).unwrap();
    fs::write(keys.join("esp"), "zxsecret-of-a-file").unwrap();
    home
}

fn send(program: &Program, user: usize) {
    let body = json!({ "u": user }).to_string();
    let answer = program.client().post("/collect/x/web", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[test]
fn planted_secrets_are_in_no_file_answer_or_log_line() {
    let receiver = Receiver::start();
    let home = home(&receiver);
    let mut logs = Vec::new();
    for (run, user) in [(0, 1), (1, 2)] {
        let program = home.start();
        let mut client = program.client();
        if run == 0 {
            steer(&mut client, &receiver);
        }
        send(&program, user);
        let all = || (receiver.count("/ok") >= 2 * (run + 1)).then_some(());
        poll(PATIENCE, all).expect("both campaigns deliver");
        poll(PATIENCE, || (receiver.count("/fail") > run).then_some(())).expect("an attempt");
        read_all(&mut client);
        expect(&mut client, 200, "POST", "/api/v1/snapshots", &Value::Null);
        expect(&mut client, 200, "POST", "/api/v1/reload", &Value::Null);
        if run == 1 {
            let who = json!({"identifier": "web:1", "reason": "asked"});
            expect(&mut client, 200, "POST", "/api/v1/erasures", &who);
        }
        expect(&mut client, 409, "DELETE", "/api/v1/secrets/esp", &Value::Null);
        logs.push(program.stderr());
        program.stop();
    }
    logs.iter().for_each(|log| assert_lacks(log, "the log"));
    let found = traces::find(home.data(), &[MARK.to_owned()]);
    assert!(found.is_empty(), "{found:#?}");
    for arguments in [&["stats"][..], &["journal", "--payload"], &["profile", "web:2"], &["verify"]]
    {
        inspect(home.data(), arguments);
    }
}

/// Every file and folder below this one, itself included, with its mode.
fn modes(path: &Path, found: &mut Vec<(String, bool, u32)>) {
    let about = fs::symlink_metadata(path).unwrap();
    found.push((path.display().to_string(), about.is_dir(), about.permissions().mode() & 0o777));
    if about.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| modes(&entry.unwrap().path(), found));
    }
}

fn assert_private(data: &Path) {
    let mut found = Vec::new();
    modes(data, &mut found);
    assert!(found.len() > 8, "{found:#?}");
    for (path, is_folder, mode) in found {
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{path}: {mode:o}");
    }
}

#[test]
fn the_data_folder_is_its_owners_alone() {
    let receiver = Receiver::start();
    let home = home(&receiver);
    let run = |is_first: bool| {
        let program = home.start();
        let mut client = program.client();
        if is_first {
            steer(&mut client, &receiver);
        }
        send(&program, usize::from(is_first) + 1);
        expect(&mut client, 200, "POST", "/api/v1/snapshots", &Value::Null);
        let who = json!({"identifier": format!("web:{}", usize::from(is_first) + 1)});
        expect(&mut client, 200, "POST", "/api/v1/erasures", &who);
        let log = program.stderr();
        program.stop();
        assert_private(home.data());
        log
    };
    assert!(!run(true).contains("others could read"));
    let mut found = Vec::new();
    modes(home.data(), &mut found);
    for (path, is_folder, _) in &found {
        let wide = if *is_folder { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(wide)).unwrap();
    }
    assert!(run(false).contains("others could read"), "a folder that is narrowed is told of");
}

#[test]
fn the_admin_token_may_be_a_stored_secret_and_stays_while_it_is() {
    let home = Home::new("");
    let program = home.start();
    let body = json!({ "value": TOKEN });
    expect(&mut program.client(), 201, "PUT", "/api/v1/secrets/token", &body);
    expect(&mut program.client(), 201, "PUT", "/api/v1/secrets/short", &json!({ "value": "zx" }));
    program.stop();
    home.configure("[admin]\ntoken = \"secret:token\"\n");
    let program = home.start();
    let mut client = program.client();
    assert_eq!(client.get("/api/v1/secrets").unwrap().status, 401);
    let held = expect(&mut client, 200, "GET", "/api/v1/secrets/token", &Value::Null);
    assert_eq!(held["used_by"], json!(["admin.token"]));
    expect(&mut client, 409, "DELETE", "/api/v1/secrets/token", &Value::Null);
    program.stop();
    for (name, expected) in [("none", "there is no secret none"), ("short", "at least 16 bytes")] {
        home.configure(&format!("[admin]\ntoken = \"secret:{name}\"\n"));
        let mut program = home.spawn();
        let status = program.ended(PATIENCE).expect("a refusal to start");
        let told = program.stderr();
        assert!(status.code() == Some(78) && told.contains(expected), "{name}: {status}: {told}");
    }
}
