//! Random worlds: a configuration and events that disagree as often as possible.
//!
//! Small alphabets make people meet, clash and share. Every event that can make evidence has an
//! event time of its own, and no two identifiers in one event have the same strength: the contract
//! leaves ties between edges to a hash that nobody outside can know.

use super::random::Random;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The sources, and what becomes of their unidentified events.
pub const SOURCES: [(&str, &str); 3] = [("shop", "keep"), ("crm", "anonymous"), ("app", "drop")];
/// The traits and their folds.
pub const TRAITS: [(&str, &str); 7] = [
    ("color", "last"),
    ("origin", "first"),
    ("low", "min"),
    ("high", "max"),
    ("spent", "sum"),
    ("tags", "set"),
    ("agree", "consent"),
];
/// Where the identification points look, and what type of identifier they find there.
pub const FOUND: [(&str, &str); 5] =
    [("em", "email"), ("eh", "email_sha256"), ("ph", "phone"), ("dv", "device"), ("cr", "crm")];

/// The rules of one identifier type, as far as worlds change them.
#[derive(Clone, Debug, Default)]
pub struct TypeRules {
    pub unique: bool,
    /// Values, and over which time: `ever`, `year` or `month`.
    pub limit: Option<(usize, &'static str)>,
    pub shared_by: Option<usize>,
}

/// What is configured in a world.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub types: BTreeMap<&'static str, TypeRules>,
    /// `limits.identifiers`.
    pub cap: Option<usize>,
}

/// An event as a sender means it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number in the world, and in its payload.
    pub number: u64,
    pub source: &'static str,
    pub kind: &'static str,
    /// When it occurred: RFC 3339 in UTC with milliseconds, so that texts sort like times.
    pub at: String,
    pub user: Option<Value>,
    pub session: Option<String>,
    /// Where it lies in the payload, the identifier's type, and the value as it is spelt.
    pub identifiers: Vec<(&'static str, &'static str, String)>,
    pub traits: BTreeMap<&'static str, Value>,
}

/// A configuration and the events that it is to be tried with.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub rules: Rules,
    pub events: Vec<Event>,
}

/// How many of each there are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub events: usize,
    pub users: usize,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, size: Size) -> Self {
        let mut random = Random::new(seed);
        let rules = rules(&mut random);
        let first = 0;
        let events = events(&mut random, first, size);
        Self { seed, rules, events }
    }

    /// The configuration, with more of it appended.
    pub fn config(&self, more: &str) -> String {
        self.rules.toml(more)
    }
}

impl Rules {
    /// The configuration; `more` holds other sections, among them `[limits]` keys under `limits`.
    pub fn toml(&self, more: &str) -> String {
        self.toml_finding(&FOUND, more)
    }

    /// The same with some of the identification points.
    pub fn toml_finding(&self, found: &[(&str, &str)], more: &str) -> String {
        let mut toml = String::new();
        for (id, unidentified) in SOURCES {
            let traits: Vec<String> =
                TRAITS.iter().map(|(name, _)| format!("{name} = \"t.{name}\"")).collect();
            toml += &format!(
                "[[source]]\nid = \"{id}\"\nprofile_id = \"u\"\nsession_id = \"s\"\n\
                 event_id = \"id\"\noccurred_at = \"at\"\nunidentified = \"{unidentified}\"\n\
                 traits = {{ {} }}\n",
                traits.join(", ")
            );
        }
        for (path, kind) in found {
            toml += &format!(
                "[[identification_point]]\nid = \"{path}\"\n\
                 identifiers = [ {{ type = \"{kind}\", path = \"{path}\" }} ]\n"
            );
        }
        for (name, fold) in TRAITS {
            toml += &format!("[traits.{name}]\nfold = \"{fold}\"\n");
        }
        let mut types = self.types.clone();
        types.entry("phone").or_default();
        for (name, rules) in &types {
            toml += &format!("[identity.types.{name}]\nunique = {}\n", rules.unique);
            if let Some((values, per)) = rules.limit {
                toml += &format!("limit = {{ values = {values}, per = \"{per}\" }}\n");
            }
            if let Some(values) = rules.shared_by {
                toml += &format!("shared_by = {values}\n");
            }
            if *name == "phone" {
                toml += "normalise = \"trim\"\n";
            }
        }
        if let Some(cap) = self.cap {
            toml += &format!("[limits]\nidentifiers = {cap}\n");
        }
        toml + more
    }
}

fn rules(random: &mut Random) -> Rules {
    let mut types = BTreeMap::new();
    for name in ["shop", "crm", "app", "email", "phone"] {
        let unique = random.chance(if matches!(name, "shop" | "crm") { 60 } else { 15 });
        let limit = random
            .chance(25)
            .then(|| (1 + random.below(3), *random.one(&["ever", "year", "month"])));
        types.insert(name, TypeRules { unique, limit, shared_by: None });
    }
    let shared_by = random.chance(60).then(|| 2 + random.below(3));
    types.insert("device", TypeRules { shared_by, ..TypeRules::default() });
    Rules { types, cap: random.chance(25).then(|| 3 + random.below(4)) }
}

/// `size.events` random events, numbered from `first`.
pub fn events(random: &mut Random, first: u64, size: Size) -> Vec<Event> {
    (first..first + size.events as u64).map(|number| event(random, number, size.users)).collect()
}

