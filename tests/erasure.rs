//! Promise 6 against the real program: after an erasure is done, no byte of any file and no
//! decompressed record or row holds the person, wherever their values went; and no older backup
//! brings them back, once the erasure log lies beside it.
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

mod support;
mod traces;

use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use support::client::Client;
use support::program::{Home, Program, poll};

/// Everything that the person says carries it.
const MARK: &str = "zx-erased-person-xz";
const PHONE: &str = "4915198765432";
/// Erasures and switches take seconds at most.
const OVER_WITHIN: Duration = Duration::from_secs(60);

fn config(journal: &str) -> String {
    let source = |id: &str, user: &str| {
        format!(
            "[[source]]\nid = \"{id}\"\nprofile_id = \"{user}\"\nsession_id = \"s\"\nevent_id = \"id\"\n\
             country = \"DE\"\ntraits = {{ city = \"city\", tags = \"tags\" }}\n"
        )
    };
    // Nobody listens there: the deliveries stay, and are tried again.
    let campaign = "[[campaign]]\nid = \"welcome\"\nstate = \"live\"\n\
                    trigger = { event_type = \"order\" }\nstop = { restart_after = \"1s\" }\n\
                    [[campaign.step]]\n[campaign.step.webhook]\nurl = \"http://127.0.0.1:9/x\"\n\
                    allow_http = true\nfields = { mail = \"traits.email\", city = \"event.properties.city\" }\n";
    format!(
        "[server]\nallow_networks = [\"127.0.0.0/8\"]\n[journal]\nsegment = \"4KiB\"\n{journal}\n\
         [snapshots]\nevery = \"1s\"\nevery_events = 50\n[memory]\nactive_profiles = 4\n\
         [traits.tags]\nfold = \"set\"\n[identity.types.email]\nunique = true\n{}{}\
         [[identification_point]]\nid = \"mail\"\nidentifiers = [ {{ type = \"email\", path = \"m[*]\", trait = \"email\" }} ]\n\
         [[identification_point]]\nid = \"phone\"\nidentifiers = [ {{ type = \"phone\", path = \"phone\" }} ]\n{campaign}",
        source("web", "u"),
        source("shop", "c")
    )
}

fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    let answer = client.post(&format!("/collect/{path}"), &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

/// Others, who stay; with events enough for several segments and full timeline chunks.
fn others(client: &mut Client, count: usize) {
    let bodies: Vec<Value> = (0..count)
        .map(|number| json!({"u": format!("other-{}", number % 7), "n": number, "city": "Ulm"}))
        .collect();
    post(client, "visit/web", &json!(bodies));
}

/// The person, in every place where a value can go.
fn person(client: &mut Client, round: usize) {
    let mail = format!("{MARK}@site.org");
    let id = |what: &str| format!("{MARK}-{what}-{round}");
    let all = [
        ("visit/web", json!({"u": MARK, "id": id("a"), "city": MARK, "tags": [MARK, "x"]})),
        ("visit/web", json!({"s": format!("session-{MARK}"), "id": id("b"), "note": MARK})),
        ("visit/web", json!({"u": MARK, "s": format!("session-{MARK}"), "id": id("c")})),
        ("order/shop", json!({"c": format!("c-{MARK}"), "m": [mail], "id": id("d"), "city": MARK})),
        ("order/web", json!({"u": MARK, "m": [mail.to_uppercase()], "id": id("e"), "city": MARK})),
        ("visit/web", json!({"u": MARK, "phone": "0151 98765432", "id": id("f")})),
    ];
    for (path, body) in all {
        assert_eq!(post(client, path, &body)["status"], "stored");
    }
    // Set aside, as a mail is unique: on no profile, and about the person all the same.
    let two = json!({"u": MARK, "m": [mail, format!("other-{MARK}@site.org")], "id": id("g")});
    assert_eq!(post(client, "visit/web", &two)["status"], "quarantined");
}

/// Operators' words about the person.
fn acts(client: &mut Client) {
    let name = format!("web:{MARK}");
    let link = json!({"kind": "cannot", "a": name, "b": "web:other-1", "reason": "told apart"});
    assert_eq!(client.post("/api/v1/identity/links", &link.to_string()).unwrap().status, 201);
    let profile = client.json(&format!("/api/v1/profiles?identifier={name}"));
    let id = profile["id"].as_str().unwrap();
    let session = profile["fragments"].as_array().unwrap().iter();
    let session =
        session.clone().find(|one| one["origin"].as_str().unwrap().starts_with("session"));
    let body = json!({"fragment": session.unwrap()["id"], "reason": "wrong"}).to_string();
    let parted = client.post(&format!("/api/v1/profiles/{id}/unmerge"), &body).unwrap();
    assert_eq!(parted.status, 200, "{}", parted.json());
    for link in parted.json()["links"].as_array().unwrap() {
        let path = format!("/api/v1/identity/links/{}", link.as_str().unwrap());
        assert_eq!(client.send("DELETE", &path, &[], b"").unwrap().status, 204);
    }
    let path = format!("/api/v1/profiles/{id}/identifiers/phone:%2B{PHONE}");
    assert_eq!(client.send("DELETE", &path, &[], b"").unwrap().status, 204);
}

fn erase(client: &mut Client, suppress: bool) -> Value {
    let body =
        json!({"identifier": format!("web:{MARK}"), "suppress": suppress, "reason": "asked"});
    let answer = client.post("/api/v1/erasures", &body.to_string()).unwrap();
    assert!((200..300).contains(&answer.status), "{}", answer.json());
    answer.json()
}

fn comes_to_rest(program: &Program, erasure: &Value) {
    let mut client = program.client();
    let path = format!("/api/v1/erasures/{}", erasure["id"].as_str().unwrap());
    poll(OVER_WITHIN, || (client.json(&path)["state"] == "done").then_some(())).expect("done");
    let is_over =
        || (client.json("/api/v1/state/resolution")["state"] != "under_way").then_some(());
    poll(OVER_WITHIN, is_over).expect("a re-resolution that ends");
}

fn assert_clean(data: &Path, place: &str) {
    let traces = traces::find(data, &[MARK.to_owned(), PHONE.to_owned(), "98765432".to_owned()]);
    assert!(traces.is_empty(), "{place}: {traces:#?}");
    let log = std::fs::read_to_string(data.join("erasures.log")).unwrap();
    assert!(log.lines().count() > 0, "the erasure is logged, by keyed hashes only");
}

#[test]
fn no_file_holds_an_erased_person_wherever_their_values_went() {
    for (journal, suppress) in [("", true), ("", false), ("max_bytes = \"12KiB\"", true)] {
        let place = format!("{journal:?}, suppress: {suppress}");
        let home = Home::new(&config(journal));
        let program = home.start();
        let mut client = program.client();
        others(&mut client, 400);
        person(&mut client, 0);
        assert_eq!(client.post("/api/v1/snapshots", "").unwrap().status, 200);
        acts(&mut client);
        others(&mut client, 200);
        person(&mut client, 1);
        assert_eq!(client.post("/api/v1/snapshots", "").unwrap().status, 200);
        let deliveries = client.json("/api/v1/deliveries?limit=50");
        assert!(!deliveries["items"].as_array().unwrap().is_empty(), "{deliveries}");
        let erasure = erase(&mut client, suppress);
        assert!(erasure["deliveries"].as_u64().unwrap() > 0, "{place}: {erasure}");
        comes_to_rest(&program, &erasure);
        let exists = |client: &mut Client| {
            let path = format!("/api/v1/profiles?identifier=web:{MARK}");
            client.get(&path).unwrap().status == 200
        };
        assert!(!exists(&mut client), "{place}");
        let profiles = client.json("/api/v1/state/digest")["profiles"].clone();
        assert_eq!(profiles, 7, "{place}");
        program.stop();
        assert_clean(home.data(), &place);
        // Nor do they come back with a start from the snapshot, or from the journal alone.
        let program = home.start();
        assert!(!exists(&mut program.client()), "{place}");
        program.stop();
        std::fs::remove_dir_all(home.data().join("snapshot")).unwrap();
        let program = home.start();
        assert!(!exists(&mut program.client()), "{place}");
        program.stop();
        assert_clean(home.data(), &place);
    }
}

#[test]
fn an_older_backup_with_the_log_beside_it_stays_without_the_erased() {
    for suppress in [true, false] {
        let home = Home::new(&config(""));
        let program = home.start();
        let mut client = program.client();
        others(&mut client, 100);
        person(&mut client, 0);
        program.stop();
        let backup = tempfile::tempdir().unwrap();
        let data = backup.path().join("data");
        copy(home.data(), &data);
        let program = home.start();
        let mut client = program.client();
        // While a merge is under way: these answers are not waited for.
        let address = program.address;
        let erasure = std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut client = Client::new(address);
                for number in 0..20 {
                    let body = json!({"c": format!("c-{MARK}"), "u": MARK, "phone": "0151 98765432", "n": number});
                    post(&mut client, "visit/shop", &body);
                }
            });
            erase(&mut client, suppress)
        });
        comes_to_rest(&program, &erasure);
        // Without a suppression the events behind it make a person again, who is erased in turn.
        let again = client.get(&format!("/api/v1/profiles?identifier=shop:c-{MARK}")).unwrap();
        if again.status == 200 {
            let body = json!({"identifier": format!("shop:c-{MARK}"), "suppress": suppress, "reason": "r"});
            let answer = client.post("/api/v1/erasures", &body.to_string()).unwrap().json();
            comes_to_rest(&program, &answer);
        }
        program.stop();
        assert_clean(home.data(), &format!("suppress: {suppress}"));
        std::fs::copy(home.data().join("erasures.log"), data.join("erasures.log")).unwrap();
        let restored = Home::on(data, &config(""));
        let program = restored.start();
        let mut client = program.client();
        for name in [format!("web:{MARK}"), format!("shop:c-{MARK}")] {
            let answer = client.get(&format!("/api/v1/profiles?identifier={name}")).unwrap();
            assert_eq!(answer.status, 404, "{name}");
        }
        assert_eq!(client.json("/api/v1/state/digest")["profiles"], 7);
        program.stop();
        // The first start erased; nobody knows the number to ask for, so look until the files are clean.
        let is_clean = || {
            let program = restored.start();
            assert_eq!(program.client().post("/api/v1/snapshots", "").unwrap().status, 200);
            program.stop();
            traces::find(restored.data(), &[MARK.to_owned()]).is_empty().then_some(())
        };
        poll(OVER_WITHIN, is_clean).expect("files without the erased");
        assert_clean(restored.data(), &format!("restored, suppress: {suppress}"));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
