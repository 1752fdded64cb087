//! The reference model: who the people are, worked out from the contract by plain sets and loops.
//!
//! Written from the contract alone, not from the program. It reads all events at once, lists the
//! evidence, and lays it edge by edge; speed and increments are the program's business.

use super::world::{Event, Rules, SOURCES, TRAITS, TypeRules};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Types of nodes that are no identifiers.
const SESSION: &str = "session";
const ALONE: &str = "(alone)";
const MAIL: &str = "email";
const HASH: &str = "email_sha256";
/// Built-in values that identify nobody, as far as worlds use such.
const GARBAGE: [&str; 13] = [
    "",
    "null",
    "none",
    "undefined",
    "guest",
    "0",
    "[object object]",
    "test@test.com",
    "unknown",
    "{{id}}",
    "[redacted]",
    "n/a",
    "none none",
];

/// What evidence is about: its type and canonical value.
pub type Node = (&'static str, String);

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On the person with this place in [`People::persons`].
    On(usize),
    ProfileLess,
    Quarantined,
    Dropped,
}

/// A person.
#[derive(Clone, Debug, Default)]
pub struct Person {
    pub identifiers: BTreeSet<String>,
    /// Events by origin.
    pub fragments: BTreeMap<String, usize>,
    /// Fragments of events in which nothing identifies anyone.
    pub alone: usize,
    pub by_type: BTreeMap<&'static str, usize>,
    pub traits: BTreeMap<&'static str, Value>,
    pub first_seen: String,
    pub last_seen: String,
    pub known: bool,
}

/// Everybody.
#[derive(Clone, Debug, Default)]
pub struct People {
    pub persons: Vec<Person>,
    /// By the event's number.
    pub fates: BTreeMap<u64, Fate>,
    /// Every identifier that was seen, and the person on whom it is effective.
    pub owners: BTreeMap<String, Option<usize>>,
    /// Identifiers that are quarantined as hubs.
    pub hubs: BTreeSet<String>,
    /// Where identifiers and sessions are.
    places: BTreeMap<Node, usize>,
}

/// SHA-256 in lower-case hex.
pub fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An event's identifiers as they count.
struct Read<'e> {
    event: &'e Event,
    external: Option<Node>,
    all: BTreeSet<Node>,
}

#[derive(Default)]
struct Evidence<'e> {
    fragments: BTreeMap<Node, Vec<&'e Event>>,
    /// The two ends, in order, and the earliest event time.
    edges: BTreeMap<(Node, Node), String>,
    /// Per session the earliest external ID.
    sessions: BTreeMap<String, (String, String, Node)>,
    /// When each identifier was first seen.
    seen: BTreeMap<Node, String>,
    /// Per identifier and unique type the values in the same events.
    beside: BTreeMap<(Node, &'static str), BTreeSet<String>>,
}

impl People {
    /// Who they are after these events, each of which was taken once, in whatever order.
    pub fn new<'e>(rules: &Rules, events: impl IntoIterator<Item = &'e Event>) -> Self {
        let mut people = Self::default();
        let mut evidence = Evidence::default();
        let mut origins = BTreeMap::new();
        for event in events {
            let read = read(event);
            match fate(rules, &read) {
                Ok(origin) => {
                    evidence.add(rules, &read, &origin);
                    origins.insert(event.number, origin);
                }
                Err(fate) => drop(people.fates.insert(event.number, fate)),
            }
        }
        let hubs = evidence.hubs(rules);
        let clusters = clusters(rules, &evidence, &hubs);
        let mut places = BTreeMap::new();
        for cluster in clusters {
            let has_events = cluster.iter().any(|node| evidence.fragments.contains_key(node));
            let place = has_events.then_some(people.persons.len());
            for node in cluster.iter().filter(|(kind, _)| !matches!(*kind, SESSION | ALONE)) {
                let owner = place.filter(|_| !hubs.contains(node));
                people.owners.insert(name(node), owner);
            }
            let Some(place) = place else { continue };
            people.persons.push(person(&cluster, &evidence, &hubs));
            places.extend(cluster.into_iter().map(|node| (node, place)));
        }
        let on = |(number, origin): (u64, Node)| (number, Fate::On(places[&origin]));
        people.fates.extend(origins.into_iter().map(on));
        people.hubs = hubs.iter().map(name).collect();
        people.places = places;
        people
    }

    /// The events that go with a person who is erased: their own, and those set aside that name an
    /// identifier or a session of theirs, or one that nobody else has shown.
    pub fn events_of(&self, person: usize, events: &[Event]) -> BTreeSet<u64> {
        let is_own = |event: &&Event| self.fates[&event.number] == Fate::On(person);
        let is_others = |event: &&Event| matches!(self.fates[&event.number], Fate::On(other) if other != person);
        let others: BTreeSet<Node> = events.iter().filter(is_others).flat_map(named).collect();
        let shown = events.iter().filter(is_own).flat_map(named);
        let gone: BTreeSet<Node> = shown
            .filter(|node| self.places.get(node) == Some(&person) || !others.contains(node))
            .chain(
                self.places.iter().filter(|(_, at)| **at == person).map(|(node, _)| node.clone()),
            )
            .collect();
        let is_trace = |event: &&Event| {
            self.fates[&event.number] == Fate::Quarantined
                && named(event).iter().any(|node| gone.contains(node))
        };
        events
            .iter()
            .filter(|event| is_own(event) || is_trace(event))
            .map(|one| one.number)
            .collect()
    }

    /// How many events are kept.
    pub fn kept(&self) -> usize {
        self.fates.values().filter(|fate| **fate != Fate::Dropped).count()
    }
}

