//! A source, compiled: where in its requests everything is, and how it is answered.

use crate::domain::lookup::{Choice, TimeLookup};
use crate::domain::occurred::{Format, Zone};
use crate::domain::path::read::PathSet;
use crate::domain::path::{Part, Path, PathError, Step};
use crate::domain::point::{Point, PointUse, Wanted};
use crate::domain::problem::Problems;
use crate::domain::rate::RateLimit;
use crate::domain::settings::{
    Durability, FieldDecoding, OneOrMany, Respond, SourceConfig, TimePaths, Unidentified,
};
use crate::domain::time::parse_span;

/// How long an event id is remembered unless the source says otherwise, in milliseconds.
pub const DEDUPE_WINDOW_MS: i64 = 7 * 86_400_000;

/// A compiled source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub id: Box<str>,
    /// Whether it takes anything.
    pub enabled: bool,
    /// Type of its external IDs.
    pub namespace: Box<str>,
    /// The request methods that it takes, in upper case (`HEAD` is always answered).
    pub methods: Vec<Box<str>>,
    /// When its events are acknowledged.
    pub durability: Durability,
    /// How long its event ids are remembered, in milliseconds.
    pub dedupe_window_ms: i64,
    /// What becomes of events in which nothing identifies anyone.
    pub unidentified: Unidentified,
    /// Whether replies name profile and session.
    pub respond_with_profile: bool,
    /// The answer it wants instead of ours.
    pub respond: Option<Respond>,
    /// How much it may send.
    pub rate_limit: Option<RateLimit>,
    /// Origins that CORS lets in.
    pub origins: Vec<String>,
    /// Arrays whose elements are events.
    pub splits: Vec<Vec<Step>>,
    /// Fields that hold JSON or base64.
    pub decode: Vec<(Vec<Step>, FieldDecoding)>,
    /// Default region of phone numbers.
    pub country: Option<Box<str>>,
    /// Every path into the properties, its own and its points'.
    pub(super) paths: PathSet,
    pub(super) tenant: Option<Choice>,
    pub(super) profile_id: Option<Choice>,
    pub(super) session_id: Option<Choice>,
    pub(super) event_id: Option<Choice>,
    /// Per path of `event_id`: whether it lies outside of the elements that `splits` make events
    /// of, so that all events of one request share it.
    pub(super) event_id_is_shared: Vec<bool>,
    pub(super) occurred_at: Vec<TimeLookup>,
    /// The zone of local times.
    pub(super) zone: Zone,
    pub(super) event_type: Option<Choice>,
    pub(super) traits: Vec<(Box<str>, Choice)>,
    pub(super) points: Vec<PointUse>,
}

impl Source {
    /// Has it use a point.
    pub(super) fn use_point(&mut self, point: &Point) {
        let wanted = point.wanted.iter().map(|wanted| Wanted {
            kind: wanted.kind.clone(),
            paths: Choice::new(&wanted.paths, &mut self.paths),
            trait_name: wanted.trait_name.clone(),
        });
        let wanted = wanted.collect();
        let event_types = point.event_types.clone();
        self.points.push(PointUse { id: point.id.clone(), event_types, wanted });
    }

    /// A source of which only its id is known: for events whose source is gone.
    pub(super) fn unknown(id: &str) -> Self {
        let nothing = SourceConfig::default();
        let mut problems = Problems::new();
        Self::compile(id, &nothing, &mut problems)
    }

