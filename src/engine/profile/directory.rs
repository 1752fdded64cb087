//! Which profiles have an actor, and which of them rests next.

use crate::domain::graph::FragmentIndex;
use crate::engine::context::Shared;
use crate::engine::profile::actor::ProfileActor;
use crate::engine::profile::message::{Op, Report};
use crate::engine::state::Core;
use actix::{Actor, Addr, ArbiterHandle, Recipient};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many profiles are looked at between two groups, so that looking stops nobody for long.
const LOOKS: usize = 1_000;

/// How many of those that were let go are ended between two groups: about a millisecond.
const STOPS: usize = 200;

/// What is known of an active profile.
struct Active {
    address: Addr<ProfileActor>,
    /// When it was last used, in uses of any profile.
    stamp: u64,
    /// It was asked to write itself down at that stamp.
    asked_at: Option<u64>,
}

/// The active profiles, roughly in the order of their last use.
pub(in crate::engine) struct Profiles {
    active: HashMap<FragmentIndex, Active>,
    /// Each active profile once, with its use when it came in here: whoever comes out at the front
    /// and was used since goes in again (a queue with a second chance, so that a use costs nothing).
    uses: VecDeque<(u64, FragmentIndex)>,
    stamp: u64,
    active_max: usize,
    /// Asked to rest, and not yet gone.
    leaving: usize,
    /// Actors from before a re-resolution, which nobody asks any more.
    left: Vec<(FragmentIndex, Addr<ProfileActor>)>,
    arbiters: Vec<ArbiterHandle>,
    shared: Arc<Shared>,
    /// Who hears what actors report.
    identity: Recipient<Report>,
}

impl Profiles {
    pub(in crate::engine) fn new(
        arbiters: Vec<ArbiterHandle>,
        active_max: usize,
        shared: Arc<Shared>,
        identity: Recipient<Report>,
    ) -> Self {
        Self {
            active: HashMap::new(),
            uses: VecDeque::new(),
            stamp: 0,
            active_max: active_max.max(1),
            leaving: 0,
            left: Vec::new(),
            arbiters,
            shared,
            identity,
        }
    }

    pub(in crate::engine) fn count(&self) -> usize {
        self.active.len()
    }

    pub(in crate::engine) fn is_active(&self, lead: FragmentIndex) -> bool {
        self.active.contains_key(&lead)
    }

    /// The actor of an active profile; counts as a use.
    pub(in crate::engine) fn find(&mut self, lead: FragmentIndex) -> Option<Addr<ProfileActor>> {
        self.stamp += 1;
        let stamp = self.stamp;
        let active = self.active.get_mut(&lead)?;
        active.stamp = stamp;
        Some(active.address.clone())
    }

    /// The actor of a profile, started with the fragments that are `at_rest` if it has none.
    pub(in crate::engine) fn active(
        &mut self,
        lead: FragmentIndex,
        core: &Core,
        at_rest: Vec<FragmentIndex>,
    ) -> Addr<ProfileActor> {
        if let Some(address) = self.find(lead) {
            return address;
        }
        let id = core.fragment_id(lead);
        let (shared, identity) = (Arc::clone(&self.shared), self.identity.clone());
        let epoch = shared.rest.epoch();
        let arbiter = &self.arbiters[id.as_u128() as usize % self.arbiters.len()];
        let address = ProfileActor::start_in_arbiter(arbiter, move |_| {
            ProfileActor::new(lead, id, at_rest, shared, identity, epoch)
        });
        let entry = Active { address: address.clone(), stamp: self.stamp, asked_at: None };
        self.active.insert(lead, entry);
        self.uses.push_back((self.stamp, lead));
        address
    }

    /// Asks the longest idle profiles beyond the limit to write themselves down.
    pub(in crate::engine) fn passivate_idle(&mut self) {
        for _ in 0..LOOKS {
            if self.active.len() - self.leaving <= self.active_max {
                return;
            }
            let Some((stamp, lead)) = self.uses.pop_front() else { return };
            // Whoever was asked before comes in again if it stays.
            let active = self.active.get_mut(&lead).filter(|one| one.asked_at.is_none());
            let Some(active) = active else { continue };
            if active.stamp == stamp {
                active.asked_at = Some(stamp);
                // BOUND: once for each profile that is active.
                active.address.do_send(Op::Passivate { stamp });
                self.leaving += 1;
            } else {
                self.uses.push_back((active.stamp, lead));
            }
        }
    }

    /// Whether a profile that wrote itself down was not used since it was asked to.
    pub(in crate::engine) fn may_rest(&mut self, lead: FragmentIndex, stamp: u64) -> bool {
        let Some(active) = self.active.get_mut(&lead) else { return false };
        if active.asked_at != Some(stamp) {
            return false;
        }
        if active.stamp == stamp {
            return true;
        }
        active.asked_at = None;
        self.leaving -= 1;
        self.uses.push_back((active.stamp, lead));
        false
    }

    /// Lets go of every actor: each ends once it has done what it was told before, some between each
    /// two groups.
    pub(in crate::engine) fn leave_all(&mut self) {
        self.left.extend(self.active.drain().map(|(lead, one)| (lead, one.address)));
        self.uses.clear();
        self.leaving = 0;
    }

    /// Ends some of those that were let go.
    pub(in crate::engine) fn stop_left(&mut self) {
        for (_lead, address) in self.left.drain(self.left.len().saturating_sub(STOPS)..) {
            // BOUND: once for each actor.
            address.do_send(Op::Stop);
        }
    }

    /// Ends a profile's actor once it has done what it was told before.
    pub(in crate::engine) fn stop(&mut self, lead: FragmentIndex) {
        if let Some(active) = self.active.remove(&lead) {
            if active.asked_at.is_some() {
                self.leaving -= 1;
            }
            // BOUND: once for each actor.
            active.address.do_send(Op::Stop);
        }
    }
}
