//! What acts and configurations do to the core: the same live and in replay.

use crate::domain::event::Reason;
use crate::domain::graph::{Change, Cut, Effects, FragmentIndex, Link, Move, NodeIndex, Pair};
use crate::domain::id::{Identifier, Sequence};
use crate::domain::problem::SettingsProblem;
use crate::domain::rules::Rules;
use crate::domain::settings::Settings;
use crate::domain::time::Timestamp;
use crate::engine::fault::Stage;
use crate::engine::state::Core;
use crate::engine::state::acted::{Acted, Answer};
use crate::engine::state::configuration::{Effective, Objects};
use crate::engine::state::erasure::{identifier_hash, is_suppressed};
use crate::engine::state::numbers::{TooLarge, link_number, next_generation};
use crate::records::{ActRecord, CutRow, FragmentKey, LinkRow, Revised, decode_event};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Core {
    /// Takes an act in.
    pub fn act(&mut self, sequence: Sequence, act: ActRecord) -> Acted {
        self.applied = sequence;
        if self.passed.holds(sequence, sequence) {
            return self.passed_over(act);
        }
        self.faults.strike(Stage::Act, act.name());
        match act {
            ActRecord::PassOver { record, .. } => {
                self.passed.insert(record, sequence);
                Acted { answer: Answer::Failed, ..Acted::default() }
            }
            ActRecord::PutObject { kind, id, json, .. } => {
                let mut objects = self.objects.clone();
                objects.insert((kind, id), json);
                self.objects_act(objects)
            }
            ActRecord::DeleteObject { kind, id, .. } => {
                let mut objects = self.objects.clone();
                objects.remove(&(kind, id));
                self.objects_act(objects)
            }
            ActRecord::SetAside { sequence: event, .. } => {
                self.set_aside(event, Reason::Panicked);
                Acted::default()
            }
            ActRecord::Lay { at, joins, a, b, reason } => {
                self.lay(sequence, at, joins, (a, b), &reason)
            }
            ActRecord::Lift { at, number } => self.lift(at, number),
            ActRecord::Unmerge { at, apart, reason } => self.unmerge(sequence, at, apart, &reason),
            ActRecord::Cut { at, parts, reason } => self.cut(sequence, at, parts, reason),
            ActRecord::Withdraw { at, identifier, shown_with } => {
                let ends = shown_with.iter().filter_map(|one| self.graph.named(one)).collect();
                self.withdraw(at, self.graph.named(&identifier), &ends)
            }
            ActRecord::WithdrawHashed { at, hash, shown_with } => {
                let (node, ends) = self.unhash(hash, &shown_with);
                self.withdraw(at, node, &ends)
            }
            ActRecord::Laid { links, .. } => self.relay(sequence, links),
            ActRecord::Reprocess { events, .. } => self.reprocess(sequence, &events),
            ActRecord::Erase { at, profile, suppress, reason } => {
                self.erase(sequence, at, profile, suppress, reason)
            }
            ActRecord::LeftUnread { erasure, events, .. } => self.left_unread(erasure, events),
            ActRecord::Erased { .. } => self.erased(act),
            ActRecord::Compacted { erasure, .. } => self.compacted(erasure),
            ActRecord::Allow { hash, .. } => self.allow(hash),
            ActRecord::Switch { at, configured } => {
                // Not between an erasure's two records: the draft may hold the person still.
                let switches = configured == self.counters.configured
                    && self.pending.is_empty()
                    && self.awaits_resolution();
                Acted { switches: switches.then_some(at), ..Acted::default() }
            }
            ActRecord::Adopt { at, configured } => self.adopt(sequence, at, configured),
            act => self.campaign_act(act),
        }
    }

    /// What is left of an act that panicked: nothing, but that a timer ends its run. Else it would be
    /// due again at once.
    fn passed_over(&mut self, act: ActRecord) -> Acted {
        if let ActRecord::TimerFired { campaign, fragment, run, at } = act {
            self.end_run(&campaign, fragment, run, at);
        }
        Acted { answer: Answer::Failed, ..Acted::default() }
    }

    fn objects_act(&mut self, objects: Objects) -> Acted {
        match self.configure(None, Some(objects)) {
            Ok(()) => Acted::default(),
            Err(problems) => {
                let all = problems.iter().map(ToString::to_string).collect();
                Acted { answer: Answer::Invalid(all), ..Acted::default() }
            }
        }
    }

    /// Puts a configuration in force: new files, new objects, or both. Where it decides about
    /// identity otherwise than before, the graph stays as it is until a re-resolution switches.
    ///
    /// # Errors
    /// Every problem, when it does not hold together.
    pub fn configure(
        &mut self,
        files: Option<Settings>,
        objects: Option<Objects>,
    ) -> Result<(), Vec<SettingsProblem>> {
        let files = files.unwrap_or_else(|| self.files.clone());
        let objects = objects.unwrap_or_else(|| self.objects.clone());
        let effective = Effective::new(&files, &objects, self.genesis.hash_key)?;
        // What came since was read under a configuration that never got its turn.
        self.counters.must_resolve |= self.awaits_resolution();
        (self.files, self.objects) = (files, objects);
        self.effective = Arc::new(effective);
        self.counters.configured = self.applied;
        self.campaigns
            .outbox
            .keep_over(self.effective.compiled.settings.limits.deliveries as usize);
        if !self.awaits_resolution() {
            self.resolved = self.effective.compiled.settings.clone();
            self.graph.set_rules(Arc::clone(&self.effective.compiled.rules));
        }
        self.fresh.configuration = true;
        Ok(())
    }

    /// Whether the configuration in force decides about what is already there otherwise than the
    /// one under which it was resolved.
    pub fn awaits_resolution(&self) -> bool {
        let (now, then) = (&self.effective.compiled.settings, &self.resolved);
        if self.counters.events == 0 {
            return false;
        }
        if self.counters.must_resolve {
            return true;
        }
        if now.points != then.points
            || now.traits != then.traits
            || now.limits.of_identity() != then.limits.of_identity()
        {
            return true;
        }
        let (new, old) = (&self.effective.compiled.rules, Rules::new(then));
        let known = self.graph.type_names();
        new.builtin_blocked != old.builtin_blocked
            || (new.yields_mail_hashes() && !old.yields_mail_hashes())
            || known.into_iter().any(|kind| new.of(&kind) != old.of(&kind))
    }

    /// Whether the configuration in force should be adopted, given that no event before the
    /// journal's beginning can be read again.
    pub(in crate::engine) fn awaits_adoption(&self) -> bool {
        let is_adopted = self.counters.adopted == self.counters.configured;
        self.awaits_resolution() && (self.counters.must_resolve || !is_adopted)
    }

    /// Lets the configuration in force count for the evidence that is there. How trait values are
    /// folded stays: cells of two folds in one profile would show their order of arrival.
    fn adopt(&mut self, sequence: Sequence, at: Timestamp, configured: Sequence) -> Acted {
        if configured != self.counters.configured || !self.awaits_adoption() {
            return Acted::default();
        }
        let mut settings = self.effective.compiled.settings.clone();
        settings.traits.clone_from(&self.resolved.traits);
        settings.limits.set_values = self.resolved.limits.set_values;
        settings.limits.event_types = self.resolved.limits.event_types;
        let effects = self.graph.adopt(Arc::new(Rules::new(&settings)));
        self.resolved = settings;
        self.counters.adopted = configured;
        self.counters.resolved_to = sequence;
        self.counters.must_resolve = false;
        self.fresh.configuration = true;
        self.told(effects, at, Some("re-resolved"))
    }

    fn set_aside(&mut self, event: Sequence, reason: Reason) {
        // Of a person who was erased since: it counts no more, or was never counted on this way.
        if self.emptied.contains(&event) || self.hidden.contains(&event) {
            return;
        }
        self.quarantined.insert(event, reason);
        self.touch_loose(event);
        // A draft that became the state since may have taken it in, as nothing said this yet.
        self.counters.must_resolve |= event < self.counters.resolved_to;
    }

    /// Tells the changes of an act, with the operator's reason where the rule gives none.
    pub(in crate::engine) fn told(
        &mut self,
        effects: Effects,
        at: Timestamp,
        reason: Option<&str>,
    ) -> Acted {
        for change in effects.changes {
            self.tell_act(change, at, reason);
        }
        Acted { moves: effects.moves, ..Acted::default() }
    }

    fn lay(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        joins: bool,
        (a, b): (Identifier, Identifier),
        reason: &str,
    ) -> Acted {
        let number = match link_number(sequence, 0) {
            Ok(number) => number,
            Err(why) => return not_numbered(why),
        };
        self.add_link(LinkRow {
            number,
            joins,
            a: a.clone(),
            b: b.clone(),
            reason: reason.to_owned(),
            at,
        });
        let effects = self.graph.lay(&Link { number, joins, a, b }, sequence, at);
        Acted { answer: Answer::Laid(number), ..self.told(effects, at, Some(reason)) }
    }

    fn add_link(&mut self, row: LinkRow) -> u64 {
        let number = row.number;
        self.links.insert(number, row);
        self.fresh.links.insert(number);
        number
    }

    /// Lays what an erasure left of an unmerge.
    fn relay(&mut self, sequence: Sequence, links: Vec<LinkRow>) -> Acted {
        let mut acted = Acted::default();
        for row in links {
            let link =
                Link { number: row.number, joins: row.joins, a: row.a.clone(), b: row.b.clone() };
            let effects = self.graph.lay(&link, sequence, row.at);
            let told = self.told(effects, row.at, Some(&row.reason));
            acted.moves.extend(told.moves);
            self.add_link(row);
        }
        acted
    }

    fn lift(&mut self, at: Timestamp, number: u64) -> Acted {
        self.fresh.links.insert(number);
        if self.cuts.remove(&number).is_some() {
            let effects = self.graph.lift_cut(number);
            return self.told(effects, at, Some("link lifted"));
        }
        let Some(row) = self.links.remove(&number) else {
            return Acted { answer: Answer::Unknown, ..Acted::default() };
        };
        let joins_the_same = |other: &LinkRow| {
            other.joins
                && ((&other.a, &other.b) == (&row.a, &row.b)
                    || (&other.b, &other.a) == (&row.a, &row.b))
        };
        let others_join = self.links.values().any(joins_the_same);
        let link = Link { number, joins: row.joins, a: row.a, b: row.b };
        let effects = self.graph.lift(&link, others_join);
        self.told(effects, at, Some("link lifted"))
    }

    /// The fragment of that key, if it lives.
    pub(in crate::engine) fn fragment(
        &self,
        (sequence, generation): FragmentKey,
    ) -> Option<FragmentIndex> {
        let fragment = self.graph.born_of(sequence, generation)?;
        self.graph.living_lead(fragment).map(|_| fragment)
    }

    fn unmerge(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        apart: Vec<Pair>,
        reason: &str,
    ) -> Acted {
        let link = |(place, (a, b))| {
            let number = link_number(sequence, place)?;
            Ok(Link { number, joins: false, a, b })
        };
        let links: Vec<Link> = match (1..).zip(apart).map(link).collect() {
            Ok(links) => links,
            Err(why) => return not_numbered(why),
        };
        let unmerged = self.graph.part(&links);
        let mut numbers = Vec::new();
        for Link { number, joins, a, b } in links {
            let reason = reason.to_owned();
            numbers.push(self.add_link(LinkRow { number, joins, a, b, reason, at }));
        }
        let profiles = unmerged.profiles.iter().map(|lead| self.fragment_id(*lead)).collect();
        let answer = Answer::Unmerged { profiles, links: numbers };
        Acted { answer, ..self.told(unmerged.effects, at, Some(reason)) }
    }

    fn cut(
        &mut self,
        sequence: Sequence,
        at: Timestamp,
        parts: Vec<Vec<Identifier>>,
        reason: String,
    ) -> Acted {
        let number = match link_number(sequence, 0) {
            Ok(number) => number,
            Err(why) => return not_numbered(why),
        };
        let row = CutRow { number, parts, reason, at };
        let unmerged = self.graph.cut(&cut_of(&row));
        let profiles = unmerged.profiles.iter().map(|lead| self.fragment_id(*lead)).collect();
        let answer = Answer::Unmerged { profiles, links: vec![number] };
        let told = self.told(unmerged.effects, at, Some(&row.reason));
        self.cuts.insert(number, row);
        self.fresh.links.insert(number);
        Acted { answer, ..told }
    }

    fn withdraw(
        &mut self,
        at: Timestamp,
        node: Option<NodeIndex>,
        ends: &BTreeSet<NodeIndex>,
    ) -> Acted {
        match node {
            Some(node) => {
                let effects = self.graph.withdraw_identifier(node, ends);
                self.told(effects, at, Some("identifier withdrawn"))
            }
            None => Acted { answer: Answer::Unknown, ..Acted::default() },
        }
    }

    /// The nodes behind keyed hashes. Looks at all there are: only replays come here, and only for
    /// withdrawals that an erasure went over.
    fn unhash(
        &self,
        hash: [u8; 16],
        others: &[[u8; 16]],
    ) -> (Option<NodeIndex>, BTreeSet<NodeIndex>) {
        let key = self.genesis.hash_key;
        let (mut found, mut ends) = (None, BTreeSet::new());
        for (node, name) in self.graph.names() {
            let one = identifier_hash(&key, &name.kind, &name.value);
            if one == hash {
                found = Some(node);
            }
            if others.contains(&one) {
                ends.insert(node);
            }
        }
        (found, ends)
    }

    fn reprocess(&mut self, act: Sequence, events: &[Revised]) -> Acted {
        let mut acted = Acted::default();
        self.counters.generation = next_generation(self.counters.generation);
        self.graph.make_later(Some((self.counters.generation, act)));
        for Revised { sequence, content, version, bytes } in events {
            let Ok(event) = decode_event(*version, bytes) else { continue };
            // It panicked here.
            if self.passed.holds(*sequence, act) {
                if let Some(was_counted) = self.take_up(*sequence) {
                    let content = if was_counted { *content } else { 0 };
                    let sum = self.counters.loose_content;
                    self.counters.loose_content = sum.wrapping_sub(content);
                    self.quarantined.insert(*sequence, Reason::Panicked);
                }
                continue;
            }
            // Of a person who is being erased: it goes with them.
            if self.pending.values().any(|person| person.is_in(&event)) {
                continue;
            }
            let Some(was_counted) = self.take_up(*sequence) else { continue };
            if was_counted {
                self.counters.loose_content = self.counters.loose_content.wrapping_sub(*content);
            }
            if is_suppressed(&self.suppressed, &self.genesis.hash_key, &event) {
                self.drop_suppressed(*sequence);
                continue;
            }
            self.revised.extend([(*sequence, act)]);
            self.touch_revised(*sequence);
            self.placing = Some(*sequence);
            let placement = self.place(*sequence, &event);
            self.placing = None;
            self.recount(placement.fragment);
            acted.placed.push((*sequence, Box::new(event), placement));
        }
        self.graph.make_later(None);
        self.sum_up(&mut acted);
        let stored = acted.placed.iter().filter(|(_, _, one)| one.fragment.is_some()).count();
        acted.answer = Answer::Reprocessed(stored);
        acted
    }

    /// One event's placement may move what the next one's moves again: profiles are told where each
    /// fragment was before all of them, and where it is in the end.
    fn sum_up(&self, acted: &mut Acted) {
        let mut were: BTreeMap<FragmentIndex, FragmentIndex> = BTreeMap::new();
        for (_, _, placement) in &mut acted.placed {
            acted.born.extend(placement.unborn());
            for one in placement.moves.drain(..) {
                were.entry(one.fragment).or_insert(one.from);
            }
        }
        let net = were.into_iter().map(|(fragment, from)| {
            let to = self.graph.lead(fragment);
            Move { fragment, from, to }
        });
        let is_move = |one: &Move| one.from != one.to && !acted.born.contains(&one.fragment);
        acted.moves = net.filter(is_move).collect();
        for (_, _, placement) in &mut acted.placed {
            placement.profile = placement.fragment.map(|fragment| self.graph.lead(fragment));
        }
    }

    /// Hides an event that was on no profile and comes, as it reads now, with a suppressed identifier.
    pub(in crate::engine) fn drop_suppressed(&mut self, sequence: Sequence) {
        self.hidden.insert(sequence);
        self.fresh.erasures = true;
        self.counters.events = self.counters.events.saturating_sub(1);
    }

    /// Takes an event out of those on no profile. Returns whether its content was counted there: that
    /// of one that panicked never was; `None` where it is not among them.
    pub(in crate::engine) fn take_up(&mut self, sequence: Sequence) -> Option<bool> {
        let is_less = self.profile_less.remove(&sequence);
        let reason = self.quarantined.remove(&sequence);
        if !is_less && reason.is_none() {
            return None;
        }
        self.touch_loose(sequence);
        Some(reason != Some(Reason::Panicked))
    }

    pub(in crate::engine) fn tell_act(
        &mut self,
        change: Change,
        at: Timestamp,
        reason: Option<&str>,
    ) {
        self.tell(change, None, at);
        if let (Some(row), Some(reason)) = (self.changes.last_mut(), reason) {
            row.reason.get_or_insert_with(|| reason.to_owned());
        }
    }
}

/// What an act results in whose links cannot be numbered: nothing, live as in a replay.
fn not_numbered(why: TooLarge) -> Acted {
    Acted { answer: Answer::Invalid(vec![format!("its links: {why}")]), ..Acted::default() }
}

/// A cut as the graph knows it.
pub(in crate::engine) fn cut_of(row: &CutRow) -> Cut {
    Cut { number: row.number, parts: row.parts.clone() }
}
