//! From a request to an event: what is found in it, and what is to become of it.
//!
//! Everything here is a function of the request, the settings and the data folder's key. What a
//! request says is never an error: what cannot be used is passed over or set aside, kept whole.

use crate::domain::compiled::Compiled;
use crate::domain::event::{Event, Found, Payload, Reason, Standing, Timing, TraitValue};
use crate::domain::facts::{PassedOver, RequestFacts};
use crate::domain::fold::decision;
use crate::domain::lookup::{Choice, TimeLookup};
use crate::domain::names::name;
use crate::domain::normalise::shown;
use crate::domain::occurred::Said;
use crate::domain::point::{PointUse, Wanted};
use crate::domain::settings::{Fold, Normaliser, Unidentified};
use crate::domain::shape::{shape, shape_of_json};
use crate::domain::source::Source;
use crate::domain::time::Timestamp;
use crate::domain::{blocked, occurred};
use smallvec::SmallVec;
use view::{Spelling, View};

mod dedupe;
mod view;

impl Compiled {
    /// Reads an event out of a request to `source`.
    ///
    /// `payload` is a JSON object that [`crate::domain::json::check`] has passed, or else bytes that could
    /// not be decoded; `hash_key` is the data folder's, so that event ids of senders cannot be
    /// guessed from the journal.
    pub fn extract(
        &self,
        source: &Source,
        facts: &RequestFacts<'_>,
        payload: Payload,
        hash_key: &[u8; 32],
    ) -> Event {
        let Payload::Json(bytes) = &payload else {
            return self.set_aside(source, facts, payload, Reason::MalformedBody, hash_key);
        };
        let bytes = bytes.clone();
        let Ok(text) = std::str::from_utf8(&bytes) else {
            let payload = Payload::Opaque(bytes);
            return self.set_aside(source, facts, payload, Reason::MalformedBody, hash_key);
        };
        let view = View::new(source, facts, text, self.rules.builtin_blocked);
        let mut event = blank(source, facts, payload, self.rules.builtin_blocked);
        event.dedupe =
            dedupe::hash(source, facts, Some(&view), hash_key, self.rules.builtin_blocked);
        self.read_everything(source, &view, &mut event);
        let found = event.identifiers.len();
        self.settle(&mut event);
        if event.standing == Standing::Quarantined(Reason::TooManyIdentifiers) {
            (0..found).for_each(|_| (facts.passed_over)(PassedOver::TooMany));
        }
        event
    }

    /// The event of a request that is kept whole but not read, for `reason`.
    pub fn set_aside(
        &self,
        source: &Source,
        facts: &RequestFacts<'_>,
        payload: Payload,
        reason: Reason,
        hash_key: &[u8; 32],
    ) -> Event {
        let mut event = blank(source, facts, payload, self.rules.builtin_blocked);
        event.dedupe = dedupe::hash(source, facts, None, hash_key, self.rules.builtin_blocked);
        quarantine(&mut event, reason);
        event
    }

    /// Reads a stored event again under the present identification points and rules. Its external
    /// ID, session, time and the traits that the source brought stay as they are; what points found
    /// in headers or in the query, which are not kept, stays while the point looks for it.
    ///
    /// An event that was set aside stays so: it wants [`Compiled::reprocess`].
    pub fn reread_points(&self, source_id: &str, stored: &Event) -> Event {
        let mut event = stored.clone();
        let (Payload::Json(bytes), Standing::Open | Standing::Anonymous) =
            (&stored.payload, stored.standing)
        else {
            return event;
        };
        let Ok(text) = std::str::from_utf8(bytes) else { return event };
        let source = self.source_of(source_id);
        let facts = stored_facts(stored);
        let view =
            View::new(source, &facts, text, self.rules.builtin_blocked).of_type(&stored.kind);
        event.identifiers.clear();
        event.traits.retain(|value| !value.point);
        self.read_points(source, &view, Some(stored), &mut event);
        self.settle(&mut event);
        event
    }

    /// Reads a stored event whole, as if it came now, under the present settings; when it was
    /// received, its session and its mark against duplicates stay.
    ///
    /// What was found in headers or in the query stays too, since they are not kept. Bytes that
    /// could not be decoded stay set aside: the caller decodes them first and puts them in as
    /// [`Payload::Json`].
    pub fn reprocess(&self, source_id: &str, stored: &Event) -> Event {
        let mut event = self.reread(source_id, stored);
        if matches!(event.payload, Payload::Json(_)) {
            self.settle(&mut event);
        }
        event
    }

    /// Whom a stored event names under the present settings, also where it is set aside because it
    /// names too many.
    pub fn named_in(&self, stored: &Event) -> Event {
        self.reread(&stored.source, stored)
    }

