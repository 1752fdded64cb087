//! Lays what the program answers beside what the model says.

use super::client::Client;
use super::model::{Fate, People, Person};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An event as listed.
#[derive(Clone, Debug)]
pub struct Listed {
    pub id: String,
    pub status: String,
    pub profile: Option<String>,
}

/// Every event that the program holds, by the number in its payload; each is there once.
pub fn listed(client: &mut Client) -> BTreeMap<u64, Listed> {
    let mut all = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.json(&format!("/api/v1/events?limit=250{cursor}"));
        for item in page["items"].as_array().unwrap() {
            let text = |name: &str| item[name].as_str().map(str::to_owned);
            let number = item["properties"]["n"].as_u64().unwrap_or_else(|| panic!("{item}"));
            let one = Listed {
                id: text("id").unwrap(),
                status: text("status").unwrap(),
                profile: text("profile_id"),
            };
            let id = one.id.clone();
            if let Some(other) = all.insert(number, one) {
                panic!("event {number} is there twice: as {id} and as {}", other.id);
            }
        }
        let Some(next) = page["next"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

/// The digest.
pub fn digest(client: &mut Client) -> String {
    client.json("/api/v1/state/digest")["digest"].as_str().unwrap().to_owned()
}

/// Asserts that the program holds the people of the model; `place` says which world this is.
pub fn assert_people(client: &mut Client, people: &People, place: &str) {
    let differences = differences(client, people);
    assert!(
        differences.is_empty(),
        "{place}: {} differences from the model, the first of them:\n{}",
        differences.len(),
        differences[..differences.len().min(12)].join("\n")
    );
}

/// Where the program and the model disagree.
pub fn differences(client: &mut Client, people: &People) -> Vec<String> {
    let mut wrong = Vec::new();
    let listed = listed(client);
    let ids = partition(&listed, people, &mut wrong);
    for (place, person) in people.persons.iter().enumerate() {
        let Some(id) = ids.get(&place) else { continue };
        let shown = client.json(&format!("/api/v1/profiles/{id}"));
        if shown["id"] != **id {
            wrong.push(format!("profile {id} is shown as {}", shown["id"]));
        }
        wrong.extend(
            profile(&shown, person, people).into_iter().map(|what| format!("{id}: {what}")),
        );
    }
    for (identifier, owner) in &people.owners {
        let path = format!("/api/v1/profiles?identifier={}", identifier.replace('+', "%2B"));
        let answer = client.get(&path).unwrap();
        let found = answer.json()["id"].as_str().map(str::to_owned);
        // A hub joins nobody; what has no other origin stays findable, or not.
        if owner.is_none() && people.hubs.contains(identifier) {
            continue;
        }
        let expected = owner.and_then(|place| ids.get(&place).cloned());
        if found != expected {
            wrong.push(format!("{identifier} is on {found:?}, by the model on {expected:?}"));
        }
    }
    let state = client.json("/api/v1/state/digest");
    for (name, expected) in [("profiles", people.persons.len()), ("events", people.kept())] {
        if state[name] != expected {
            wrong.push(format!("{} {name}, by the model {expected}", state[name]));
        }
    }
    wrong
}

/// The profile id of each person, by their events.
fn partition(
    listed: &BTreeMap<u64, Listed>,
    people: &People,
    wrong: &mut Vec<String>,
) -> BTreeMap<usize, String> {
    let mut ids: BTreeMap<usize, String> = BTreeMap::new();
    let mut persons: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, fate) in &people.fates {
        let one = listed.get(number);
        let status = match fate {
            Fate::On(_) => Some("stored"),
            Fate::ProfileLess => Some("profile-less"),
            Fate::Quarantined => Some("quarantined"),
            Fate::Dropped => None,
        };
        if one.map(|one| one.status.as_str()) != status {
            wrong.push(format!("event {number} is {one:?}, by the model {fate:?}"));
            continue;
        }
        let (Fate::On(place), Some(one)) = (fate, one) else { continue };
        let Some(id) = &one.profile else {
            wrong.push(format!("event {number} is on nobody, by the model on {place}"));
            continue;
        };
        if *ids.entry(*place).or_insert_with(|| id.clone()) != *id {
            wrong.push(format!(
                "event {number} of person {place} is on {id}, not on {}",
                ids[place]
            ));
        }
        if *persons.entry(id).or_insert(*place) != *place {
            let other = persons[id.as_str()];
            wrong.push(format!("persons {place} and {other} are both {id} (event {number})"));
        }
    }
    let unknown = listed.keys().filter(|number| !people.fates.contains_key(number));
    wrong.extend(unknown.map(|number| format!("event {number} was never sent")));
    ids
}

fn profile(shown: &Value, person: &Person, people: &People) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut differ = |what: &str, shown: String, expected: String| {
        if shown != expected {
            wrong.push(format!("{what} is {shown}, by the model {expected}"));
        }
    };
    let items = |name: &str| shown[name].as_array().unwrap().iter();
    let identifiers: BTreeSet<String> = items("identifiers")
        .map(|one| format!("{}:{}", one["type"].as_str().unwrap(), one["value"].as_str().unwrap()))
        // The hash of a mail may be shown with it, also when nobody sent it.
        .filter(|one| !one.starts_with("email_sha256:") || people.owners.contains_key(one))
        .collect();
    differ("identifiers", format!("{identifiers:?}"), format!("{:?}", person.identifiers));
    let mut fragments = BTreeMap::new();
    let mut alone = 0;
    for one in items("fragments").filter(|one| one["events"] != 0) {
        let origin = one["origin"].as_str().unwrap().to_owned();
        let is_alone = !person.fragments.contains_key(&origin) && one["events"] == 1;
        match is_alone && alone < person.alone {
            true => alone += 1,
            false => drop(fragments.insert(origin, one["events"].as_u64().unwrap())),
        }
    }
    differ("fragments", format!("{fragments:?}"), format!("{:?}", person.fragments));
    differ("alone", alone.to_string(), person.alone.to_string());
    let total: usize = person.by_type.values().sum();
    differ("stats.events", shown["stats"]["events"].to_string(), total.to_string());
    let by_type = serde_json::to_value(&person.by_type).unwrap();
    differ("stats.by_type", shown["stats"]["by_type"].to_string(), by_type.to_string());
    for (name, expected) in [("first_seen", &person.first_seen), ("last_seen", &person.last_seen)] {
        differ(name, shown[name].as_str().unwrap().to_owned(), expected.clone());
    }
    differ("known", shown["known"].to_string(), person.known.to_string());
    let names = shown["traits"].as_object().unwrap().keys().map(String::as_str);
    let names: BTreeSet<&str> = names.chain(person.traits.keys().copied()).collect();
    for name in names {
        let (shown, expected) = (&shown["traits"][name], person.traits.get(name));
        let is_same = match (shown.as_f64(), expected.and_then(Value::as_f64)) {
            (Some(shown), Some(expected)) => (shown - expected).abs() < 1e-9,
            _ => Some(shown) == expected,
        };
        if !is_same {
            differ(name, shown.to_string(), format!("{expected:?}"));
        }
    }
    wrong
}
