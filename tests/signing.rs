//! Signed deliveries, verified by an implementation that is not ours: the `standardwebhooks` package
//! of Standard Webhooks itself (PyPI, MIT), as a receiver would use it.
//!
//! It is looked for in `target/python`, where `.ci/run` installs it. Without it the test says so and
//! does nothing, unless `CI=true`: there it fails.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod program;

use program::{Program, request};
use selfsame::rehearse::wire::{Request, read_request, write_answer};
use serde_json::json;
use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Two secrets as Standard Webhooks writes them, and one that is a plain text.
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// How long a delivery may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a request and a list of secrets from stdin and answers, per secret, whether it is genuine.
const JUDGE: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
given = json.load(sys.stdin)
verdicts = []
for secret in given["secrets"]:
    try:
        Webhook(secret).verify(given["body"], given["headers"])
        verdicts.append(True)
    except WebhookVerificationError:
        verdicts.append(False)
    except json.JSONDecodeError:  # genuine, and without a body: a GET
        verdicts.append(True)
print(json.dumps(verdicts))
"#;

fn packages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/python")
}

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages()).args(["-c", script]);
    command
}

fn has_judge() -> bool {
    let found = python("import standardwebhooks").stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let how = "python3 -m pip install --no-deps --target target/python standardwebhooks==1.0.0";
    let sentence = format!("standardwebhooks is not in target/python ({how})");
    assert!(std::env::var("CI").is_err(), "{sentence}");
    eprintln!("SKIPPED, NOT TESTED: signatures by another implementation: {sentence}");
    false
}

/// Which of the secrets the other implementation takes the request for signed with.
fn judged(headers: &std::collections::BTreeMap<String, String>, body: &str) -> Vec<bool> {
    let mut child = python(JUDGE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let given = json!({ "headers": headers, "body": body, "secrets": [OLD, NEW, OTHER] });
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A receiver that answers 200 and hands on what it got.
fn sink() -> (u16, Receiver<Request>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.unwrap(), sender.clone());
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                while let Ok(Some(request)) = read_request(&mut reader) {
                    // The test may be over.
                    drop(sender.send(request));
                    write_answer(&mut &stream, 200, &[], b"").unwrap();
                }
            });
        }
    });
    (port, received)
}

#[test]
fn another_implementation_takes_our_signatures_for_genuine_also_while_secrets_rotate() {
    if !has_judge() {
        return;
    }
    let (port, received) = sink();
    let campaign = |id: &str, sign: &str, method: &str| {
        format!(
            "[[campaign]]\nid = \"{id}\"\nstate = \"live\"\ntrigger = {{ event_type = \"{id}\" }}\n[[campaign.step]]\nwebhook = {{ method = \"{method}\", url = \"http://127.0.0.1:{port}/x\", allow_http = true, sign = \"{sign}\", fields = {{ name = \"event.properties.name\" }} }}\n"
        )
    };
    let config = tempfile::Builder::new().prefix("signing-").tempdir().unwrap();
    let text = [
        "[server]\nallow_networks = [\"127.0.0.0/8\"]\n[[source]]\nid = \"web\"\nprofile_id = \"user\"\n",
        &campaign("one", OLD, "POST"),
        &campaign("both", &format!("{OLD} {NEW}"), "POST"),
        &campaign("get", NEW, "GET"),
    ]
    .concat();
    std::fs::write(config.path().join("signing.toml"), text).unwrap();
    let folder = config.path().to_str().unwrap();
    let program = Program::start(&["--ephemeral", "--config", folder]);
    for (kind, expected) in [
        ("one", [true, false, false]),
        ("both", [true, true, false]),
        ("get", [false, true, false]),
    ] {
        let url = format!("{}/collect/{kind}/web", program.base);
        let event = json!({ "user": 1, "name": "Zoë “Z” \u{1F600}\n" }).to_string();
        let headers = [("content-type", "application/json")];
        assert_eq!(request("POST", &url, &headers, &event).status, 200);
        let Request { headers, body, .. } = received.recv_timeout(PATIENCE).unwrap();
        let body = String::from_utf8(body).unwrap();
        assert_eq!(judged(&headers, &body), expected, "{kind}");
        assert_eq!(judged(&headers, &format!("{body} ")), [false; 3], "{kind}");
        let mut renamed = headers.clone();
        renamed.insert("webhook-id".to_owned(), "msg_other".to_owned());
        assert_eq!(judged(&renamed, &body), [false; 3], "{kind}");
    }
}
