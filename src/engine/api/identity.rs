//! What operators can do about identity, as the HTTP layer calls it.

use crate::domain::compiled::{Compiled, reserved};
use crate::domain::event::{Event, Payload, Standing};
use crate::domain::fragment::content_hash;
use crate::domain::graph::{Explanation, FragmentIndex, Graph, NONE, Parting, Separation};
use crate::domain::id::{IdKind, Identifier, Sequence};
use crate::domain::settings::{PointConfig, Settings, TypeConfig};
use crate::domain::source::Source;
use crate::domain::view::{ErasureView, LinkView, PreviewView, StepView};
use crate::engine::api::objects::ObjectRefusal;
use crate::engine::background;
use crate::engine::fault::{Stage, walled};
use crate::engine::handle::Engine;
use crate::engine::history::basis::{Basis, Gathered};
use crate::engine::history::draft::Draft;
use crate::engine::identity::basis_collector::gather;
use crate::engine::receipt::Refusal;
use crate::engine::state::Core;
use crate::engine::state::acted::Answer;
use crate::engine::state::configuration::Effective;
use crate::engine::state::numbers::LINKS_OF_ACT;
use crate::records::{ActRecord, Revised, encode_event};
use bytes::Bytes;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How an operator names what holds a profile together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// An identifier as somebody spelt it.
    Identifier(Identifier),
    /// A fragment's id.
    Fragment(String),
}

/// Why two identifiers are one person, or are not.
#[derive(Clone, Debug)]
pub enum Explained {
    /// One of them was never seen.
    Unknown,
    /// The shortest chain.
    Joined(Vec<StepView>),
    /// What keeps them apart: code and sentence.
    Apart(Vec<(&'static str, String)>),
}

/// What an unmerge came to, or would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmerged {
    /// The profiles that there are now; of what is only tried, the oldest fragment of each part.
    pub profiles: Vec<String>,
    /// The links that were laid; none of what is only tried.
    pub links: Vec<String>,
    /// The fragments of each part.
    pub parts: Vec<Vec<String>>,
}

/// Which events are to be read again.
#[derive(Clone, Default)]
pub struct Again {
    /// This one only.
    pub event_id: Option<String>,
    /// Or those that fit.
    pub filter: crate::engine::state::query::EventFilter,
    /// Makes properties of bytes that could not be decoded; without it they stay as they are.
    pub decode: Option<Redecode>,
}

/// A JSON object of the bytes of one event that a source sent; `None` where they are none.
pub type Redecode = Arc<dyn Fn(&Source, &Bytes) -> Option<Bytes> + Send + Sync>;

impl Again {
    /// Reads an event again, under this configuration.
    fn read(&self, compiled: &Compiled, event: &Event) -> Event {
        let decoded = match (&event.payload, &self.decode, compiled.sources.get(&*event.source)) {
            (Payload::Opaque(bytes), Some(decode), Some(source)) if is_clear(event, bytes) => {
                decode(source, bytes)
            }
            _ => None,
        };
        match decoded {
            Some(object) => {
                let event = Event { payload: Payload::Json(object), ..event.clone() };
                compiled.reprocess(&event.source, &event)
            }
            None => compiled.reprocess(&event.source, event),
        }
    }
}

/// Whether bytes can be read again. Of a lossy event they were in an encoding that is not kept, and
/// any other may say something else; but UTF-8 is nothing else by chance.
fn is_clear(event: &Event, bytes: &Bytes) -> bool {
    event.raw.is_none() || std::str::from_utf8(bytes).is_ok()
}

/// Events that one act reads again at most, and bytes of their payloads unless there is only one.
const AGAIN: (usize, usize) = (1_000, 4 << 20);

/// Changed rules, to look at before they are live.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preview {
    /// Rules of identifier types, in the place of the present ones.
    #[serde(default)]
    pub types: BTreeMap<String, TypeConfig>,
    /// Identification points, beside the present ones or in the place of those of the same id.
    #[serde(default)]
    pub identification_points: Vec<PointConfig>,
}