fn event(random: &mut Random, number: u64, users: usize) -> Event {
    let (source, _) = *random.one(&SOURCES);
    let user = random.chance(65).then(|| user(random, users));
    let session = random.chance(30).then(|| match random.below(12) {
        0 => (*random.one(&["undefined", "null", "0", "{{id}}"])).to_owned(),
        _ => format!("S{}", random.below(users)),
    });
    let mut identifiers = Vec::new();
    let mut find = |percent, path, random: &mut Random, value: &dyn Fn(&mut Random) -> String| {
        if random.chance(percent) {
            let (_, kind) = FOUND.iter().find(|(known, _)| *known == path).unwrap();
            identifiers.push((path, *kind, value(random)));
        }
    };
    find(35, "em", random, &|random| mail(random, users));
    find(10, "eh", random, &|random| {
        super::model::sha256(&format!("m{}@x.org", random.below(users)))
    });
    find(15, "ph", random, &|random| format!("+4930{}", 100 + random.below(users)));
    find(15, "dv", random, &|random| format!("d{}", random.below(1 + users / 2)));
    // Both ways: the CRM's own id is often missing in its events, and other systems name it. In
    // its own events it may contradict the external ID, which is of the same type.
    find(10, "cr", random, &|random| random.below(users).to_string());
    let is_evidence = !identifiers.is_empty();
    let mut traits = BTreeMap::new();
    for (name, fold) in TRAITS {
        if random.chance(25) && (fold != "first" || is_evidence) {
            traits.insert(name, value(random, fold));
        }
    }
    let has_own_time = is_evidence || traits.contains_key("origin");
    let at = match has_own_time {
        true => own_time(random, number),
        false => format!("2023-06-15T23:59:59.00{}Z", random.below(3)),
    };
    let kind = *random.one(&["order", "page-view", "login"]);
    Event { number, source, kind, at, user, session, identifiers, traits }
}

/// Any day of three years; the time of day is the number, so that no two events share a time.
fn own_time(random: &mut Random, number: u64) -> String {
    assert!(number < 86_000, "a world has fewer events than a day has seconds");
    let (year, month, day) = (2022 + random.below(3), 1 + random.below(12), 1 + random.below(28));
    let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.500Z")
}

fn user(random: &mut Random, users: usize) -> Value {
    match random.below(20) {
        0 => json!(random.one(&[
            "null",
            " ",
            "0",
            "Guest",
            "[object Object]",
            "{{id}}",
            "[REDACTED]",
            "\u{FEFF}n/a ",
            "None None",
        ])),
        1..=8 => json!(random.below(users)),
        9 => json!(format!(" {} ", random.below(users))),
        _ => json!(random.below(users).to_string()),
    }
}

fn mail(random: &mut Random, users: usize) -> String {
    match random.below(20) {
        0 => (*random.one(&["test@test.com", "nobody", "undefined", "none"])).to_owned(),
        1..3 => format!(" M{}@X.org", random.below(users)),
        3 => format!("\"Ash, Ann\" <m{}@x.org>", random.below(users)),
        4 => format!("mailto:M{}@x.org\u{200B}", random.below(users)),
        _ => format!("m{}@x.org", random.below(users)),
    }
}

fn value(random: &mut Random, fold: &str) -> Value {
    match fold {
        "min" | "max" | "sum" => {
            let hundredths = i64::try_from(random.below(2_000)).unwrap() - 500;
            // Whole numbers as such: how a decimal one is spelt in JSON is tried elsewhere.
            if random.chance(50) { json!(hundredths) } else { json!(hundredths as f64 / 4.0) }
        }
        "set" if random.chance(50) => json!([random.below(4).to_string(), "x"]),
        "set" => json!(random.below(6).to_string()),
        "consent" => match random.below(8) {
            0 => json!(*random.one(&["yes", "Granted", "opted_in", "on", "1"])),
            1 => json!(*random.one(&["no", "off", "denied", "perhaps"])),
            2 => json!(random.below(3)),
            3 | 4 => json!(true),
            _ => json!(false),
        },
        _ => match random.below(10) {
            0 => Value::Null,
            1 => json!(" "),
            2 => json!([random.below(3), "x"]),
            3 => json!({ "b": random.below(3), "a": 1 }),
            4..7 => json!(random.below(30)),
            _ => json!(format!("c{}", random.below(9))),
        },
    }
}

impl Event {
    /// Its body, always in the same spelling.
    pub fn body(&self) -> String {
        let mut body = Map::new();
        body.insert("n".into(), json!(self.number));
        body.insert("id".into(), json!(format!("e{}", self.number)));
        body.insert("at".into(), json!(self.at));
        body.extend(self.user.clone().map(|user| ("u".into(), user)));
        body.extend(self.session.clone().map(|session| ("s".into(), json!(session))));
        for (path, _, value) in &self.identifiers {
            body.insert((*path).into(), json!(value));
        }
        let traits: Map<_, _> =
            self.traits.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        body.insert("t".into(), traits.into());
        Value::from(body).to_string()
    }

    /// Where it is sent.
    pub fn path(&self) -> String {
        format!("/collect/{}/{}", self.kind, self.source)
    }
}