fn name((kind, value): &Node) -> String {
    format!("{kind}:{value}")
}

fn read(event: &Event) -> Read<'_> {
    let external = event.user.as_ref().and_then(|user| {
        let text = user.as_str().map_or_else(|| user.to_string(), str::to_owned);
        canonical(event.source, &text)
    });
    let found = event.identifiers.iter().filter_map(|(_, kind, value)| canonical(kind, value));
    let all = found.chain(external.clone()).collect();
    Read { event, external, all }
}

/// The identifiers and the session in an event.
fn named(event: &Event) -> BTreeSet<Node> {
    let session = said_session(event).map(|session| (SESSION, session));
    read(event).all.into_iter().chain(session).collect()
}

/// A session that says something.
fn said_session(event: &Event) -> Option<String> {
    event.session.clone().filter(|session| !GARBAGE.contains(&session.to_lowercase().as_str()))
}

/// Without blanks and what nobody sees at the ends.
fn visible(raw: &str) -> &str {
    raw.trim_matches(|ch: char| ch.is_whitespace() || matches!(ch, '\u{FEFF}' | '\u{200B}'))
}

/// Without a name, angle brackets and `mailto:`, as far as worlds write them.
fn bare_address(text: &str) -> &str {
    let inner = text.split_once('<').map_or(text, |(_, inner)| inner.trim_end_matches('>'));
    inner.strip_prefix("mailto:").unwrap_or(inner)
}

fn canonical(kind: &'static str, raw: &str) -> Option<Node> {
    let text = visible(raw);
    let is_garbage = GARBAGE.contains(&text.to_lowercase().as_str());
    let text = if kind == MAIL { bare_address(text) } else { text };
    let is_readable = kind != MAIL || text.contains('@');
    let text = if matches!(kind, MAIL | HASH) { text.to_lowercase() } else { text.to_owned() };
    (!is_garbage && is_readable).then_some((kind, text))
}

/// The origin of an event's fragment, or what becomes of it without one.
fn fate(rules: &Rules, read: &Read<'_>) -> Result<Node, Fate> {
    let unique = read.all.iter().filter(|(kind, _)| rules.of(kind).unique);
    let types: BTreeSet<_> = unique.clone().map(|(kind, _)| kind).collect();
    if types.len() < unique.count() {
        return Err(Fate::Quarantined);
    }
    let session = said_session(read.event).map(|session| (SESSION, session));
    let strongest = || read.all.iter().min_by_key(|node| (priority(node.0), *node)).cloned();
    if let Some(origin) = read.external.clone().or(session).or_else(strongest) {
        return Ok(origin);
    }
    match SOURCES.iter().find(|(id, _)| *id == read.event.source) {
        Some((_, "keep")) => Err(Fate::ProfileLess),
        Some((_, "drop")) => Err(Fate::Dropped),
        _ => Ok((ALONE, read.event.number.to_string())),
    }
}

