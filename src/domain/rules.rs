//! The rules of identifier types and traits, compiled from what users configure.

use crate::domain::settings::{
    Blocked, DecidingLimits, Fold, IdentityConfig, Limit, Normaliser, Settings, TypeConfig,
};
use std::collections::{BTreeMap, BTreeSet};

/// Priority of a source's external IDs.
pub const EXTERNAL_PRIORITY: u32 = 10;
/// Priority of a type that nothing is said about.
pub const OTHER_PRIORITY: u32 = 50;

/// The rules of one identifier type, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRule {
    /// The smaller, the stronger.
    pub priority: u32,
    /// How a value becomes canonical.
    pub normaliser: Normaliser,
    /// Drop dots and `+tags` of gmail addresses.
    pub gmail: bool,
    /// At most one value per profile.
    pub unique: bool,
    /// At most so many values per profile.
    pub limit: Option<Limit>,
    /// So many values of one unique type in its events make it a hub.
    pub shared_by: Option<u32>,
    /// Makes a profile known.
    pub known: bool,
    /// The configured values that identify nobody.
    pub blocked: Blocked,
}

/// All rules in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    types: BTreeMap<String, TypeRule>,
    namespaces: BTreeSet<String>,
    other: TypeRule,
    traits: BTreeMap<String, Fold>,
    mail_hashes: bool,
    /// Whether the built-in list of garbage values is on.
    pub builtin_blocked: bool,
    /// Limits that decide.
    pub limits: DecidingLimits,
}

impl Rules {
    /// The rules that `settings` make.
    pub fn new(settings: &Settings) -> Self {
        let namespaces: BTreeSet<String> = settings
            .sources
            .iter()
            .map(|(id, source)| source.namespace.clone().unwrap_or_else(|| id.clone()))
            .collect();
        let identity: &IdentityConfig = &settings.identity;
        let mut names: BTreeSet<&str> = identity.types.keys().map(String::as_str).collect();
        names.extend(namespaces.iter().map(String::as_str));
        names.extend(["email", "phone", "email_sha256", "device", "anonymous"]);
        let none = TypeConfig::default();
        let types = names
            .into_iter()
            .map(|name| {
                let said = identity.types.get(name).unwrap_or(&none);
                (name.to_owned(), with_defaults(name, namespaces.contains(name), said))
            })
            .collect();
        Self {
            types,
            namespaces,
            other: with_defaults("", false, &none),
            traits: settings.traits.iter().map(|(name, rule)| (name.clone(), rule.fold)).collect(),
            mail_hashes: yields_mail_hashes(settings),
            builtin_blocked: identity.builtin_blocked,
            limits: settings.limits,
        }
    }

    /// The rule of a type.
    pub fn of(&self, kind: &str) -> &TypeRule {
        self.types.get(kind).unwrap_or(&self.other)
    }

    /// Whether a type is the namespace of some source's external IDs.
    pub fn is_namespace(&self, kind: &str) -> bool {
        self.namespaces.contains(kind)
    }

    /// How a trait folds.
    pub fn fold(&self, name: &str) -> Fold {
        self.traits.get(name).copied().unwrap_or_default()
    }

    /// Whether some source or point yields SHA-256 hashes of mails, so that they can meet clear ones.
    pub fn yields_mail_hashes(&self) -> bool {
        self.mail_hashes
    }

    /// The rules by type name, in order.
    pub fn types(&self) -> impl Iterator<Item = (&str, &TypeRule)> {
        self.types.iter().map(|(name, rule)| (name.as_str(), rule))
    }
}

fn yields_mail_hashes(settings: &Settings) -> bool {
    const KIND: &str = "email_sha256";
    let mut points = settings.points.values().flat_map(|point| &point.identifiers);
    let mut sources = settings.sources.iter();
    points.any(|one| one.kind == KIND)
        || sources.any(|(id, source)| source.namespace.as_ref().unwrap_or(id) == KIND)
}

fn with_defaults(name: &str, is_namespace: bool, said: &TypeConfig) -> TypeRule {
    let priority = match name {
        _ if is_namespace => EXTERNAL_PRIORITY,
        "email" => 20,
        "email_sha256" => 25,
        "phone" => 30,
        "device" => 80,
        "anonymous" => 90,
        _ => OTHER_PRIORITY,
    };
    let normaliser = match name {
        "email" => Normaliser::Email,
        "phone" => Normaliser::Phone,
        "email_sha256" => Normaliser::Lowercase,
        _ => Normaliser::Trim,
    };
    TypeRule {
        priority: said.priority.unwrap_or(priority),
        normaliser: said.normalise.unwrap_or(normaliser),
        gmail: said.gmail.unwrap_or(false),
        unique: said.unique.unwrap_or(false),
        limit: said.limit,
        shared_by: said.shared_by,
        known: said.known.unwrap_or(matches!(name, "email" | "phone")),
        blocked: said.blocked.clone().unwrap_or_default(),
    }
}