    fn reread(&self, source_id: &str, stored: &Event) -> Event {
        let mut event = stored.clone();
        let Payload::Json(bytes) = &stored.payload else { return event };
        let Ok(text) = std::str::from_utf8(bytes) else { return event };
        let source = self.source_of(source_id);
        let facts = stored_facts(stored);
        let view = View::new(source, &facts, text, self.rules.builtin_blocked);
        event.external = None;
        event.identifiers.clear();
        event.traits.clear();
        event.standing = Standing::Open;
        self.read_everything(source, &view, &mut event);
        if event.external.is_none() && outside(source.profile_id.as_ref()) {
            event.external.clone_from(&stored.external);
        }
        let is_outside = || source.occurred_at.iter().any(|place| place.lookup.reaches_outside());
        if event.timing == Timing::Unsaid && is_outside() {
            (event.occurred_at, event.timing) = (stored.occurred_at, stored.timing);
        }
        event
    }

    /// Whether its source refuses this event, because nothing in it identifies anyone. Of a lossy one
    /// nobody can say that.
    pub fn unidentified_drop(&self, event: &Event) -> bool {
        let drops = self.source_of(&event.source).unidentified == Unidentified::Drop;
        drops
            && event.raw.is_none()
            && event.standing == Standing::Open
            && event.external.is_none()
            && event.session.is_none()
            && event.identifiers.is_empty()
    }

