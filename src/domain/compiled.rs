//! All settings, checked at once and compiled: what decides about events.

mod reserved;

pub use reserved::reserved;

use crate::domain::blocked::{Blocklist, is_builtin};
use crate::domain::campaign::Campaigns;
use crate::domain::facts::PassedOver;
use crate::domain::id::Identifier;
use crate::domain::names::{event_type, is_id, is_trait_name};
use crate::domain::normalise::canonical;
use crate::domain::path::Path;
use crate::domain::point::Point;
use crate::domain::problem::{Problems, SettingsProblem};
use crate::domain::rules::Rules;
use crate::domain::settings::{OneOrMany, PointConfig, PointIdentifier, Settings};
use crate::domain::source::Source;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The settings in force, compiled.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What they were compiled from.
    pub settings: Settings,
    /// The rules of identifier types and traits.
    pub rules: Arc<Rules>,
    /// Sources by id.
    pub sources: HashMap<String, Arc<Source>>,
    /// Sources that are not configured but that points name: events of theirs may be kept still.
    gone: HashMap<String, Arc<Source>>,
    /// What every other unknown source has: the points that read all sources.
    stranger: Arc<Source>,
    /// Campaigns.
    pub campaigns: Arc<Campaigns>,
    blocklists: HashMap<String, Blocklist>,
    /// Namespaces in which external IDs are `tenant/user`.
    tenanted: BTreeSet<String>,
}

impl Compiled {
    /// Checks and compiles.
    ///
    /// # Errors
    /// Every problem at once, in the order of the settings.
    pub fn new(settings: &Settings) -> Result<Self, Vec<SettingsProblem>> {
        let mut checker = Checker::default();
        let mut sources = checker.sources(settings);
        let points = checker.points(settings);
        let rules = Arc::new(Rules::new(settings));
        let blocklists = checker.types(settings, &rules);
        checker.traits(settings);
        let campaigns = Campaigns::compile(&settings.campaigns).unwrap_or_else(|problems| {
            checker.0.extend(problems);
            Campaigns::default()
        });
        let campaigns = campaigns.looking_at(settings.limits.condition_elements);
        let campaigns = campaigns.deciding_by_event_time(settings.event_time);
        if !checker.0.is_empty() {
            return Err(checker.0);
        }
        let named = points.iter().filter_map(|point| point.sources.as_ref()).flatten();
        let mut gone: HashMap<String, Source> = named
            .filter(|id| !sources.contains_key(*id))
            .map(|id| (id.clone(), Source::unknown(id)))
            .collect();
        let mut stranger = Source::unknown("");
        for source in sources.values_mut().chain(gone.values_mut()).chain([&mut stranger]) {
            let id = source.id.clone();
            for point in points.iter().filter(|point| point.reads_source(&id)) {
                source.use_point(point);
            }
        }
        let tenanted = sources.values().filter(|source| source.tenant.is_some());
        Ok(Self {
            settings: settings.clone(),
            rules,
            tenanted: tenanted.map(|source| source.namespace.to_string()).collect(),
            sources: sources.into_iter().map(|(id, source)| (id, Arc::new(source))).collect(),
            gone: gone.into_iter().map(|(id, source)| (id, Arc::new(source))).collect(),
            stranger: Arc::new(stranger),
            campaigns: Arc::new(campaigns),
            blocklists,
        })
    }

    /// The source that an event came from, as it is now; one that is no longer configured has only
    /// the points that read it.
    pub(super) fn source_of(&self, id: &str) -> &Arc<Source> {
        self.sources.get(id).or_else(|| self.gone.get(id)).unwrap_or(&self.stranger)
    }

    /// The canonical form of a value that identifies somebody; `None` when it cannot be read or is
    /// blocked.
    pub fn canonical(&self, kind: &str, region: Option<&str>, raw: &str) -> Option<Box<str>> {
        self.judged(kind, region, raw).ok()
    }

    /// The same, with why it identifies nobody.
    ///
    /// # Errors
    /// When the value cannot be read, or is blocked.
    pub(super) fn judged(
        &self,
        kind: &str,
        region: Option<&str>,
        raw: &str,
    ) -> Result<Box<str>, PassedOver> {
        let rule = self.rules.of(kind);
        let builtin = |text: &str| self.rules.builtin_blocked && is_builtin(rule.normaliser, text);
        if builtin(raw) {
            return Err(PassedOver::Blocked);
        }
        let value = canonical(kind, rule, region, raw).ok_or(PassedOver::Unreadable)?;
        let blocked = builtin(&value)
            || self.blocklists.get(kind).is_some_and(|blocklist| blocklist.blocks(&value));
        if blocked { Err(PassedOver::Blocked) } else { Ok(value) }
    }

    /// The identifier that a person means by `type:value`, brought to its canonical form like any
    /// other; `None` when it is none. Blocked values are read too: one asks about them as well.
    pub fn identifier(&self, text: &str) -> Option<Identifier> {
        let Identifier { kind, value } = Identifier::parse(text)?;
        let rule = self.rules.of(&kind);
        let value = match value.split_once('/') {
            Some((tenant, user)) if self.tenanted.contains(&*kind) => {
                format!("{tenant}/{}", canonical(&kind, rule, None, user)?).into()
            }
            _ => canonical(&kind, rule, None, &value)?,
        };
        Some(Identifier { kind, value })
    }
}

