//! The configuration in force: what the files say, and the objects kept by API beside it.

use crate::domain::compiled::Compiled;
use crate::domain::problem::SettingsProblem;
use crate::domain::settings::Settings;
use crate::domain::{confidential, spelling};
use crate::records::ObjectKind;
use std::collections::{BTreeMap, BTreeSet};

/// Objects kept by API: their JSON by kind and id.
pub type Objects = BTreeMap<(ObjectKind, String), String>;

/// The configuration in force, compiled.
#[derive(Debug)]
pub struct Effective {
    /// What the HTTP layer reads events by.
    pub compiled: Compiled,
    /// Ids of objects that come from files, by kind: they are read-only over the API.
    pub provisioned: BTreeSet<(ObjectKind, String)>,
    /// Keys the hashes of event ids.
    pub hash_key: [u8; 32],
}

impl Effective {
    /// Lays `objects` over `files`; where both name the same object, the file's counts.
    ///
    /// # Errors
    /// Every problem found, when the whole does not hold together.
    pub fn new(
        files: &Settings,
        objects: &Objects,
        hash_key: [u8; 32],
    ) -> Result<Self, Vec<SettingsProblem>> {
        let provisioned = provisioned(files);
        let mut settings = files.clone();
        for ((kind, id), json) in objects {
            if !provisioned.contains(&(*kind, id.clone())) {
                put(&mut settings, *kind, id, json)?;
            }
        }
        Ok(Self { compiled: Compiled::new(&settings)?, provisioned, hash_key })
    }

    /// Whether an object comes from a file.
    pub fn is_provisioned(&self, kind: ObjectKind, id: &str) -> bool {
        self.provisioned.contains(&(kind, id.to_owned()))
    }

    /// An object in force as JSON, as it may be shown: secrets in clear are masked.
    pub fn object(&self, kind: ObjectKind, id: &str) -> Option<serde_json::Value> {
        let object = self.whole_object(kind, id)?;
        Some(match confidential_kind(kind) {
            Some(kind) => confidential::masked(kind, object),
            None => object,
        })
    }

    /// The names of stored secrets that objects refer to, with the places where they do.
    pub fn secrets_used(&self) -> BTreeMap<String, Vec<String>> {
        let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for kind in [ObjectKind::Source, ObjectKind::Campaign] {
            let Some(sort) = confidential_kind(kind) else { continue };
            for id in self.ids(kind) {
                let Some(object) = self.whole_object(kind, &id) else { continue };
                for (name, place) in confidential::stored(sort, &object) {
                    used.entry(name).or_default().push(format!("{}.{id}.{place}", section(kind)));
                }
            }
        }
        used
    }

    fn whole_object(&self, kind: ObjectKind, id: &str) -> Option<serde_json::Value> {
        let settings = &self.compiled.settings;
        match kind {
            ObjectKind::Source => settings.sources.get(id).and_then(json),
            ObjectKind::IdentificationPoint => settings.points.get(id).and_then(json),
            ObjectKind::IdentityType => settings.identity.types.get(id).and_then(json),
            ObjectKind::Trait => settings.traits.get(id).and_then(json),
            ObjectKind::Campaign => settings.campaigns.get(id).cloned(),
        }
    }

    /// The ids of all objects of a kind, in order.
    pub fn ids(&self, kind: ObjectKind) -> Vec<String> {
        let settings = &self.compiled.settings;
        match kind {
            ObjectKind::Source => settings.sources.keys().cloned().collect(),
            ObjectKind::IdentificationPoint => settings.points.keys().cloned().collect(),
            ObjectKind::IdentityType => settings.identity.types.keys().cloned().collect(),
            ObjectKind::Trait => settings.traits.keys().cloned().collect(),
            ObjectKind::Campaign => settings.campaigns.keys().cloned().collect(),
        }
    }
}

fn json<T: serde::Serialize>(value: &T) -> Option<serde_json::Value> {
    serde_json::to_value(value).ok()
}

fn provisioned(files: &Settings) -> BTreeSet<(ObjectKind, String)> {
    fn all(kind: ObjectKind, ids: Vec<&String>) -> impl Iterator<Item = (ObjectKind, String)> {
        ids.into_iter().map(move |id| (kind, id.clone()))
    }
    all(ObjectKind::Source, files.sources.keys().collect())
        .chain(all(ObjectKind::IdentificationPoint, files.points.keys().collect()))
        .chain(all(ObjectKind::Campaign, files.campaigns.keys().collect()))
        .collect()
}

/// What sort of object with secrets a kind is; none where it has none.
pub(in crate::engine) fn confidential_kind(kind: ObjectKind) -> Option<confidential::Kind> {
    match kind {
        ObjectKind::Source => Some(confidential::Kind::Source),
        ObjectKind::Campaign => Some(confidential::Kind::Campaign),
        ObjectKind::IdentificationPoint | ObjectKind::IdentityType | ObjectKind::Trait => None,
    }
}

/// The section of the configuration that a kind of object stands in.
pub fn section(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Source => "source",
        ObjectKind::IdentificationPoint => "identification_point",
        ObjectKind::IdentityType => "identity.types",
        ObjectKind::Trait => "traits",
        ObjectKind::Campaign => "campaign",
    }
}

/// Puts an object into settings from its JSON.
///
/// # Errors
/// Everything in it that cannot be read, with its path.
fn put(
    settings: &mut Settings,
    kind: ObjectKind,
    id: &str,
    json: &str,
) -> Result<(), Vec<SettingsProblem>> {
    let at = format!("{}.{id}", section(kind));
    let id = id.to_owned();
    match kind {
        ObjectKind::Source => {
            settings.sources.insert(id, read(&at, json)?);
        }
        ObjectKind::IdentificationPoint => {
            settings.points.insert(id, read(&at, json)?);
        }
        ObjectKind::IdentityType => {
            settings.identity.types.insert(id, read(&at, json)?);
        }
        ObjectKind::Trait => {
            settings.traits.insert(id, read(&at, json)?);
        }
        ObjectKind::Campaign => {
            settings.campaigns.insert(id, read(&at, json)?);
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(at: &str, json: &str) -> Result<T, Vec<SettingsProblem>> {
    let value = serde_json::from_str(json).map_err(|cause| {
        vec![SettingsProblem { at: at.to_owned(), sentence: cause.to_string() }]
    })?;
    spelling::read(value).map_err(|mistakes| {
        let problem = |(path, sentence): (String, String)| SettingsProblem {
            at: spelling::within(at, &path),
            sentence,
        };
        mistakes.into_iter().map(problem).collect()
    })
}