fn priority(kind: &str) -> u32 {
    match kind {
        "shop" | "crm" | "app" => 10,
        MAIL => 20,
        HASH => 25,
        "phone" => 30,
        "device" => 80,
        SESSION => 0,
        other => panic!("no priority is known for {other}"),
    }
}

impl Rules {
    fn of(&self, kind: &str) -> TypeRules {
        self.types.get(kind).cloned().unwrap_or_default()
    }
}

impl<'e> Evidence<'e> {
    fn add(&mut self, rules: &Rules, read: &Read<'e>, origin: &Node) {
        let at = &read.event.at;
        let earliest = |known: &mut String| {
            if at < known {
                known.clone_from(at);
            }
        };
        self.fragments.entry(origin.clone()).or_default().push(read.event);
        for node in &read.all {
            self.seen.entry(node.clone()).and_modify(earliest).or_insert_with(|| at.clone());
            if node != origin {
                let ends = (node.min(origin).clone(), node.max(origin).clone());
                self.edges.entry(ends).and_modify(earliest).or_insert_with(|| at.clone());
            }
            for other in read.all.iter().filter(|other| *other != node) {
                if rules.of(other.0).unique {
                    let values = self.beside.entry((node.clone(), other.0)).or_default();
                    values.insert(other.1.clone());
                }
            }
        }
        if let (Some(session), Some(external)) = (said_session(read.event), &read.external) {
            let candidate = (at.clone(), name(external), external.clone());
            let known = self.sessions.entry(session.clone()).or_insert_with(|| candidate.clone());
            if candidate < *known {
                *known = candidate;
            }
        }
    }

    fn hubs(&self, rules: &Rules) -> BTreeSet<Node> {
        let shared = self.beside.iter().filter(|((node, _), values)| {
            rules.of(node.0).shared_by.is_some_and(|most| values.len() >= most)
        });
        shared.map(|((node, _), _)| node.clone()).collect()
    }

    /// All edges in the order in which they are laid.
    fn ordered(&self, hubs: &BTreeSet<Node>) -> Vec<(Node, Node)> {
        let mut edges = Vec::new();
        for mail in self.seen.keys().filter(|(kind, _)| *kind == MAIL) {
            let hash = (HASH, sha256(&mail.1));
            if self.seen.contains_key(&hash) {
                edges.push(((1, 0, String::new()), (mail.clone(), hash)));
            }
        }
        for (session, (_, _, external)) in &self.sessions {
            let ends = ((SESSION, session.clone()), external.clone());
            edges.push(((2, 0, String::new()), ends));
        }
        for (ends, at) in &self.edges {
            let weaker = priority(ends.0.0).max(priority(ends.1.0));
            edges.push(((3, weaker, at.clone()), ends.clone()));
        }
        edges.retain(|(_, (a, b))| !hubs.contains(a) && !hubs.contains(b));
        edges.sort();
        edges.into_iter().map(|(_, ends)| ends).collect()
    }
}

/// Lays the edges one by one and skips those that would break a rule.
fn clusters(rules: &Rules, evidence: &Evidence<'_>, hubs: &BTreeSet<Node>) -> Vec<BTreeSet<Node>> {
    let mut clusters: Vec<BTreeSet<Node>> = Vec::new();
    let mut of: BTreeMap<Node, usize> = BTreeMap::new();
    let sessions = evidence.sessions.keys().map(|session| (SESSION, session.clone()));
    let nodes = evidence.seen.keys().chain(evidence.fragments.keys()).cloned().chain(sessions);
    for node in nodes {
        of.entry(node.clone()).or_insert_with(|| {
            clusters.push([node].into());
            clusters.len() - 1
        });
    }
    for (a, b) in evidence.ordered(hubs) {
        let (mut into, mut from) = (of[&a], of[&b]);
        if into == from {
            continue;
        }
        let union: BTreeSet<Node> = &clusters[into] | &clusters[from];
        if !is_allowed(rules, evidence, &union) {
            continue;
        }
        if clusters[into].len() < clusters[from].len() {
            (into, from) = (from, into);
        }
        for node in std::mem::take(&mut clusters[from]) {
            of.insert(node, into);
        }
        clusters[into] = union;
    }
    clusters.retain(|cluster| !cluster.is_empty());
    clusters
}