    /// Compiles what is configured; what is wrong goes to `problems`, and the result is then not
    /// to be used.
    pub(super) fn compile(id: &str, config: &SourceConfig, problems: &mut Problems) -> Self {
        refuse_what_is_not_available(config, problems);
        let mut reader = Reader { set: PathSet::default(), problems };
        let splits = reader.splits(config.split.as_ref());
        let decode = config
            .decode
            .iter()
            .filter_map(|(path, how)| Some((reader.field(path)?, *how)))
            .collect();
        let event_id = reader.paths("event_id", config.event_id.as_ref());
        let shared = |path: &Path| !splits.is_empty() && !is_inside(path, &splits);
        let event_id_is_shared = event_id.iter().flatten().map(shared).collect();
        let event_type = reader.event_type(config.event_type.as_ref());
        let source = Self {
            id: id.into(),
            enabled: config.enabled,
            namespace: config.namespace.as_deref().unwrap_or(id).into(),
            methods: methods(config.methods.as_deref(), reader.problems),
            durability: config.durability,
            dedupe_window_ms: dedupe_window(config.dedupe_window.as_deref(), reader.problems),
            unidentified: config.unidentified,
            respond_with_profile: config.respond_with_profile,
            respond: config.respond.clone(),
            rate_limit: rate_limit(config.rate_limit.as_deref(), reader.problems),
            origins: config.origins.clone(),
            splits,
            decode,
            country: config.country.as_deref().map(Into::into),
            tenant: reader.choice("tenant", config.tenant.as_ref()),
            profile_id: reader.choice("profile_id", config.profile_id.as_ref()),
            session_id: reader.choice("session_id", config.session_id.as_ref()),
            event_id: event_id.map(|paths| Choice::new(&paths, &mut reader.set)),
            event_id_is_shared,
            occurred_at: reader.times(config.occurred_at.as_ref()),
            zone: reader.zone(config.timezone.as_deref()),
            event_type,
            traits: config
                .traits
                .iter()
                .filter_map(|(name, path)| {
                    let choice = reader.choice(&format!("traits.{name}"), Some(path))?;
                    Some((name.as_str().into(), choice))
                })
                .collect(),
            points: Vec::new(),
            paths: reader.set,
        };
        if config
            .country
            .as_deref()
            .is_some_and(|country| !crate::domain::normalise::is_region(country))
        {
            let sentence = "expected a country such as \"GB\" (ISO 3166-1 alpha-2, upper case)";
            problems.push(("country".into(), sentence.into()));
        }
        if let Some(status) = config.respond.as_ref().and_then(|respond| respond.status)
            && !(200..600).contains(&status)
        {
            let sentence = format!("expected an HTTP status from 200 to 599, found {status}");
            problems.push(("respond.status".into(), sentence));
        }
        source
    }
}

/// Compiles paths into one set and collects what is wrong.
struct Reader<'p> {
    set: PathSet,
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn choice(&mut self, field: &str, config: Option<&OneOrMany>) -> Option<Choice> {
        let paths = self.paths(field, config)?;
        Some(Choice::new(&paths, &mut self.set))
    }

    fn paths(&mut self, field: &str, config: Option<&OneOrMany>) -> Option<Vec<Path>> {
        match parse_all(config?) {
            Ok(paths) if paths.iter().any(Path::is_many) => {
                let sentence =
                    "[*] is for identification points and `split`; use [0] for one element";
                self.problems.push((field.to_owned(), sentence.to_owned()));
                None
            }
            Ok(paths) => Some(paths),
            Err(error) => {
                self.problems.push((field.to_owned(), error.to_string()));
                None
            }
        }
    }

    fn times(&mut self, config: Option<&TimePaths>) -> Vec<TimeLookup> {
        let mut times = Vec::new();
        for one in config.into_iter().flat_map(TimePaths::iter) {
            let path = OneOrMany::One(one.path().to_owned());
            let Some(mut choice) = self.choice("occurred_at", Some(&path)) else { continue };
            let format = one.format().map(|text| (text, Format::new(text)));
            if let Some((text, None)) = &format {
                let sentence = format!(
                    "expected a format that can spell a date and read it back, such as \"%m/%d/%Y %H:%M\", found {text:?}"
                );
                self.problems.push(("occurred_at.format".to_owned(), sentence));
            }
            let format = format.and_then(|(_, format)| format);
            times.extend(choice.0.pop().map(|lookup| TimeLookup { lookup, format }));
        }
        times
    }

    fn zone(&mut self, config: Option<&str>) -> Zone {
        let Some(name) = config else { return Zone::UTC };
        Zone::named(name).unwrap_or_else(|| {
            let sentence =
                format!("expected an IANA time zone such as \"Europe/Berlin\", found {name:?}");
            self.problems.push(("timezone".to_owned(), sentence));
            Zone::UTC
        })
    }

    /// In this field the name `event_type` can only mean the property: what it names otherwise is
    /// what the field overrides.
    fn event_type(&mut self, config: Option<&OneOrMany>) -> Option<Choice> {
        let property = |path| match path {
            Path::EventType => Path::Body(vec![Step::Key("event_type".into())]),
            other => other,
        };
        let paths: Vec<_> = self.paths("event_type", config)?.into_iter().map(property).collect();
        Some(Choice::new(&paths, &mut self.set))
    }

    fn body(&mut self, field: &str, text: &str, expected: &str) -> Option<Vec<Step>> {
        let sentence = match Path::parse(text) {
            Ok(Path::Body(steps)) => return Some(steps),
            // A property of that name is what is meant here.
            Ok(Path::EventType | Path::Source) => return Some(vec![Step::Key(text.trim().into())]),
            Ok(_) => format!("expected {expected}, found {text:?}"),
            Err(error) => error.to_string(),
        };
        self.problems.push((field.to_owned(), sentence));
        None
    }

    fn field(&mut self, path: &str) -> Option<Vec<Step>> {
        let field = format!("decode.{path}");
        let steps = self.body(&field, path, "the path of a field")?;
        if steps.contains(&Step::Each) {
            self.problems.push((field, "expected one field, found [*]".into()));
            return None;
        }
        Some(steps)
    }

    fn splits(&mut self, config: Option<&OneOrMany>) -> Vec<Vec<Step>> {
        let mut splits = Vec::new();
        for text in config.into_iter().flat_map(OneOrMany::iter) {
            if let Some(mut steps) = self.body("split", text, "the path of an array") {
                // `events[*]` says the same as `events`.
                while steps.len() > 1 && steps.last() == Some(&Step::Each) {
                    steps.pop();
                }
                splits.push(steps);
            }
        }
        splits
    }
}