/// Collects problems.
#[derive(Default)]
struct Checker(Vec<SettingsProblem>);

impl Checker {
    fn problem(&mut self, at: impl Into<String>, sentence: impl Into<String>) {
        self.0.push(SettingsProblem { at: at.into(), sentence: sentence.into() });
    }

    fn id(&mut self, at: impl Into<String>, what: &str, id: &str) {
        if !is_id(id) {
            let sentence = format!(
                "expected {what} of 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit, found {id:?}"
            );
            self.problem(at, sentence);
        }
    }

    /// Where the object names itself, it must be by the name that it is kept under.
    fn own_id(&mut self, at: &str, key: &str, said: &str) {
        if !said.is_empty() && said != key {
            self.problem(format!("{at}.id"), format!("expected {key:?}, found {said:?}"));
        }
    }

    fn sources(&mut self, settings: &Settings) -> HashMap<String, Source> {
        let mut sources = HashMap::with_capacity(settings.sources.len());
        for (id, config) in &settings.sources {
            let at = format!("source.{id}");
            self.id(at.clone(), "an id", id);
            self.own_id(&at, id, &config.id);
            if let Some(namespace) = &config.namespace {
                self.id(format!("{at}.namespace"), "an identifier type", namespace);
            }
            for name in config.traits.keys() {
                self.trait_name(&format!("{at}.traits"), name);
            }
            let mut problems = Problems::new();
            sources.insert(id.clone(), Source::compile(id, config, &mut problems));
            for (field, sentence) in problems {
                self.problem(format!("{at}.{field}"), sentence);
            }
        }
        sources
    }

    /// The enabled points; disabled ones are checked as well.
    fn points(&mut self, settings: &Settings) -> Vec<Point> {
        let mut points = Vec::with_capacity(settings.points.len());
        for (id, config) in &settings.points {
            let at = format!("identification_point.{id}");
            self.id(at.clone(), "an id", id);
            self.own_id(&at, id, &config.id);
            let paths = self.point(&at, config);
            if config.enabled {
                points.push(Point::new(id, config, paths));
            }
        }
        points
    }

    /// The paths of a point's identifiers.
    fn point(&mut self, at: &str, config: &PointConfig) -> Vec<Vec<Path>> {
        if config.identifiers.is_empty() {
            let sentence = "expected at least one { type = \"…\", path = \"…\" }, found none";
            self.problem(format!("{at}.identifiers"), sentence);
        }
        for name in config.event_type.iter().flat_map(OneOrMany::iter) {
            if name.trim() != "*" && event_type(name).is_none() {
                let sentence = format!("expected an event type or \"*\", found {name:?}");
                self.problem(format!("{at}.event_type"), sentence);
            }
        }
        let identifiers = config.identifiers.iter().enumerate();
        identifiers
            .map(|(place, wanted)| self.wanted(&format!("{at}.identifiers[{place}]"), wanted))
            .collect()
    }

    fn wanted(&mut self, at: &str, wanted: &PointIdentifier) -> Vec<Path> {
        self.id(format!("{at}.type"), "an identifier type", &wanted.kind);
        if let Some(name) = &wanted.trait_name {
            self.trait_name(&format!("{at}.trait"), name);
        }
        let mut paths = Vec::new();
        for path in wanted.path.iter() {
            match Path::parse(path) {
                Ok(path) => paths.push(path),
                Err(error) => self.problem(format!("{at}.path"), error.to_string()),
            }
        }
        if wanted.path.iter().len() == 0 {
            self.problem(format!("{at}.path"), "expected a path, found an empty list");
        }
        paths
    }

    fn types(&mut self, settings: &Settings, rules: &Rules) -> HashMap<String, Blocklist> {
        let mut blocklists = HashMap::new();
        for (name, config) in &settings.identity.types {
            let at = format!("identity.types.{name}");
            self.id(at.clone(), "an identifier type", name);
            if config.limit.is_some_and(|limit| limit.values == 0) {
                self.problem(format!("{at}.limit.values"), "expected at least 1, found 0");
            }
            if config.shared_by == Some(0) {
                self.problem(format!("{at}.shared_by"), "expected at least 1, found 0");
            }
            let rule = rules.of(name);
            match Blocklist::compile(&rule.blocked, |value| canonical(name, rule, None, value)) {
                Ok(blocklist) => {
                    blocklists.insert(name.clone(), blocklist);
                }
                Err(wrong) => {
                    for (place, error) in wrong {
                        self.problem(format!("{at}.blocked.regex[{place}]"), error);
                    }
                }
            }
        }
        blocklists
    }

    fn traits(&mut self, settings: &Settings) {
        for name in settings.traits.keys() {
            self.trait_name("traits", name);
        }
    }

    fn trait_name(&mut self, at: &str, name: &str) {
        if !is_trait_name(name) {
            let sentence = format!("expected a trait's name of 1 to 200 bytes, found {name:?}");
            self.problem(at, sentence);
        }
    }
}

#[cfg(test)]
mod tests;
