//! Configuration: a folder of TOML files, overlaid by environment and flags, checked as a whole.
//!
//! Promises: flag over environment over file over default; whatever is wrong is reported all at
//! once, each with the place where it was written; secrets are resolved at start and shown nowhere.
//! The part that decides about events becomes [`Settings`], without any secret.

mod error;
mod read;
mod secret;
mod sections;
mod units;

#[cfg(test)]
mod tests;

pub use crate::domain::network::Network;
pub use error::{ConfigError, Place, Problem};
pub use sections::{Admin, Journal, Limits, Log, Memory, Server, Snapshots};
pub use units::{ByteSize, Rate, Span};

use crate::domain::campaign::Campaigns;
use crate::domain::compiled::{self, Compiled};
use crate::domain::settings::{IdentityConfig, Settings};
use crate::domain::spelling::{friendly, unknown};
use crate::secrets::Secret;
use crate::telemetry;
use read::{Document, File};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The prefix of environment variables that override keys: `SELFSAME_SERVER__ADDRESS`.
pub const ENV_PREFIX: &str = "SELFSAME_";

/// Beyond it a value of a trait has no one spelling.
const DEPTH_MAX: usize = 512;
/// The variable that chooses what is said where no variable of our own does.
const RUST_LOG: &str = "RUST_LOG";

/// What counts where there is no folder: the defaults, and two sources to try things with.
const EMBEDDED: (&str, &str) =
    ("config/default.toml (compiled in)", include_str!("../../config/default.toml"));

/// Everything configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Admin,
    /// `[journal]`
    pub journal: Journal,
    /// `[snapshots]`
    pub snapshots: Snapshots,
    /// `[memory]`
    pub memory: Memory,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// What decides about events, with secrets by reference only.
    pub settings: Settings,
    /// The secrets that stand in the files in clear, by the references that took their place in the
    /// settings.
    pub in_clear: BTreeMap<String, Secret>,
    /// The name of the store's secret that the admin token is, where it is one.
    pub token_name: Option<String>,
}

/// A key set on the command line.
#[derive(Clone, Debug)]
pub struct Override {
    /// The flag as typed, such as `--address`.
    pub flag: &'static str,
    /// Its section.
    pub section: &'static str,
    /// Its key.
    pub key: &'static str,
    /// The value as typed.
    pub value: String,
}

/// What a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The folder; none for the file that is compiled in.
    pub folder: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The flags.
    pub overrides: Vec<Override>,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All that is wrong, with its places.
    pub fn load(inputs: &Inputs) -> Result<Self, ConfigError> {
        let files = match &inputs.folder {
            Some(folder) => {
                read::files(folder).map_err(|problem| ConfigError { problems: vec![problem] })?
            }
            None => vec![File { path: EMBEDDED.0.into(), text: EMBEDDED.1.to_owned() }],
        };
        Self::from_files(&files, inputs)
    }

    fn from_files(files: &[File], inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut document = Document::default();
        files.iter().for_each(|file| document.add(file));
        overlay(&mut document, inputs);
        let mut config = Self {
            server: section(&mut document, "server"),
            admin: section(&mut document, "admin"),
            journal: section(&mut document, "journal"),
            snapshots: section(&mut document, "snapshots"),
            memory: section(&mut document, "memory"),
            limits: section(&mut document, "limits"),
            log: section(&mut document, "log"),
            ..Self::default()
        };
        config.settings = settings(&mut document, &config.limits);
        config.resolve_secrets(&mut document, inputs);
        config.check(&mut document);
        match document.problems.is_empty() {
            true => Ok(config),
            false => Err(ConfigError { problems: in_order(document.problems) }),
        }
    }

    /// What single keys cannot show: how they fit together.
    fn check(&self, document: &mut Document<'_>) {
        let admin = self.admin.address.unwrap_or(self.server.address);
        if self.admin.token.is_none() && !admin.ip().is_loopback() {
            let at = if self.admin.address.is_some() { "admin.address" } else { "server.address" };
            let message = format!(
                "the admin API would be open to others at {admin}: set admin.token (such as \
                 \"env:SELFSAME_ADMIN_TOKEN\") or keep admin.address on 127.0.0.1"
            );
            // A token that could not be resolved is already reported.
            if !document.places.contains_key("admin.token") {
                document.problem(document.place_of(at), message);
            }
        }
        for (key, value) in [
            ("body", self.limits.body.0),
            ("depth", self.limits.depth as u64),
            ("keys", self.limits.keys as u64),
            ("batch", self.limits.batch as u64),
            ("queue", self.limits.queue as u64),
            ("queue_bytes", self.limits.queue_bytes.0),
            ("least_rate", self.limits.least_rate.0),
            ("event_identifiers", u64::from(self.limits.event_identifiers)),
            ("identifiers", u64::from(self.limits.identifiers)),
            ("component", u64::from(self.limits.component)),
            ("profiles", u64::from(self.limits.profiles)),
            ("condition_elements", u64::from(self.limits.condition_elements)),
            ("unsaved", self.limits.unsaved.0),
            ("page", self.limits.page.0),
            ("pages", self.limits.pages as u64),
            ("connections", self.limits.connections as u64),
        ] {
            if value == 0 {
                let at = format!("limits.{key}");
                let message = format!("{at} = 0 would refuse everything; expected at least 1");
                document.problem(document.place_of(&at), message);
            }
        }
        if self.limits.depth > DEPTH_MAX {
            let found = self.limits.depth;
            let message = format!("limits.depth = {found}: expected at most {DEPTH_MAX}");
            document.problem(document.place_of("limits.depth"), message);
        }
        // With unreadable objects left out, what refers to them would be reported as well. Campaigns
        // refer to nothing.
        let wrong = match document.problems.is_empty() {
            true => Compiled::new(&self.settings).err(),
            false => Campaigns::compile(&self.settings.campaigns).err(),
        };
        let reserved = compiled::reserved(&self.settings);
        for problem in wrong.into_iter().flatten().chain(reserved) {
            document.problem(document.place_of(&problem.at), problem.to_string());
        }
    }

    /// The sections as JSON, to compare and to show; no secret is in it.
    pub fn sections(&self) -> impl Serialize + '_ {
        BTreeMap::from([
            ("server", serde_json::to_value(&self.server)),
            ("admin", serde_json::to_value(&self.admin)),
            ("journal", serde_json::to_value(&self.journal)),
            ("snapshots", serde_json::to_value(&self.snapshots)),
            ("memory", serde_json::to_value(&self.memory)),
            ("limits", serde_json::to_value(&self.limits)),
            ("log", serde_json::to_value(&self.log)),
        ])
        .into_iter()
        .filter_map(|(name, value)| value.ok().map(|value| (name, value)))
        .collect::<BTreeMap<_, _>>()
    }
}