    /// The values of an event that stand for a consent and are no decision.
    pub fn unread_consents<'e>(&self, event: &'e Event) -> SmallVec<[&'e TraitValue; 2]> {
        let is_unread = |value: &&TraitValue| {
            self.rules.fold(&value.name) == Fold::Consent && decision(&value.json).is_none()
        };
        event.traits.iter().filter(is_unread).collect()
    }

    /// The shape of the time of an event that cannot be read; `None` where it can, or says nothing.
    pub fn unread_time(
        &self,
        source: &Source,
        facts: &RequestFacts<'_>,
        event: &Event,
    ) -> Option<String> {
        let Payload::Json(bytes) = &event.payload else { return None };
        let text = std::str::from_utf8(bytes).ok()?;
        let view = View::new(source, facts, text, self.rules.builtin_blocked);
        let mut said =
            source.occurred_at.iter().map(|place| (said_at(source, &view, place), place));
        let (_, place) = said
            .find(|(said, _)| *said != Said::Nothing)
            .filter(|(said, _)| *said == Said::Unreadable)?;
        let container = || view.container(&place.lookup).map(shape_of_json);
        view.text(&place.lookup).map(|text| shape(&text)).or_else(container)
    }

    fn read_everything(&self, source: &Source, view: &View<'_>, event: &mut Event) {
        event.kind = view.kind().into();
        let session = || view.first_id(source.session_id.as_ref()?);
        event.session =
            event.session.take().or_else(|| session().and_then(|text| name(&text).map(Into::into)));
        (event.occurred_at, event.timing) = occurred_at(source, view, event.received_at);
        event.external = self.external(source, view);
        if source.unidentified == Unidentified::Anonymous {
            event.standing = Standing::Anonymous;
        }
        for (trait_name, choice) in &source.traits {
            // On a profile nothing would show that it was damaged. What is no consent is a refusal.
            let is_kept = |value: &Spelling<'_>| {
                view.is_whole(value) || self.rules.fold(trait_name) == Fold::Consent
            };
            let spelling = view.first_value(choice).filter(is_kept);
            self.keep_trait(trait_name, spelling.as_ref(), false, event);
        }
        self.read_points(source, view, None, event);
    }

    /// The external ID. Without the tenant that the source names there is none: `42` alone could
    /// be anybody's.
    fn external(&self, source: &Source, view: &View<'_>) -> Option<Found> {
        let kind = &source.namespace;
        let region = source.country.as_deref();
        let rule = self.rules.of(kind);
        let mut users = view.texts(source.profile_id.as_ref()?, unwraps(rule.normaliser));
        // A value that identifies nobody counts as absent, so the next path is asked.
        let (user, user_value) = users.find_map(|user| {
            let judged = view.whole(&user).and_then(|()| self.judged(kind, region, &user));
            let value = view.identifying(judged)?;
            Some((user, value))
        })?;
        let (value, raw) = match &source.tenant {
            None => (user_value, shown(rule, &user).into_string()),
            Some(choice) => {
                let tenant = tenant(&view.first_id(choice)?)?;
                (
                    format!("{tenant}/{user_value}").into(),
                    format!("{tenant}/{}", shown(rule, &user)),
                )
            }
        };
        let raw = (*raw != *value).then(|| raw.into());
        Some(Found { kind: kind.clone(), value, raw, point: "".into() })
    }

    fn read_points(
        &self,
        source: &Source,
        view: &View<'_>,
        stored: Option<&Event>,
        event: &mut Event,
    ) {
        let region = source.country.as_deref();
        for point in source.points.iter().filter(|point| point.reads_type(view.kind())) {
            for wanted in &point.wanted {
                self.read_wanted(source, view, point, wanted, event);
                let unseen = stored.filter(|_| wanted.paths.reaches_outside());
                let Some(stored) = unseen else { continue };
                let found = |found: &&Found| found.point == point.id && found.kind == wanted.kind;
                for kept in stored.identifiers.iter().filter(found) {
                    let raw = kept.raw.as_deref().unwrap_or(&kept.value);
                    let is_own = source.tenant.is_some() && wanted.kind == source.namespace;
                    let said = raw.split_once('/').filter(|_| is_own);
                    let (account, raw) = said.map_or((None, raw), |(one, user)| (Some(one), user));
                    if let Some(value) = self.canonical(&wanted.kind, region, raw) {
                        let raw = (*raw != *value).then(|| raw.into());
                        let (value, raw) = within(account, value, raw);
                        event.identifiers.push(Found { value, raw, ..kept.clone() });
                    }
                }
                let brought = |value: &&TraitValue| {
                    value.point && Some(&value.name) == wanted.trait_name.as_ref()
                };
                event.traits.extend(stored.traits.iter().filter(brought).cloned());
            }
        }
    }

    /// What one wish of a point finds: the values of the first path that identifies somebody.
    fn read_wanted(
        &self,
        source: &Source,
        view: &View<'_>,
        point: &PointUse,
        wanted: &Wanted<Choice>,
        event: &mut Event,
    ) {
        let region = source.country.as_deref();
        // Without its tenant, what looks like an external ID of this source could be anybody's.
        let Ok(account) = account(source, &wanted.kind, view) else { return };
        let rule = self.rules.of(&wanted.kind);
        let unwraps = unwraps(rule.normaliser);
        for lookup in &wanted.paths.0 {
            let before = event.identifiers.len();
            for spelling in view.all_texts(lookup, unwraps) {
                let Some(text) = spelling.text() else { continue };
                let judged = view.whole(&text);
                let judged = judged.and_then(|()| self.judged(&wanted.kind, region, &text));
                let Some(value) = view.identifying(judged) else { continue };
                let raw = (*text != *value).then(|| shown(rule, &text));
                let raw = raw.filter(|raw| **raw != *value);
                let (value, raw) = within(account.as_deref(), value, raw);
                let (kind, point) = (wanted.kind.clone(), point.id.clone());
                event.identifiers.push(Found { kind, value, raw, point });
                if let Some(trait_name) = &wanted.trait_name {
                    self.keep_trait(trait_name, Some(&spelling), true, event);
                }
            }
            if event.identifiers.len() > before {
                return;
            }
        }
    }

    fn keep_trait(
        &self,
        name: &str,
        spelling: Option<&Spelling<'_>>,
        point: bool,
        event: &mut Event,
    ) {
        let Some(json) = spelling.and_then(Spelling::json) else { return };
        if json.len() <= self.rules.limits.trait_bytes as usize {
            event.traits.push(TraitValue { name: name.into(), json: json.into(), point });
        }
    }

    /// Brings what was found into its order, each once, and sets the event aside where it
    /// contradicts itself.
    fn settle(&self, event: &mut Event) {
        if let Some(external) = &event.external {
            let is_external =
                |found: &Found| found.kind == external.kind && found.value == external.value;
            event.identifiers.retain(|found| !is_external(found));
        }
        // Stable, so that of two points which found the same the first by id is named.
        event.identifiers.sort_by(|a, b| (&a.kind, &a.value).cmp(&(&b.kind, &b.value)));
        event.identifiers.dedup_by(|b, a| a.kind == b.kind && a.value == b.value);
        event.traits.sort_by(|a, b| (&a.name, &a.json, a.point).cmp(&(&b.name, &b.json, b.point)));
        event.traits.dedup_by(|b, a| a.name == b.name && a.json == b.json);
        if event.identifiers.len() > self.rules.limits.event_identifiers as usize {
            quarantine(event, Reason::TooManyIdentifiers);
        } else if self.contradicts_itself(event) {
            quarantine(event, Reason::TwoValuesOfUniqueType);
        }
    }

    /// Whether it shows two values of one unique type; identifiers are in their order.
    fn contradicts_itself(&self, event: &Event) -> bool {
        let is_unique = |kind: &str| self.rules.of(kind).unique;
        let external = event.external.iter();
        let beside_external = external.flat_map(|external| {
            event.identifiers.iter().filter(|found| found.kind == external.kind)
        });
        let mut pairs = event.identifiers.windows(2);
        beside_external.into_iter().any(|found| is_unique(&found.kind))
            || pairs.any(|pair| pair[0].kind == pair[1].kind && is_unique(&pair[0].kind))
    }
}