/// Clusters listed as the largest, and changes as samples.
const SAMPLES: usize = 10;

impl Engine {
    /// The canonical form of an identifier as an operator spelt it; a blocked value too.
    fn canonical(&self, identifier: &Identifier) -> Result<Option<Identifier>, Refusal> {
        if &*identifier.kind == "session" {
            return Ok(Some(identifier.clone()));
        }
        Ok(self.effective()?.compiled.identifier(&identifier.to_string()))
    }

    /// Lays a must-link or a cannot-link; the two need not have been seen before.
    ///
    /// # Errors
    /// When an end cannot be read, both are the same, or the engine takes nothing.
    pub async fn lay_link(
        &self,
        joins: bool,
        a: Identifier,
        b: Identifier,
        reason: String,
    ) -> Result<LinkView, ObjectRefusal> {
        let unreadable = |one: &Identifier| {
            let why = format!("{one}: expected an identifier that its type's normaliser can read");
            ObjectRefusal::Invalid(vec![why])
        };
        let (Some(a), Some(b)) = (self.canonical(&a)?, self.canonical(&b)?) else {
            let wrong = if self.canonical(&a)?.is_none() { &a } else { &b };
            return Err(unreadable(wrong));
        };
        if a == b {
            let why = format!("expected two identifiers, found {a} twice");
            return Err(ObjectRefusal::Invalid(vec![why]));
        }
        let at = self.running()?.shared.clock.now();
        let (left, right) = (a.to_string(), b.to_string());
        let act = ActRecord::Lay { at, joins, a, b, reason: reason.clone() };
        let Answer::Laid(number) = self.act(act).await? else {
            return Err(ObjectRefusal::Refused(Refusal::Recovering));
        };
        Ok(LinkView {
            id: number.to_string(),
            kind: if joins { "must" } else { "cannot" },
            a: left,
            b: right,
            parts: None,
            reason,
            at: at.to_string(),
        })
    }

    /// Lifts a link.
    ///
    /// # Errors
    /// When there is none of that id, or the engine takes nothing.
    pub async fn lift_link(&self, id: &str) -> Result<(), ObjectRefusal> {
        let number = id.parse().map_err(|_| ObjectRefusal::NotFound)?;
        let at = self.running()?.shared.clock.now();
        self.act(ActRecord::Lift { at, number }).await.map(drop)
    }

    /// Takes a profile apart by an identifier or a fragment; `None` where nothing holds together
    /// by it, or the fragment has left. With `dry_run` it only says into which parts.
    ///
    /// # Errors
    /// When there is no such profile, or it does not have the part.
    pub async fn unmerge(
        &self,
        id: &str,
        part: Part,
        reason: String,
        dry_run: bool,
    ) -> Result<Option<Unmerged>, ObjectRefusal> {
        let part = match part {
            Part::Identifier(identifier) => {
                Part::Identifier(self.canonical(&identifier)?.ok_or(ObjectRefusal::NotFound)?)
            }
            fragment => fragment,
        };
        let id = id.to_owned();
        let planned = self.ask(move |identity, _| {
            let core = &mut identity.core;
            core.parting(&id, &part).map(|planned| {
                planned.map(|Parting { apart, parts }| {
                    let ids = |part: Vec<FragmentIndex>| {
                        part.into_iter().map(|one| core.fragment_id(one).to_string()).collect()
                    };
                    (apart, parts.into_iter().map(ids).collect::<Vec<Vec<String>>>())
                })
            })
        });
        let Some((apart, parts)) = planned.await?.ok_or(ObjectRefusal::NotFound)? else {
            return Ok(None);
        };
        if dry_run {
            let profiles = parts.iter().filter_map(|part| part.first().cloned()).collect();
            return Ok(Some(Unmerged { profiles, links: Vec::new(), parts }));
        }
        let at = self.running()?.shared.clock.now();
        let act = match apart {
            Separation::Pairs(apart) if apart.len() > LINKS_OF_ACT => {
                let why = format!("expected at most {LINKS_OF_ACT} links, found {}", apart.len());
                return Err(ObjectRefusal::Invalid(vec![why]));
            }
            Separation::Pairs(apart) => ActRecord::Unmerge { at, apart, reason },
            Separation::Parts(parts) => ActRecord::Cut { at, parts, reason },
        };
        match self.act(act).await? {
            Answer::Unmerged { profiles, links } => Ok(Some(Unmerged {
                profiles: profiles.iter().map(ToString::to_string).collect(),
                links: links.iter().map(ToString::to_string).collect(),
                parts,
            })),
            _ => Ok(None),
        }
    }

