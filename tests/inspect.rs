//! `selfsame inspect` on folders that a real program left: what it shows, what it finds, and that it
//! changes nothing.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod program;

use program::{Program, request};
use selfsame::records::keys::row_kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A folder with forty events of two systems, ten people, and a snapshot in the middle.
fn folder() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(&["--data", data.path().to_str().unwrap()]);
    for number in 0..20 {
        let person = number % 10;
        let email = format!("c{person}@example.com");
        let (chat, shop) = (
            json!({"user": {"id": format!("U{person}"), "name": "Ann", "email": email}}),
            json!({"customer": {"id": person, "email": email}, "total": number}),
        );
        for (path, body) in [("visit/demo-chat", chat), ("order/demo-shop", shop)] {
            let url = format!("{}/collect/{path}", program.base);
            assert_eq!(request("POST", &url, &[], &body.to_string()).status, 200);
        }
        if number == 9 {
            let url = format!("{}/api/v1/snapshots", program.base);
            assert_eq!(request("POST", &url, &[], "").status, 200);
        }
    }
    drop(program); // killed: the second half is in the journal only
    data
}

/// Exit code, stdout and stderr.
fn inspect(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_selfsame"))
        .args(["inspect", "--data", data.to_str().unwrap()])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Every file with its content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

fn segment(data: &Path) -> PathBuf {
    data.join("journal/00000000000000000001.journal")
}

#[test]
fn everything_is_shown_and_nothing_is_changed() {
    let data = folder();
    let data = data.path();
    // What a crash leaves behind the last group, and what only a start may cut.
    let mut torn = fs::read(segment(data)).unwrap();
    torn.extend_from_slice(&[0; 7]);
    fs::write(segment(data), torn).unwrap();
    let before = content(data);
    let (code, stats, _) = inspect(data, &["stats"]);
    assert_eq!(code, 0);
    for line in ["torn bytes      7", "profiles, tail included", "event                2       40"]
    {
        assert!(stats.contains(line), "{line:?} is not in\n{stats}");
    }
    let (_, listing, _) = inspect(data, &["journal", "--from", "3", "--limit", "2"]);
    let lines: Vec<Value> =
        listing.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["sequence"], &lines[0]["kind"]), (&json!(3), &json!("event")));
    assert!(!listing.contains("example.com"), "{listing}");
    let (_, listing, _) = inspect(data, &["journal", "--payload"]);
    assert!(listing.contains("email:c3@example.com"));
    let (code, profile, _) = inspect(data, &["profile", "email:C3@Example.com"]);
    let profile: Value = serde_json::from_str(&profile).unwrap();
    assert_eq!((code, &profile["stats"]["events"]), (0, &json!(4)));
    let (_, same, _) = inspect(data, &["profile", profile["id"].as_str().unwrap()]);
    assert_eq!(serde_json::from_str::<Value>(&same).unwrap(), profile);
    let (_, event, _) = inspect(data, &["event", lines[1]["id"].as_str().unwrap()]);
    assert_eq!(serde_json::from_str::<Value>(&event).unwrap()["properties"]["total"], json!(0));
    let (code, verdict, _) = inspect(data, &["verify"]);
    assert_eq!(code, 0, "{verdict}");
    assert!(verdict.contains("is what the journal replays to"), "{verdict}");
    assert!(verdict.contains("a torn tail of 7 bytes"), "{verdict}");
    assert!(before == content(data), "inspecting changed the folder");
}

