//! Erasure in the core's state: what an order takes out, and what the files still have to lose.
//!
//! Two records make an erasure. `Erase` takes the person out of the graph at its place in the order.
//! `Erased` names every record that held the person, and the keyed hashes of the identifiers; from
//! there on the files are cleaned, and a replay of the cleaned files comes to the same state.

use crate::domain::event::Event;
use crate::domain::graph::{ChangeKind, FragmentIndex};
use crate::domain::id::{Identifier, Sequence};
use crate::domain::time::Timestamp;
use crate::engine::state::Core;
use crate::engine::state::acted::{Acted, Answer};
use crate::records::{ActRecord, ChangeRow, ErasureRow, FragmentKey, PendingErasure};
use std::collections::BTreeSet;

/// The keyed hash of an identifier: what is kept of one that is suppressed.
pub(in crate::engine) fn identifier_hash(key: &[u8; 32], kind: &str, value: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(kind.as_bytes()).update(&[0]).update(value.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    first
}

/// Whether an event comes with a suppressed identifier.
pub(in crate::engine) fn is_suppressed(
    suppressed: &BTreeSet<[u8; 16]>,
    key: &[u8; 32],
    event: &Event,
) -> bool {
    !suppressed.is_empty()
        && event
            .external
            .iter()
            .chain(&event.identifiers)
            .any(|found| suppressed.contains(&identifier_hash(key, &found.kind, &found.value)))
}

/// What tells an erasure from every other: numbers of records come again in a restored folder.
pub(in crate::engine) fn mark(erasure: Sequence, suppress: bool, hashes: &[[u8; 16]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&erasure.to_le_bytes()).update(&[u8::from(suppress)]);
    for one in hashes {
        hasher.update(hex::encode(one).as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

impl Core {
    /// Whether an event belongs to someone erased: it is hidden, or it slipped in behind a
    /// suppression and is hidden from now on.
    pub(in crate::engine) fn is_erased(&mut self, sequence: Sequence, event: &Event) -> bool {
        if self.hidden.contains(&sequence) {
            return true;
        }
        if is_suppressed(&self.suppressed, &self.genesis.hash_key, event) {
            self.hidden.insert(sequence);
            self.fresh.erasures = true;
            return true;
        }
        false
    }

    pub(in crate::engine) fn erase(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        profile: FragmentKey,
        suppress: bool,
        reason: String,
    ) -> Acted {
        let Some(fragment) = self.fragment(profile) else {
            return Acted { answer: Answer::Unknown, ..Acted::default() };
        };
        let lead = self.graph.lead(fragment);
        let own: BTreeSet<u128> = self
            .graph
            .fragments_of(lead)
            .into_iter()
            .map(|fragment| self.fragment_id(fragment).as_u128())
            .collect();
        let erased = self.graph.erase(lead);
        for fragment in &erased.fragments {
            self.fresh.fragments.remove(fragment);
            self.fresh.gone.insert(*fragment);
        }
        if suppress {
            let key = self.genesis.hash_key;
            let hash = |one: &Identifier| identifier_hash(&key, &one.kind, &one.value);
            self.suppressed.extend(erased.identifiers.iter().map(hash));
        }
        let fragments: BTreeSet<FragmentIndex> = erased.fragments.iter().copied().collect();
        let deliveries = self.deliveries_of(&fragments);
        let unsent = self.erase_campaigns(&fragments) as u64;
        let pending = PendingErasure {
            at,
            reason,
            suppress,
            identifiers: erased.identifiers,
            sessions: erased.sessions,
            fragments: erased.fragments,
            touched_others: erased.touched_others,
            deliveries,
            unsent,
            events: None,
        };
        self.scrub(&own, &pending);
        self.pending.insert(sequence, pending);
        self.fresh.erasures = true;
        let acted = self.told(erased.effects, at, Some("erasure"));
        Acted { answer: Answer::Erasing(sequence), ..acted }
    }

    /// The profiles that have an identifier of these hashes.
    pub(in crate::engine) fn profiles_with(&self, hashes: &[[u8; 16]]) -> Vec<FragmentKey> {
        let key = self.genesis.hash_key;
        let is_wanted =
            |one: &Identifier| hashes.contains(&identifier_hash(&key, &one.kind, &one.value));
        let leads =
            self.graph.leads().filter(|lead| self.graph.member(*lead, &is_wanted).is_some());
        leads.map(|lead| self.fragment_key(lead)).collect()
    }

    /// The numbers of all deliveries to be made, or made, for these fragments.
    fn deliveries_of(&self, fragments: &BTreeSet<FragmentIndex>) -> Vec<u64> {
        let keys: BTreeSet<FragmentKey> =
            fragments.iter().map(|one| self.fragment_key(*one)).collect();
        self.campaigns.outbox.of(&keys)
    }

    /// Takes the person out of the change log and the operators' links.
    fn scrub(&mut self, profiles: &BTreeSet<u128>, person: &PendingErasure) {
        let names: BTreeSet<String> = person.identifiers.iter().map(ToString::to_string).collect();
        let nameless = |change: &mut ChangeRow| {
            let is_own = change.profile.is_some_and(|id| profiles.contains(&id));
            let named = change.identifier.as_ref().is_some_and(|name| names.contains(name));
            (is_own || named) && change.identifier.take().is_some()
        };
        self.changes.rewrite(nameless);
        let gone: Vec<u64> = self
            .links
            .values()
            .filter(|link| person.owns(&link.a) || person.owns(&link.b))
            .map(|link| link.number)
            .collect();
        for number in gone {
            self.links.remove(&number);
            self.fresh.links.insert(number);
        }
        let fresh = &mut self.fresh.links;
        self.cuts.retain(|number, cut| {
            if !cut.parts.iter().flatten().any(|one| person.owns(one)) {
                return true;
            }
            fresh.insert(*number);
            cut.parts.iter_mut().for_each(|part| part.retain(|one| !person.owns(one)));
            cut.parts.retain(|part| !part.is_empty());
            cut.parts.len() > 1
        });
    }

    pub(in crate::engine) fn erased(&mut self, act: ActRecord) -> Acted {
        let ActRecord::Erased {
            at,
            erasure,
            events,
            loose,
            acts,
            hashes,
            suppress,
            touched_others,
            counts: [fragments, identifiers, deliveries],
            reason,
        } = act
        else {
            return Acted::default();
        };
        self.pending.remove(&erasure);
        let mark = mark(erasure, suppress, &hashes);
        if suppress {
            self.suppressed.extend(hashes);
        }
        let mut profile_events = events.len();
        for sequence in &events {
            // One that was emptied before this replay met it was never counted.
            if !self.emptied.contains(sequence) {
                self.counters.events = self.counters.events.saturating_sub(1);
            }
            // One that panicked while its erasure was under way.
            if self.quarantined.remove(sequence).is_some() {
                self.touch_loose(*sequence);
            }
            if self.revised.remove(*sequence) {
                self.touch_revised(*sequence);
            }
        }
        for (sequence, content) in &loose {
            if let Some(was_counted) = self.take_up(*sequence) {
                self.counters.events = self.counters.events.saturating_sub(1);
                let content = if was_counted { *content } else { 0 };
                self.counters.loose_content = self.counters.loose_content.wrapping_sub(content);
            }
            profile_events += 1;
        }
        self.counters.must_resolve |= touched_others;
        let has_acts = !acts.is_empty();
        let mut records = events;
        records.extend(loose.into_iter().map(|(sequence, _)| sequence));
        records.extend(acts);
        self.hidden.extend(records.iter().copied());
        let counts = [profile_events as u64, fragments, identifiers, deliveries];
        let row = ErasureRow { at, reason, counts, records, has_acts, is_done: false, mark };
        self.erasures.insert(erasure, row);
        self.fresh.erasures = true;
        self.tell(
            crate::domain::graph::Change {
                kind: ChangeKind::Erasure,
                profile: None,
                others: Vec::new(),
                identifier: None,
                reason: Some("erasure"),
            },
            None,
            at,
        );
        Acted { erased: Some(erasure), ..Acted::default() }
    }

    /// An erasure's search left events that cannot be read; the last search counts.
    pub(in crate::engine) fn left_unread(&mut self, erasure: Sequence, events: u64) -> Acted {
        match events {
            0 => drop(self.unread.remove(&erasure)),
            _ => drop(self.unread.insert(erasure, events)),
        }
        self.fresh.erasures = true;
        Acted::default()
    }

    /// The records that go with an erasure: those that it found, and what slipped in behind a
    /// suppression. What other erasures hide is not among them: a snapshot may still hold those
    /// persons, and a replay from there has to find them whole.
    pub(in crate::engine) fn records_to_empty(&self, erasure: Sequence) -> BTreeSet<Sequence> {
        let open = self.erasures.iter().filter(|(other, row)| **other != erasure && !row.is_done);
        let others: BTreeSet<&Sequence> = open.flat_map(|(_, row)| &row.records).collect();
        let slipped = self.hidden.iter().filter(|record| !others.contains(record));
        let own = self.erasures.get(&erasure).into_iter().flat_map(|row| &row.records);
        slipped.chain(own).copied().collect()
    }

    pub(in crate::engine) fn compacted(&mut self, erasure: Sequence) -> Acted {
        if let Some(row) = self.erasures.get_mut(&erasure) {
            for sequence in std::mem::take(&mut row.records) {
                self.hidden.remove(&sequence);
            }
            row.is_done = true;
        }
        self.fresh.erasures = true;
        Acted::default()
    }

    pub(in crate::engine) fn allow(&mut self, hash: [u8; 16]) -> Acted {
        let answer = match self.suppressed.remove(&hash) {
            true => Answer::Done,
            false => Answer::Unknown,
        };
        self.fresh.erasures = true;
        Acted { answer, ..Acted::default() }
    }
}