    /// Withdraws an identifier's evidence from the profile that has it.
    ///
    /// # Errors
    /// When there is no such profile, or it does not have the identifier.
    pub async fn withdraw(&self, id: &str, identifier: Identifier) -> Result<(), ObjectRefusal> {
        let identifier = self.canonical(&identifier)?.ok_or(ObjectRefusal::NotFound)?;
        let (id, wanted) = (id.to_owned(), identifier.clone());
        let shown_with = self.look(move |identity| {
            let graph = &identity.core.graph;
            let node = graph.named(&wanted)?;
            let is_own = graph.lead_of_node(node) == identity.core.profile_of_id(&id);
            (is_own && graph.lead_of_node(node).is_some()).then(|| graph.shown_within(node))
        });
        let shown_with = shown_with.await?.ok_or(ObjectRefusal::NotFound)?;
        let at = self.running()?.shared.clock.now();
        self.act(ActRecord::Withdraw { at, identifier, shown_with }).await.map(drop)
    }

    /// Explains why two identifiers are one person, or what keeps them apart.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn explain(&self, a: Identifier, b: Identifier) -> Result<Explained, Refusal> {
        let (Some(a), Some(b)) = (self.canonical(&a)?, self.canonical(&b)?) else {
            return Ok(Explained::Unknown);
        };
        let effective = self.effective()?;
        for one in [&a, &b] {
            let is_open = &*one.kind == "session"
                || effective.compiled.canonical(&one.kind, None, &one.value).is_some();
            if !is_open {
                let detail = format!("{one} is blocked: it identifies nobody");
                return Ok(Explained::Apart(vec![("blocked", detail)]));
            }
        }
        let found = self.look(move |identity| {
            let graph = &identity.core.graph;
            let node = |one: &Identifier| match &*one.kind {
                "session" => graph.session(&one.value),
                kind => graph.identifier(kind, &one.value),
            };
            Some(graph.explain(node(&a)?, node(&b)?))
        });
        match found.await? {
            None => Ok(Explained::Unknown),
            Some(Explanation::Apart(all)) => {
                Ok(Explained::Apart(all.into_iter().map(|one| (one.code, one.detail)).collect()))
            }
            Some(Explanation::Joined(steps)) => {
                let events = self.event_ids(steps.iter().map(|step| step.first_event)).await?;
                let view =
                    |(step, event_id): (crate::domain::graph::Step, Option<String>)| StepView {
                        from: step.from,
                        to: step.to,
                        event_id,
                        source: Some(step.source).filter(|source| !source.is_empty()),
                        point: Some(step.point).filter(|point| !point.is_empty()),
                        count: step.count,
                    };
                Ok(Explained::Joined(steps.into_iter().zip(events).map(view).collect()))
            }
        }
    }

    /// The ids of events; none where a sequence is no event's, or its event is gone.
    async fn event_ids(
        &self,
        sequences: impl Iterator<Item = Sequence>,
    ) -> Result<Vec<Option<String>>, Refusal> {
        let all: Vec<Sequence> = sequences.collect();
        let read = self.read_all(all.clone()).await?;
        let ids: BTreeMap<Sequence, crate::domain::time::Timestamp> =
            read.into_iter().map(|(sequence, event)| (sequence, event.received_at)).collect();
        let genesis = self.running()?.shared.genesis;
        let id = |sequence: &Sequence| {
            let parts = crate::domain::id::IdParts {
                received_at: *ids.get(sequence)?,
                sequence: *sequence,
                generation: 0,
            };
            let id = genesis.id_key.mint(IdKind::Event, parts);
            Some(id.to_string())
        };
        Ok(all.iter().map(id).collect())
    }

    /// Reads quarantined and profile-less events again, under the present configuration; answers
    /// how many were looked at and how many are on a profile now.
    ///
    /// # Errors
    /// When the engine takes nothing.
    pub async fn reprocess(&self, again: Again) -> Result<(usize, usize), ObjectRefusal> {
        let mut left = self.loose_sequences(&again).await?;
        let effective = self.effective()?;
        let (mut considered, mut stored) = (0, 0);
        while !left.is_empty() {
            let mut events = Vec::new();
            for (sequence, event) in self.read_next(&mut left, AGAIN).await? {
                if !again.filter.fits(&event) {
                    continue;
                }
                considered += 1;
                let content = content_hash(&event);
                // One that panics stays where it is.
                let read = || {
                    self.strike(Stage::Reread, &event.kind);
                    again.read(&effective.compiled, &event)
                };
                let Ok(now) = walled(read) else { continue };
                let is_placed = !matches!(now.standing, Standing::Quarantined(_))
                    && matches!(now.payload, Payload::Json(_))
                    && (now.external.is_some()
                        || now.session.is_some()
                        || !now.identifiers.is_empty()
                        || now.standing == Standing::Anonymous);
                if !is_placed {
                    continue;
                }
                let bytes = encode_event(&now)
                    .map_err(|cause| ObjectRefusal::Invalid(vec![cause.to_string()]))?;
                let version = crate::records::EVENT_VERSION;
                events.push(Revised { sequence, content, version, bytes });
            }
            if !events.is_empty() {
                let at = self.running()?.shared.clock.now();
                if let Answer::Reprocessed(count) =
                    self.act(ActRecord::Reprocess { at, events }).await?
                {
                    stored += count;
                }
            }
        }
        Ok((considered, stored))
    }

    async fn loose_sequences(&self, again: &Again) -> Result<Vec<Sequence>, Refusal> {
        let wanted = match &again.event_id {
            Some(id) => {
                let kind = IdKind::Event;
                let parts = self.running()?.shared.genesis.id_key.read(kind, id);
                Some(parts.map_or(0, |parts| parts.sequence))
            }
            None => None,
        };
        let filter = again.filter.clone();
        self.look(move |identity| {
            let core = &identity.core;
            let is_wanted = |sequence: &Sequence| wanted.is_none_or(|wanted| wanted == *sequence);
            let less =
                core.profile_less.iter().filter(|_| !filter.quarantined && filter.reason.is_none());
            let aside = core.quarantined.iter().filter(|(_, reason)| {
                !filter.profile_less
                    && filter.reason.as_deref().is_none_or(|name| name == reason.name())
            });
            let all: BTreeSet<Sequence> = less
                .chain(aside.map(|(sequence, _)| sequence))
                .copied()
                .filter(is_wanted)
                .collect();
            all.into_iter().collect()
        })
        .await
    }

    /// Erases a person, by any of their identifiers or ids. Returns the receipt once nobody can read
    /// them any more; the files follow.
    ///
    /// # Errors
    /// When there is no such person, or the engine takes nothing.
    pub async fn erase(
        &self,
        by: crate::engine::state::query::ProfileRef,
        suppress: bool,
        reason: String,
    ) -> Result<ErasureView, ObjectRefusal> {
        let found = self.look(move |identity| {
            let lead = identity.core.lead_of(&by)?;
            let birth = identity.core.graph.birth(lead);
            Some((birth.sequence, birth.generation))
        });
        let profile = found.await?.ok_or(ObjectRefusal::NotFound)?;
        let at = self.running()?.shared.clock.now();
        let Answer::Erasing(erasure) =
            self.act(ActRecord::Erase { at, profile, suppress, reason }).await?
        else {
            return Err(ObjectRefusal::NotFound);
        };
        let (reply, known) = tokio::sync::oneshot::channel();
        self.ask(move |identity, _| identity.await_erasure(erasure, reply)).await?;
        self.heard(known).await?;
        self.erasure(&erasure.to_string()).await?.ok_or(ObjectRefusal::NotFound)
    }

    /// An erasure's receipt, and how far the files are.
    ///
    /// # Errors
    /// When the engine is stopping.
    pub async fn erasure(&self, id: &str) -> Result<Option<ErasureView>, Refusal> {
        let Ok(erasure) = id.parse::<Sequence>() else { return Ok(None) };
        self.look(move |identity| {
            let row = identity.core.erasures.get(&erasure)?;
            let [events, fragments, identifiers, deliveries] = row.counts;
            Some(ErasureView {
                id: erasure.to_string(),
                state: if row.is_done { "done" } else { "compacting" },
                at: row.at.to_string(),
                profiles: 1,
                fragments,
                events,
                identifiers,
                deliveries,
                unread: identity.core.unread.get(&erasure).copied().unwrap_or(0),
            })
        })
        .await
    }

    /// Allows a suppressed identifier again.
    ///
    /// # Errors
    /// When it is not suppressed, or the engine takes nothing.
    pub async fn allow(&self, identifier: Identifier) -> Result<(), ObjectRefusal> {
        let identifier = self.canonical(&identifier)?.ok_or(ObjectRefusal::NotFound)?;
        let key = self.running()?.shared.genesis.hash_key;
        let hash = crate::engine::state::erasure::identifier_hash(
            &key,
            &identifier.kind,
            &identifier.value,
        );
        let at = self.running()?.shared.clock.now();
        self.act(ActRecord::Allow { at, hash }).await.map(drop)
    }

    /// What changed rules would do to the present profiles, without touching them.
    ///
    /// # Errors
    /// When the rules do not hold together, or the engine is stopping.
    pub async fn preview(&self, preview: Preview) -> Result<PreviewView, ObjectRefusal> {
        let points = preview.identification_points.iter();
        let points = points.map(|point| (point.id.clone(), point.clone())).collect();
        let wrong = reserved(&Settings { points, ..Settings::default() });
        if !wrong.is_empty() {
            return Err(wrong.into());
        }
        let mut settings = self.effective()?.compiled.settings.clone();
        settings.identity.types.extend(preview.types);
        let points = preview.identification_points.into_iter();
        settings.points.extend(points.map(|point| (point.id.clone(), point)));
        let hash_key = self.effective()?.hash_key;
        let effective = Effective::new(&settings, &Default::default(), hash_key)?;
        let effective = Arc::new(effective);
        let turn = Arc::clone(&self.0.preview).lock_owned().await;
        if self.look(|identity| identity.is_cut()).await? {
            return Err(ObjectRefusal::JournalCut("there is no preview"));
        }
        let (reader, identity) = {
            let running = self.running()?;
            (running.shared.reader.clone(), running.identity.clone())
        };
        let faults = self.running()?.shared.faults.clone();
        let read = move || {
            let _turn = turn;
            faults.strike(Stage::Preview, "");
            let Gathered { basis, holders, .. } = gather(&identity).ok_or(Refusal::Recovering)?;
            let upto = basis.applied;
            let mut draft = Draft::of_people(Basis { effective, ..basis });
            let read = draft.catch_up(&reader, upto);
            read.map(|()| compared(&holders, draft.graph())).map_err(|error| {
                tracing::error!(%error, "previewing");
                Refusal::StorageFailed
            })
        };
        Ok(background::run("preview", read).await??)
    }
}

