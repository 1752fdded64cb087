//! Paths with characters that no bare name may hold: refused where they are written, which is in
//! files and by API, and never when the journal is read.

use crate::domain::path::reserved;
use crate::domain::problem::SettingsProblem;
use crate::domain::settings::{OneOrMany, PointConfig, Settings, SourceConfig, TimePaths};
use serde_json::Value;

/// Every such path of the settings.
pub fn reserved(settings: &Settings) -> Vec<SettingsProblem> {
    let mut found = Found::default();
    for (id, source) in &settings.sources {
        found.source(&format!("source.{id}"), source);
    }
    for (id, point) in &settings.points {
        found.point(&format!("identification_point.{id}"), point);
    }
    for (id, campaign) in &settings.campaigns {
        found.campaign(&format!("campaign.{id}"), campaign);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<SettingsProblem>);

impl Found {
    fn path(&mut self, at: String, text: &str) {
        if let Err(error) = reserved::check(text) {
            self.0.push(SettingsProblem { at, sentence: error.to_string() });
        }
    }

    fn source(&mut self, at: &str, source: &SourceConfig) {
        let fields = [
            ("tenant", &source.tenant),
            ("profile_id", &source.profile_id),
            ("session_id", &source.session_id),
            ("event_id", &source.event_id),
            ("event_type", &source.event_type),
            ("split", &source.split),
        ];
        for (field, paths) in fields {
            for path in paths.iter().flat_map(OneOrMany::iter) {
                self.path(format!("{at}.{field}"), path);
            }
        }
        for time in source.occurred_at.iter().flat_map(TimePaths::iter) {
            self.path(format!("{at}.occurred_at"), time.path());
        }
        for path in source.decode.keys() {
            self.path(format!("{at}.decode.{path}"), path);
        }
        for (name, paths) in &source.traits {
            for path in paths.iter() {
                self.path(format!("{at}.traits.{name}"), path);
            }
        }
    }

    fn point(&mut self, at: &str, point: &PointConfig) {
        for (place, wanted) in point.identifiers.iter().enumerate() {
            for path in wanted.path.iter() {
                self.path(format!("{at}.identifiers[{place}].path"), path);
            }
        }
    }

    /// Conditions may lie anywhere in a campaign; each names its property by this key. The recursion
    /// is as deep as the readers of TOML and JSON let a value be.
    fn campaign(&mut self, at: &str, value: &Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let at = format!("{at}.{key}");
                    match value {
                        Value::String(path) if key == "property" => self.path(at, path),
                        value => self.campaign(&at, value),
                    }
                }
            }
            Value::Array(elements) => {
                for (place, element) in elements.iter().enumerate() {
                    self.campaign(&format!("{at}[{place}]"), element);
                }
            }
            _ => {}
        }
    }
}
