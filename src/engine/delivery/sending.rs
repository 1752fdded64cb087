//! What is kept of deliveries on their way beside the state: the schedule, and who owes an answer.

use crate::domain::campaign::{Campaigns, Order, Webhook};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::engine::delivery::schedule::Schedule;
use crate::engine::delivery::sender::{Desk, Job};
use crate::engine::intake::entry::Then;
use crate::engine::state::campaigns::outbox::EndpointNumber;
use crate::engine::state::campaigns::question::TimerKey;
use crate::engine::state::campaigns::runs::Timer;
use crate::outbound::client::Client;
use crate::records::ActRecord;
use actix::{ArbiterHandle, SpawnHandle};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Timers whose records are on their way at most.
pub(in crate::engine) const TIMERS: usize = 1_000;

/// What sending needs beside the core.
pub(in crate::engine) struct Sending {
    pub(in crate::engine) client: Arc<Client>,
    pub(in crate::engine) arbiter: ArbiterHandle,
    /// Who makes the calls, once there is a router to append to.
    pub(in crate::engine) desk: Option<Arc<Desk>>,
    pub(in crate::engine) schedule: Schedule,
    /// The campaigns, and how many endpoints were disabled, at the last look.
    pub(in crate::engine) seen: Option<(Arc<Campaigns>, usize)>,
    /// Timers whose record is on its way.
    pub(in crate::engine) fired: HashSet<TimerKey>,
    /// Behind which timer the next look for due ones begins.
    pub(in crate::engine) fired_to: Option<Timer>,
    /// When the next look is made.
    pub(in crate::engine) wakes: Option<(Timestamp, SpawnHandle)>,
    /// Profiles that owe an answer.
    pub(in crate::engine) asked: usize,
    /// Those of them whose answer may change what campaigns know.
    pub(in crate::engine) deciding: usize,
    /// The deliveries and timers among what they were asked.
    pub(in crate::engine) asked_deliveries: HashMap<u64, EndpointNumber>,
    pub(in crate::engine) asked_timers: HashSet<TimerKey>,
    /// Calls to make, handed over together.
    pub(in crate::engine) jobs: Vec<Job>,
    /// What was sent is to be looked at again.
    pub(in crate::engine) is_stirred: bool,
    /// A snapshot waits for their answers.
    pub(in crate::engine) wants_snapshot: bool,
    /// Records that wait for their answers.
    pub(in crate::engine) held: VecDeque<(Sequence, Then)>,
}

impl Sending {
    pub(in crate::engine) fn new(client: Arc<Client>, arbiter: ArbiterHandle) -> Self {
        Self {
            client,
            arbiter,
            desk: None,
            schedule: Schedule::default(),
            seen: None,
            fired: HashSet::new(),
            fired_to: None,
            wakes: None,
            asked: 0,
            deciding: 0,
            asked_deliveries: HashMap::new(),
            asked_timers: HashSet::new(),
            jobs: Vec::new(),
            is_stirred: false,
            wants_snapshot: false,
            held: VecDeque::new(),
        }
    }

    /// Whether no profile owes an answer.
    pub(in crate::engine) fn is_quiet(&self) -> bool {
        self.asked == 0
    }

    pub(in crate::engine) fn must_wait(&self, then: &Then) -> bool {
        let needs_quiet = match then {
            Then::Act { act, .. } => {
                !matches!(act, ActRecord::Attempted { .. } | ActRecord::TimerFired { .. })
            }
            Then::Configuration { .. } => true,
            _ => false,
        };
        !self.is_quiet() && (needs_quiet || self.wants_snapshot)
    }
}

pub(in crate::engine) fn is_in_order(webhook: Option<&Webhook>) -> bool {
    webhook.is_some_and(|one| one.order == Order::PerProfile)
}