fn blank(source: &Source, facts: &RequestFacts<'_>, payload: Payload, builtin: bool) -> Event {
    // A name in the URL that says nothing is no session: all of a broken script's visitors share it.
    let is_said = |session: &&str| !(builtin && blocked::says_nothing(session));
    Event {
        received_at: facts.received_at,
        occurred_at: facts.received_at,
        timing: Timing::Received,
        source: source.id.clone(),
        kind: facts.event_type.into(),
        session: facts.session.filter(is_said).map(Into::into),
        dedupe: None,
        external: None,
        identifiers: SmallVec::new(),
        traits: SmallVec::new(),
        standing: Standing::Open,
        payload,
        raw: None,
    }
}

/// The event of a request of which nothing at all could be read, its mark against duplicates included.
pub fn unread(
    source: &Source,
    facts: &RequestFacts<'_>,
    payload: Payload,
    reason: Reason,
) -> Event {
    let mut event = blank(source, facts, payload, true);
    quarantine(&mut event, reason);
    event
}

/// Sets an event aside: it is on no profile, so it carries nothing that identifies.
fn quarantine(event: &mut Event, reason: Reason) {
    event.standing = Standing::Quarantined(reason);
    event.external = None;
    event.identifiers.clear();
    event.traits.clear();
}

/// The facts of a request that is over: its headers and query are gone.
fn stored_facts(stored: &Event) -> RequestFacts<'_> {
    RequestFacts {
        event_type: &stored.kind,
        session: stored.session.as_deref(),
        header: &|_| None,
        query: &[],
        received_at: stored.received_at,
        batch_index: None,
        is_lossy: stored.raw.is_some(),
        passed_over: &|_| {},
    }
}

/// Whether a list of one value counts as that value: so are addresses written. Of any other type a
/// list is absent.
fn unwraps(normaliser: Normaliser) -> bool {
    matches!(normaliser, Normaliser::Email | Normaliser::Phone)
}

fn outside(choice: Option<&Choice>) -> bool {
    choice.is_some_and(Choice::reaches_outside)
}

/// The first place that says something counts, and is never passed over because it cannot be read:
/// a time from elsewhere in its place could be an older one.
fn occurred_at(source: &Source, view: &View<'_>, received_at: Timestamp) -> (Timestamp, Timing) {
    for place in &source.occurred_at {
        match said_at(source, view, place) {
            Said::At(at) => {
                return (at.min(received_at.plus_ms(occurred::AHEAD_MS)), Timing::Said);
            }
            Said::Unreadable => return (received_at, Timing::Unread),
            Said::Nothing => {}
        }
    }
    let is_told = !source.occurred_at.is_empty();
    (received_at, if is_told { Timing::Unsaid } else { Timing::Received })
}

/// What one place says about when it occurred.
fn said_at(source: &Source, view: &View<'_>, place: &TimeLookup) -> Said {
    match view.text(&place.lookup) {
        Some(text) => occurred::say(&text, place.format.as_ref(), &source.zone),
        // An object or a list where the time should be.
        None if view.container(&place.lookup).is_some() => Said::Unreadable,
        None => Said::Nothing,
    }
}

/// The account that the values of a type belong to: the tenant, where the type is the source's own
/// namespace and has one.
///
/// # Errors
/// Where there should be one and none is named.
fn account(source: &Source, kind: &str, view: &View<'_>) -> Result<Option<String>, ()> {
    match source.tenant.as_ref().filter(|_| *kind == *source.namespace) {
        None => Ok(None),
        Some(choice) => view.first_id(choice).and_then(|text| tenant(&text)).map(Some).ok_or(()),
    }
}

/// A value and its spelling, within an account.
fn within(
    account: Option<&str>,
    value: Box<str>,
    raw: Option<Box<str>>,
) -> (Box<str>, Option<Box<str>>) {
    let Some(account) = account else { return (value, raw) };
    let whole = |text: Box<str>| format!("{account}/{text}").into();
    (whole(value), raw.map(whole))
}

/// The tenant as it stands before the `/` of an external ID: with its own slashes escaped, so that
/// no tenant can pass for another one with a user.
fn tenant(text: &str) -> Option<String> {
    let text = name(text)?;
    Some(text.replace('%', "%25").replace('/', "%2F"))
}

#[cfg(test)]
mod tests;