/// Lays environment and flags over the files.
fn overlay(document: &mut Document<'_>, inputs: &Inputs) {
    // What many programs read, and a variable of our own beats.
    if let Some(text) = inputs.env.get(RUST_LOG).filter(|text| !text.trim().is_empty()) {
        let place = Place::Variable(RUST_LOG.to_owned());
        set(document, "log", "level", &telemetry::of_rust_log(text), place);
    }
    for (name, text) in &inputs.env {
        // One underscore is a word of its own (`SELFSAME_ADMIN_TOKEN` may hold a secret); two part
        // section and key.
        let key = name.strip_prefix(ENV_PREFIX).and_then(|rest| rest.split_once("__"));
        let Some((section, key)) = key else { continue };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        let place = Place::Variable(name.clone());
        match read::SECTIONS.into_iter().find(|known| **known == section) {
            Some(section) => set(document, section, &key, text, place),
            None => document.problem(place, unknown(&section, "section", read::SECTIONS)),
        }
    }
    for flag in &inputs.overrides {
        let place = Place::Flag(flag.flag.to_owned());
        set(document, flag.section, flag.key, &flag.value, place);
    }
}

fn set(document: &mut Document<'_>, section: &'static str, key: &str, text: &str, place: Place) {
    document.places.insert(format!("{section}.{key}"), place.clone());
    let value = (toml::Value::String(text.to_owned()), place);
    document.values.entry(section).or_default().insert(key.to_owned(), value);
}

/// Reads a section key by key, so that every wrong key is reported.
fn section<T: DeserializeOwned + Default>(document: &mut Document<'_>, name: &'static str) -> T {
    let mut good = toml::Table::new();
    for (key, (value, place)) in document.values.remove(name).unwrap_or_default() {
        let typed = match &place {
            Place::Variable(_) | Place::Flag(_) => spellings::<T>(&key, value),
            _ => one::<T>(&key, value),
        };
        match typed {
            Ok(value) => drop(good.insert(key, value)),
            Err(message) => document.problem(place, message),
        }
    }
    good.try_into().unwrap_or_default() // each key was read before, and all of them have defaults
}

/// The value, if the section takes it under that key.
fn one<T: DeserializeOwned>(key: &str, value: toml::Value) -> Result<toml::Value, String> {
    let table = toml::Table::from_iter([(key.to_owned(), value.clone())]);
    match table.try_into::<T>() {
        Ok(_) => Ok(value),
        Err(error) => Err(friendly(error.message())),
    }
}

/// A text from outside a file is taken as a text where that fits, else as a TOML value (`42`).
fn spellings<T: DeserializeOwned>(key: &str, value: toml::Value) -> Result<toml::Value, String> {
    let parsed = value.as_str().and_then(|text| {
        let line = toml::from_str::<toml::Table>(&format!("value = {text}")).ok()?;
        line.get("value").cloned()
    });
    one::<T>(key, value).or_else(|wrong| match parsed {
        Some(parsed) => one::<T>(key, parsed),
        None => Err(wrong),
    })
}

fn settings(document: &mut Document<'_>, limits: &Limits) -> Settings {
    let identity: IdentityConfig = section(document, "identity");
    Settings {
        event_time: true,
        sources: document.read_objects("source"),
        points: document.read_objects("identification_point"),
        identity: IdentityConfig { types: document.read_objects("identity.types"), ..identity },
        traits: document.read_objects("traits"),
        campaigns: document.read_objects("campaign"),
        limits: limits.deciding(),
    }
}

fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| match (&a.place, &b.place) {
        (Place::File { path, line }, Place::File { path: other, line: at }) => {
            (path, line).cmp(&(other, at))
        }
        (Place::File { .. }, _) => std::cmp::Ordering::Less,
        (_, Place::File { .. }) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
    problems
}