fn is_allowed(rules: &Rules, evidence: &Evidence<'_>, nodes: &BTreeSet<Node>) -> bool {
    let shown = nodes.iter().filter(|(kind, _)| !matches!(*kind, SESSION | ALONE | HASH));
    if rules.cap.is_some_and(|cap| shown.count() > cap) {
        return false;
    }
    let mut values: BTreeMap<&str, usize> = BTreeMap::new();
    let mut in_time: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for node in nodes.iter().filter(|(kind, _)| !matches!(*kind, SESSION | ALONE)) {
        *values.entry(node.0).or_default() += 1;
        let digits = match rules.of(node.0).limit {
            Some((_, "year")) => 4,
            Some((_, "month")) => 7,
            _ => 0,
        };
        *in_time.entry((node.0, &evidence.seen[node][..digits])).or_default() += 1;
    }
    let is_one = values.iter().all(|(kind, count)| *count <= 1 || !rules.of(kind).unique);
    let is_few = in_time
        .iter()
        .all(|((kind, _), count)| rules.of(kind).limit.is_none_or(|(most, _)| *count <= most));
    is_one && is_few
}

fn person(cluster: &BTreeSet<Node>, evidence: &Evidence<'_>, hubs: &BTreeSet<Node>) -> Person {
    let mut person = Person::default();
    let mut events = Vec::<&Event>::new();
    for node in cluster {
        if !matches!(node.0, SESSION | ALONE) && !hubs.contains(node) {
            person.identifiers.insert(name(node));
            person.known |= matches!(node.0, MAIL | "phone");
        }
        let Some(of_fragment) = evidence.fragments.get(node) else { continue };
        match node.0 {
            ALONE => person.alone += 1,
            _ => drop(person.fragments.insert(name(node), of_fragment.len())),
        }
        events.extend(of_fragment);
    }
    for event in &events {
        *person.by_type.entry(event.kind).or_default() += 1;
    }
    person.first_seen = events.iter().map(|event| event.at.clone()).min().unwrap();
    person.last_seen = events.iter().map(|event| event.at.clone()).max().unwrap();
    for (name, fold) in TRAITS {
        let said: Vec<(&str, &Value)> = events
            .iter()
            .filter_map(|event| Some((event.at.as_str(), event.traits.get(name)?)))
            .filter(|(_, value)| !value.is_null())
            .filter(|(_, value)| value.as_str().is_none_or(|text| !text.trim().is_empty()))
            .collect();
        person.traits.extend(folded(fold, &said).map(|value| (name, value)));
    }
    person
}

/// Whatever is no granted consent is none.
fn is_granted(value: &Value) -> bool {
    let word = value.as_str().map_or_else(|| value.to_string(), str::to_lowercase);
    ["true", "1", "yes", "on", "y", "granted", "opted_in"].contains(&word.trim())
}

fn folded(fold: &str, said: &[(&str, &Value)]) -> Option<Value> {
    let number = |value: &Value| value.as_f64().unwrap();
    let values = || said.iter().map(|(_, value)| *value);
    match fold {
        "last" => said.iter().max_by_key(|(at, v)| (*at, v.to_string())).map(|(_, v)| (*v).clone()),
        "first" => said.iter().min_by_key(|(at, _)| *at).map(|(_, v)| (*v).clone()),
        "min" => values().min_by(|a, b| number(a).total_cmp(&number(b))).cloned(),
        "max" => values().max_by(|a, b| number(a).total_cmp(&number(b))).cloned(),
        "sum" => (!said.is_empty()).then(|| values().map(number).sum::<f64>().into()),
        "set" => {
            let each = values().flat_map(|value| match value {
                Value::Array(all) => all.clone(),
                one => vec![one.clone()],
            });
            let each: BTreeSet<String> = each.map(|one| one.as_str().unwrap().to_owned()).collect();
            (!each.is_empty()).then(|| each.into_iter().collect())
        }
        "consent" => said
            .iter()
            .map(|(at, value)| (*at, Reverse(is_granted(value))))
            .max()
            .map(|(_, Reverse(consent))| consent.into()),
        other => panic!("no fold {other}"),
    }
}
