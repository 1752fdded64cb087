//! A graph that is resolved anew takes the fragments of the one before over: who had an id keeps
//! it, wherever its events belong now.

use super::pages::Touched;
use super::row::ShortSequence;
use super::{Birth, FragmentIndex, Graph, NONE, NodeIndex};
use crate::domain::id::Sequence;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

/// Fragments of the graph before, to be taken over.
#[derive(Clone, Debug, Default)]
pub struct Ancestry {
    births: Vec<Birth>,
    /// What each was made for; empty where it lives on in another or was erased.
    origins: Vec<String>,
}

impl Ancestry {
    /// How many fragments there are.
    pub fn len(&self) -> usize {
        self.births.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.births.is_empty()
    }
}

/// What a graph under re-resolution knows of the one before.
#[derive(Debug, Default)]
pub(super) struct Heirs {
    by_origin: HashMap<Box<str>, FragmentIndex>,
    /// Fragments by the event that made them: they follow it where their own origin comes up no
    /// more.
    by_event: HashMap<Sequence, SmallVec<[FragmentIndex; 1]>>,
    taken: usize,
}

impl Graph {
    /// The fragments from number `from` on.
    pub fn ancestry(&self, from: usize) -> Ancestry {
        let births: Vec<Birth> = self.fragments.iter().skip(from).map(Birth::from).collect();
        let origin = |(at, birth): (usize, &Birth)| {
            let is_own = birth.node != NONE
                && self.fragment_of(birth.node) == Some((from + at) as FragmentIndex);
            if is_own { self.name_of(birth.node) } else { String::new() }
        };
        let origins = births.iter().enumerate().map(origin).collect();
        Ancestry { births, origins }
    }

    /// Takes fragments over, behind those taken before and ahead of those made since.
    ///
    /// New ones are of `generation`; the record that makes them is named at the end.
    pub fn inherit(&mut self, ancestry: Ancestry, generation: u16) {
        let mut heirs = self.heirs.take().unwrap_or_default();
        self.later = Some((generation, Sequence::MAX));
        let (from, more) = (heirs.taken, ancestry.births.len());
        self.make_room(from, more);
        let since = self.fragments.split_off(from);
        for (at, (birth, origin)) in ancestry.births.into_iter().zip(ancestry.origins).enumerate() {
            let fragment = (from + at) as FragmentIndex;
            if !origin.is_empty() {
                heirs.by_origin.insert(origin.into(), fragment);
            }
            heirs.by_event.entry(birth.sequence).or_default().push(fragment);
            if birth.generation > 0 {
                self.later_born.insert((birth.sequence, birth.generation), fragment);
            }
            self.fragments.push(Birth { node: NONE, ..birth }.into());
            self.dirty.mark(Touched::Fragment(fragment));
        }
        self.fragments.extend(since);
        heirs.taken += more;
        self.heirs = Some(heirs);
    }

    /// Whether fragments came too late to be taken over: their origin, or the event that made them,
    /// was met already (events up to `read`), and another fragment was made.
    pub fn is_too_late_for(&self, more: &Ancestry, read: Sequence) -> bool {
        let taken = self.heirs.as_ref().map_or(0, |heirs| heirs.taken);
        let made = self.fragments.iter().skip(taken).filter(|birth| birth.node != NONE);
        let made: HashSet<String> = made.map(|birth| self.name_of(birth.node)).collect();
        more.births.iter().any(|birth| birth.sequence <= read)
            || more.origins.iter().any(|origin| made.contains(origin))
    }

    /// Renumbers the fragments from `from` on by `more` places.
    fn make_room(&mut self, from: usize, more: usize) {
        if more == 0 || self.fragments.len() == from {
            return;
        }
        let shift = |fragment: &mut FragmentIndex| {
            if *fragment != NONE && *fragment as usize >= from {
                *fragment += more as FragmentIndex;
            }
        };
        for node in self.nodes.iter_mut() {
            shift(&mut node.fragment);
        }
        for cluster in self.clusters.iter_mut() {
            shift(&mut cluster.lead);
        }
        for fragment in self.later_born.values_mut() {
            shift(fragment);
        }
    }

    /// The fragment that an origin had before, which it takes over now.
    pub(super) fn heir(&mut self, origin: NodeIndex) -> Option<FragmentIndex> {
        let name = self.heirs.as_ref().map(|_| self.name_of(origin))?;
        let fragment = *self.heirs.as_ref()?.by_origin.get(name.as_str())?;
        self.fragments[fragment as usize].node = origin;
        Some(fragment)
    }

    /// From now on events make fragments at a later record than their own: `(generation, record)`
    /// is theirs then. `None` ends it.
    pub fn make_later(&mut self, later: Option<(u16, Sequence)>) {
        self.later = later;
    }

    /// Lets the fragments that this event made once follow it.
    pub(super) fn follow(&mut self, sequence: Sequence, origin: NodeIndex) {
        let Some(heirs) = &self.heirs else { return };
        for fragment in heirs.by_event.get(&sequence).into_iter().flatten() {
            let birth = &mut self.fragments[*fragment as usize];
            if birth.node == NONE {
                birth.node = origin;
            }
        }
    }

    /// Ends the taking over: what was made anew was made by the record at `made_at`. Answers the
    /// numbers of the fragments that hold events now.
    pub fn close_inheritance(&mut self, made_at: Sequence) {
        let taken = self.heirs.take().map_or(0, |heirs| heirs.taken);
        self.later = None;
        for birth in self.fragments.iter_mut().skip(taken) {
            birth.made_at = ShortSequence::of(made_at);
        }
        // Ages have changed for the new ones, and so may leaders.
        for at in 0..self.clusters.len() {
            if self.clusters[at].size > 0 && self.clusters[at].lead != NONE {
                let head = self.clusters[at].head;
                if self.nodes[head as usize].cluster as usize != at {
                    continue;
                }
                let lead = self
                    .members(at as u32)
                    .filter_map(|node| self.fragment_of(node))
                    .fold(NONE, |oldest, fragment| self.older(oldest, fragment));
                self.clusters[at].lead = lead;
            }
        }
    }

    /// The profile that holds each fragment; [`NONE`] for one that holds no events of its own.
    pub fn holders(&self) -> Vec<FragmentIndex> {
        let holder = |fragment: FragmentIndex| match self.fragment_of_birth(fragment) {
            true => self.lead(fragment),
            false => NONE,
        };
        (0..self.fragments.len() as FragmentIndex).map(holder).collect()
    }

    /// How many identifiers the cap counts on a profile.
    pub fn cluster_size(&self, lead: FragmentIndex) -> usize {
        let cluster = self.cluster_of(self.fragments[lead as usize].node);
        self.clusters[cluster as usize].counted as usize
    }

    /// Which profile held each fragment in `before`, where it is another one now: for the change
    /// log of a re-resolution.
    pub fn compare_with(&self, before: &Graph) -> super::Effects {
        let mut noted = super::observe::Before::default();
        for fragment in 0..before.fragments.len() as FragmentIndex {
            if let (Some(then), Some(now)) =
                (before.living_lead(fragment), self.living_lead(fragment))
                && then != now
                && before.fragment_of_birth(fragment)
            {
                noted.note(fragment, then);
            }
        }
        self.compare(&noted, None, true)
    }

    fn fragment_of_birth(&self, fragment: FragmentIndex) -> bool {
        let node = self.fragments[fragment as usize].node;
        node != NONE && self.fragment_of(node) == Some(fragment)
    }
}