/// Compiles one path or a list of them.
fn parse_all(config: &OneOrMany) -> Result<Vec<Path>, PathError> {
    config.iter().map(|text| Path::parse(text)).collect()
}

/// Whether a path reads from the elements of an array that is split, at least in a part.
fn is_inside(path: &Path, splits: &[Vec<Step>]) -> bool {
    match path {
        // An array on the way becomes its one element, so [*] takes no step in an event.
        Path::Body(steps) => splits.iter().any(|split| {
            let mut way = split.iter().filter(|step| **step != Step::Each);
            let mut steps = steps.iter();
            way.all(|step| steps.next() == Some(step))
        }),
        Path::Template(parts) => {
            parts.iter().any(|part| matches!(part, Part::Path(path) if is_inside(path, splits)))
        }
        _ => false,
    }
}

/// The request methods that a source may take.
const METHODS: [&str; 4] = ["POST", "GET", "PUT", "PATCH"];

fn methods(config: Option<&[String]>, problems: &mut Problems) -> Vec<Box<str>> {
    let Some(config) = config else { return vec!["POST".into(), "GET".into()] };
    let mut methods: Vec<Box<str>> = Vec::new();
    for method in config {
        match METHODS.iter().find(|known| known.eq_ignore_ascii_case(method)) {
            Some(known) if methods.iter().any(|one| **one == **known) => {}
            Some(known) => methods.push((*known).into()),
            None => {
                let sentence = format!("expected one of {}, found {method:?}", METHODS.join(", "));
                problems.push(("methods".into(), sentence));
            }
        }
    }
    if config.is_empty() {
        let sentence = format!("expected one of {} at least, found none", METHODS.join(", "));
        problems.push(("methods".into(), sentence));
    }
    methods
}

fn dedupe_window(config: Option<&str>, problems: &mut Problems) -> i64 {
    let Some(text) = config else { return DEDUPE_WINDOW_MS };
    parse_span(text).unwrap_or_else(|sentence| {
        problems.push(("dedupe_window".into(), sentence));
        DEDUPE_WINDOW_MS
    })
}

fn rate_limit(config: Option<&str>, problems: &mut Problems) -> Option<RateLimit> {
    let text = config?;
    let limit = RateLimit::parse(text);
    if limit.is_none() {
        let sentence = format!("expected a rate such as \"500/s\" or \"1000/h\", found {text:?}");
        problems.push(("rate_limit".into(), sentence));
    }
    limit
}

fn refuse_what_is_not_available(config: &SourceConfig, problems: &mut Problems) {
    if let Some(preset) = &config.preset {
        let sentence = format!(
            "presets are not available yet, found {preset:?}: leave it out and set the paths here"
        );
        problems.push(("preset".into(), sentence));
    }
    let is_none = |verify: &serde_json::Value| {
        verify.as_object().is_some_and(|fields| {
            fields.len() == 1 && fields.get("scheme").is_some_and(|scheme| scheme == "none")
        })
    };
    if config.verify.as_ref().is_some_and(|verify| !is_none(verify)) {
        let sentence = "signatures are not verified yet: only { scheme = \"none\" } can be used";
        problems.push(("verify".into(), sentence.into()));
    }
    if config.handshake.is_some() {
        let sentence = "handshakes are not available yet: leave it out";
        problems.push(("handshake".into(), sentence.into()));
    }
}