impl Core {
    /// What has to be kept apart to take a profile apart as asked. The outer `None`: there is no such
    /// profile, or it does not have the part; the inner one: nothing holds together by it.
    fn parting(&mut self, id: &str, part: &Part) -> Option<Option<Parting>> {
        let lead = self.profile_of_id(id)?;
        match part {
            Part::Identifier(identifier) => {
                let node = self.graph.identifier(&identifier.kind, &identifier.value)?;
                let is_own = self.graph.lead_of_node(node) == Some(lead);
                is_own.then(|| self.graph.parting_by_identifier(node))
            }
            Part::Fragment(id) => {
                let parts = self.genesis.id_key.read(IdKind::Fragment, id)?;
                let fragment = self.fragment((parts.sequence, parts.generation))?;
                // One that left is nobody's here any more, and nothing holds together by it.
                let is_own = self.graph.lead(fragment) == lead;
                Some(is_own.then(|| self.graph.parting_of_fragment(fragment)).flatten())
            }
        }
    }
}

/// How the profiles of `graph` differ from those that held the same fragments before.
fn compared(before: &[FragmentIndex], graph: &Graph) -> PreviewView {
    let held = before.iter().zip(0..).filter(|(then, _)| **then != NONE);
    let pairs = held.map(|(then, fragment)| (*then, graph.holder(fragment)));
    let mut parted: Vec<_> = pairs.filter(|(_, now)| *now != NONE).collect();
    let mut joined: Vec<_> = parted.iter().map(|(then, now)| (*now, *then)).collect();
    let (merges, splits) = (several(&mut joined), several(&mut parted));
    let names = |all: &mut dyn Iterator<Item = FragmentIndex>| -> Vec<String> {
        all.map(|fragment| graph.origin(fragment)).collect()
    };
    let merged = merges.iter().take(SAMPLES).map(|into| {
        let fragments: BTreeSet<FragmentIndex> = graph.fragments_of(*into).into_iter().collect();
        json!({ "kind": "merge", "profiles": names(&mut fragments.into_iter()) })
    });
    let split = splits.iter().take(SAMPLES).map(|from| {
        let first = parted.partition_point(|(then, _)| then < from);
        let parts = parted[first..].iter().take_while(|(then, _)| then == from);
        json!({ "kind": "split", "profiles": names(&mut parts.map(|(_, now)| *now)) })
    });
    let samples = merged.chain(split).collect();
    let mut sizes: Vec<(usize, FragmentIndex)> =
        graph.leads().map(|lead| (graph.cluster_size(lead), lead)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let largest = sizes.iter().take(SAMPLES).map(|(size, lead)| {
        json!({ "identifiers": size, "fragments": graph.fragments_of(*lead).len(), "origin": graph.origin(*lead) })
    });
    let mut leads: Vec<FragmentIndex> =
        before.iter().copied().filter(|lead| *lead != NONE).collect();
    leads.sort_unstable();
    leads.dedup();
    PreviewView {
        profiles_before: leads.len() as u64,
        profiles_after: graph.profiles(),
        merges: merges.len() as u64,
        splits: splits.len() as u64,
        largest: largest.collect(),
        samples,
    }
}

/// Orders pairs, each of them kept once, and returns which first halves have several second ones.
fn several(pairs: &mut Vec<(FragmentIndex, FragmentIndex)>) -> Vec<FragmentIndex> {
    pairs.sort_unstable();
    pairs.dedup();
    let runs = pairs.chunk_by(|a, b| a.0 == b.0);
    runs.filter(|run| run.len() > 1).map(|run| run[0].0).collect()
}
