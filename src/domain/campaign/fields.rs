//! What a webhook takes from profile and event, and the checks of its configuration.

use crate::domain::campaign::builder::{Builder, breaks_lines};
use crate::domain::campaign::config::{FieldConfig, WebhookConfig};
use crate::domain::campaign::model::{Field, HeaderValue, Method, NamedField, Webhook};
use crate::domain::campaign::{EventFacts, Person};
use crate::domain::graph::IdentifierStatus;
use crate::domain::json::{quote, shown};
use crate::domain::path;
use crate::domain::path::Step;
use crate::domain::path::read::{PathSet, Values};
use crate::domain::rate::RateLimit;
use crate::domain::time::parse_span;
use std::borrow::Cow;
use url::Url;

/// How long after enqueueing a webhook is still worth sending, unless it says so itself.
const MAX_AGE_MS: i64 = 4 * 86_400_000;
/// The most fields and static fields of one webhook.
const FIELDS: usize = 500;

/// Headers that users may not set: those that frame the message, those that are ours, and those
/// that open the metadata services of clouds (AWS IMDSv2, Google, Azure, Alibaba).
const REFUSED: [&str; 17] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "metadata",
    "metadata-flavor",
    "x-google-metadata-request",
    "x-metadata-token",
    "x-metadata-token-ttl-seconds",
    "x-identity-header",
    "x-selfsame-test",
];
/// Beginnings of further ones.
const REFUSED_PREFIXES: [&str; 4] =
    ["proxy-", "webhook-", "x-aws-ec2-metadata", "x-aliyun-ecs-metadata"];

impl Field {
    /// Reads `traits.email` and the like; what it reads of an event is added to `paths`.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    fn parse(text: &str, paths: &mut PathSet) -> Result<Self, String> {
        let text = text.trim();
        let expected = || {
            format!(
                "expected profile.id, .known, .first_seen or .last_seen, traits.<name>, identifiers.<type>, event.id, .type, .source, .session_id, .occurred_at or event.properties.<path>, found {text:?}"
            )
        };
        let fixed = match text {
            "profile.id" => Some(Self::ProfileId),
            "profile.known" => Some(Self::Known),
            "profile.first_seen" => Some(Self::FirstSeen),
            "profile.last_seen" => Some(Self::LastSeen),
            "event.id" => Some(Self::EventId),
            "event.type" => Some(Self::EventType),
            "event.source" => Some(Self::EventSource),
            "event.session_id" => Some(Self::SessionId),
            "event.occurred_at" => Some(Self::OccurredAt),
            _ => None,
        };
        if let Some(fixed) = fixed {
            return Ok(fixed);
        }
        if let Some(name) = text.strip_prefix("traits.").filter(|name| !name.is_empty()) {
            return Ok(Self::Trait(name.into()));
        }
        if let Some(kind) = text.strip_prefix("identifiers.").filter(|kind| !kind.is_empty()) {
            return Ok(Self::Identifier(kind.into()));
        }
        let property = text.strip_prefix("event.properties").ok_or_else(expected)?;
        let property = match property.strip_prefix('.') {
            Some(named) => named,
            None if property.starts_with('[') => property,
            None => return Err(expected()),
        };
        let offset = text.len() - property.len();
        let steps = path::steps(property, offset).map_err(|(at, expected)| {
            format!("in the path {text:?}: expected {expected} at byte {at}")
        })?;
        if steps.contains(&Step::Each) {
            return Err(format!("expected a path to one value, without [*], found {text:?}"));
        }
        Ok(Self::Property(paths.add(&steps)))
    }

    /// The value as JSON; `None` when it is absent: not there, null or a blank text.
    pub(super) fn json<'a>(
        &self,
        person: &Person<'_>,
        event: Option<&EventFacts<'a>>,
        values: &Values<'a>,
    ) -> Option<Cow<'a, str>> {
        let text = |text: &str| {
            let mut literal = String::with_capacity(text.len() + 2);
            quote(text, &mut literal);
            Some(Cow::Owned(literal))
        };
        match self {
            Self::ProfileId => text(person.id),
            Self::Known => Some(Cow::Owned(person.known.to_string())),
            Self::FirstSeen => text(&person.folded.first_seen.to_string()),
            Self::LastSeen => text(&person.folded.last_seen.to_string()),
            Self::Trait(name) => Some(Cow::Owned(person.folded.traits.get(name)?.json())),
            Self::Identifier(kind) => {
                let all = person.identifiers.iter();
                let of_kind = all
                    .filter(|one| one.kind == **kind && one.status == IdentifierStatus::Effective);
                let latest = of_kind.max_by_key(|one| (one.last_seen, &one.value))?;
                text(&latest.value)
            }
            Self::EventId => text(event?.id),
            Self::EventType => text(event?.kind),
            Self::EventSource => text(event?.source),
            Self::SessionId => text(event?.session?),
            Self::OccurredAt => text(&event?.occurred_at.to_string()),
            Self::Property(slot) => {
                let found = values.of(*slot).last()?;
                let is_blank = found.len() >= 2
                    && found.starts_with('"')
                    && found[1..found.len() - 1].trim().is_empty();
                (found != "null" && !is_blank).then(|| shown(found))
            }
        }
    }
}