/// The program, `inspect digest` and `inspect verify` say the same of one folder: with no snapshot,
/// with one and a tail behind it, and with nothing behind it.
#[test]
fn the_digest_is_the_same_from_everywhere() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let arguments = ["--data", data.to_str().unwrap()];
    for (round, takes_snapshot) in [false, true, true].into_iter().enumerate() {
        let program = Program::start(&arguments);
        let post = |path: &str, body: &Value| {
            let url = format!("{}{path}", program.base);
            assert_eq!(request("POST", &url, &[], &body.to_string()).status, 200);
        };
        let order = |number: usize| {
            let email = format!("c{}@example.com", number % 3);
            post("/collect/order/demo-shop", &json!({"customer": {"id": number, "email": email}}));
            post("/collect/order/demo-shop", &json!({"total": number}));
        };
        order(round);
        if takes_snapshot {
            let url = format!("{}/api/v1/snapshots", program.base);
            assert_eq!(request("POST", &url, &[], "").status, 200);
        }
        order(round + 10);
        let served = request("GET", &format!("{}/api/v1/state/digest", program.base), &[], "");
        assert_eq!((served.status, &served.body["events"]), (200, &json!(4 * round + 4)));
        let says_so = |state: &str| {
            let (code, shown, error) = inspect(data, &["digest"]);
            assert_eq!(code, 0, "{state}, {round}: {error}");
            let shown: Value = serde_json::from_str(&shown).unwrap();
            let (code, verdict, error) = inspect(data, &["verify"]);
            assert_eq!(code, 0, "{state}, {round}: {verdict}{error}");
            for part in ["digest", "profiles", "events"] {
                assert_eq!(shown[part], served.body[part], "{state}, {round}");
            }
            let (digest, sequence) = (shown["digest"].as_str().unwrap(), &shown["sequence"]);
            let line = format!("the digest of the state: {digest} at {sequence}");
            assert!(verdict.contains(&line), "{state}, {round}: {line:?} is not in\n{verdict}");
            shown["sequence"].clone()
        };
        match round {
            0 | 1 => {
                drop(program); // killed: what is behind the snapshot is in the journal only
                assert_eq!(says_so("killed"), served.body["sequence"]);
            }
            _ => {
                program.stop();
                says_so("stopped");
            }
        }
    }
}

#[test]
fn what_is_not_there_has_its_exit_code() {
    let data = folder();
    assert_eq!(inspect(data.path(), &["profile", "email:nobody@example.com"]).0, 65);
    assert_eq!(inspect(data.path(), &["event", "nonsense"]).0, 65);
    assert_eq!(inspect(&data.path().join("nowhere"), &["stats"]).0, 66);
}

#[test]
fn a_flipped_byte_in_the_journal_is_named() {
    let data = folder();
    let mut bytes = fs::read(segment(data.path())).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(segment(data.path()), bytes).unwrap();
    let (code, _, error) = inspect(data.path(), &["verify"]);
    assert_eq!(code, 65);
    assert!(error.contains("00000000000000000001.journal"), "{error}");
}

#[test]
fn a_snapshot_that_says_something_else_than_the_journal_is_found() {
    let watchdog = Duration::from_secs(10);
    type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;
    let wrong = |change: &dyn Fn(&mut Rows)| {
        let data = folder();
        let store = selfsame::snapshot::open(&data.path().join("snapshot"), watchdog).unwrap();
        let fragments = store.scan_prefix(&[]).map(Result::unwrap);
        let mut rows: Vec<_> = fragments
            .filter(|(key, _)| row_kind(key) == "fragments")
            .map(|(key, value)| (key, Some(value)))
            .collect();
        change(&mut rows);
        store.commit(rows, store.sequence().unwrap()).unwrap();
        drop(store);
        let (code, verdict, error) = inspect(data.path(), &["verify"]);
        assert_eq!(code, 65, "{verdict}");
        verdict + &error
    };
    // Two people's counters and timelines change places: each row is whole, the sums are right.
    let swapped = wrong(&|rows| {
        let first = rows[0].1.take();
        rows[0].1 = rows[1].1.take();
        rows[1].1 = first;
    });
    assert!(swapped.contains("fragments that differ"), "{swapped}");
    let lost = wrong(&|rows| rows[0].1 = None);
    assert!(lost.contains("expected a row for fragment"), "{lost}");
}