impl Builder {
    /// Checks and compiles a webhook.
    pub(super) fn webhook(&mut self, at: &str, config: &WebhookConfig) -> Option<Webhook> {
        let method = match config.method.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None | Some("POST") => Method::Post,
            Some("GET") => Method::Get,
            Some(_) => {
                let found = config.method.as_deref().unwrap_or_default();
                let sentence = format!("expected \"POST\" or \"GET\", found {found:?}");
                self.problem(format!("{at}.method"), sentence);
                Method::Post
            }
        };
        let url = self.url(&format!("{at}.url"), config);
        let headers = self.headers(&format!("{at}.headers"), config);
        let (fields, paths) = self.fields(at, config);
        let max_age_ms = match config.max_age.as_deref().map(parse_span) {
            None => MAX_AGE_MS,
            Some(Ok(ms)) => ms,
            Some(Err(sentence)) => {
                self.problem(format!("{at}.max_age"), sentence);
                MAX_AGE_MS
            }
        };
        let rate = config.rate.as_deref().map(|text| (text, RateLimit::parse(text)));
        if let Some((text, None)) = rate {
            let sentence =
                format!("expected a rate such as \"50/s\" or \"1000/h\", found {text:?}");
            self.problem(format!("{at}.rate"), sentence);
        }
        if config.sign.as_deref().is_some_and(|sign| sign.trim().is_empty() || breaks_lines(sign)) {
            self.problem(
                format!("{at}.sign"),
                "expected a secret, or a reference such as \"env:NAME\"",
            );
        }
        let fixed = config.fixed.iter();
        Some(Webhook {
            method,
            url: url?,
            headers,
            sign: config.sign.as_deref().map(|sign| HeaderValue(sign.into())),
            order: config.order,
            allow_http: config.allow_http,
            max_age_ms,
            rate: rate.and_then(|(_, rate)| rate),
            calling: self.calling(at, config),
            fields,
            fixed: fixed
                .map(|(name, value)| (name.as_str().into(), value.to_string().into()))
                .collect(),
            paths,
        })
    }

    fn fields(&mut self, at: &str, config: &WebhookConfig) -> (Vec<NamedField>, PathSet) {
        let mut paths = PathSet::default();
        let mut fields = Vec::new();
        if config.fields.len() + config.fixed.len() > FIELDS {
            self.problem(format!("{at}.fields"), format!("expected at most {FIELDS} fields"));
        }
        for (name, field) in &config.fields {
            let (path, default, on_missing) = match field {
                FieldConfig::From(from) => (from, None, None),
                FieldConfig::Full(full) => (&full.from, full.default.as_ref(), full.on_missing),
            };
            match Field::parse(path, &mut paths) {
                // Static fields win.
                Ok(_) if config.fixed.contains_key(name) => {}
                Ok(from) => fields.push(NamedField {
                    name: name.as_str().into(),
                    from,
                    path: path.trim().into(),
                    on_missing: on_missing.unwrap_or(config.on_missing),
                    default: default.map(|value| value.to_string().into()),
                }),
                Err(sentence) => self.problem(format!("{at}.fields.{name}"), sentence),
            }
        }
        (fields, paths)
    }

    fn url(&mut self, at: &str, config: &WebhookConfig) -> Option<Url> {
        let text = config.url.trim();
        if text.contains(['{', '}']) || text.chars().any(char::is_control) {
            let sentence = "expected an address without { } and control characters; it takes no data of profiles, only fields do";
            self.problem(at, sentence);
            return None;
        }
        let mut url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => {
                self.problem(
                    at,
                    format!("expected an address such as \"https://esp.example/start\": {error}"),
                );
                return None;
            }
        };
        let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && config.allow_http);
        if !scheme_fits {
            let sentence = format!(
                "expected https: (http: only with allow_http = true), found {}:",
                url.scheme()
            );
            self.problem(at, sentence);
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.problem(
                at,
                "expected no user and password in it; send them in a header, by reference",
            );
        }
        url.set_fragment(None);
        scheme_fits.then_some(url)
    }

    fn headers(&mut self, at: &str, config: &WebhookConfig) -> Vec<(Box<str>, HeaderValue)> {
        let mut headers: Vec<(Box<str>, HeaderValue)> = Vec::with_capacity(config.headers.len());
        for (name, value) in &config.headers {
            let lower = name.to_ascii_lowercase();
            let at = format!("{at}.{name}");
            let is_refused = REFUSED.contains(&lower.as_str())
                || REFUSED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
            if !is_token(&lower) {
                self.problem(at, format!("expected the name of a header, found {name:?}"));
            } else if is_refused {
                self.problem(at, "this header cannot be set; leave it out");
            } else if breaks_lines(value) || !value.chars().all(|ch| ch == '\t' || !ch.is_control())
            {
                self.problem(at, "expected a value without line breaks and control characters");
            } else if headers.iter().any(|(known, _)| **known == *lower) {
                self.problem(at, "expected each header once, whatever its case");
            } else {
                headers.push((lower.into(), HeaderValue(value.as_str().into())));
            }
        }
        headers
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 200 && name.bytes().all(is_tchar)
}
