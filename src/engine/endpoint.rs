//! The live side of campaigns: asks profiles, fires timers, sends what is due and journals how it
//! went.
//!
//! Part of the identity actor. What it decides by is the [`Core`](super::core::Core); what it keeps
//! beside it (breakers, calls under way) may be lost in a crash. A snapshot, and an act that may
//! change what profiles are, wait until no profile owes an answer: so a snapshot at a sequence holds
//! every consequence of the records up to it.

use super::campaign_state::Timer;
use super::campaigns::{Question, Told, told};
use super::committer::Then;
use super::deliveries::{EndpointKey, verdict};
use super::identity::IdentityActor;
use super::profile::Op;
use super::router::Append;
use crate::domain::campaign::{Order, Recheck, Standing};
use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use crate::outbound::attempt::Attempt as Prepared;
use crate::outbound::client::{Answer, CallError, Client};
use crate::outbound::endpoint::Endpoint;
use crate::outbound::retry::{Verdict, retry_after_ms};
use crate::records::{ActRecord, Attempt, kind};
use actix::{ArbiterHandle, AsyncContext, Context, Handler, Message};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often it is looked whether something is due.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a delivery of a paused campaign rests before it is looked at again, in milliseconds.
const HOLD_MS: i64 = 1_000;
/// Timers fired in one look.
const TIMERS: usize = 1_000;

/// What a profile was asked, and what it says.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Answered(pub(super) Box<Question>, pub(super) Told);

/// A call is over.
#[derive(Message)]
#[rtype(result = "()")]
struct Finished {
    number: u64,
    endpoint: EndpointKey,
    result: Result<Answer, CallError>,
}

/// What sending needs beside the core.
pub(super) struct Sending {
    pub(super) client: Arc<Client>,
    /// Where `file:` secrets are looked up.
    pub(super) secrets: PathBuf,
    arbiter: ArbiterHandle,
    endpoints: HashMap<EndpointKey, Endpoint>,
    /// Deliveries that are asked about, called or journalled, with the attempts that they had.
    under_way: BTreeMap<u64, usize>,
    /// Deliveries of paused campaigns, and when to look again.
    resting: BTreeMap<u64, Timestamp>,
    /// Timers whose record is on its way.
    fired: BTreeSet<Timer>,
    /// Profiles that owe an answer.
    asked: usize,
    /// A snapshot waits for their answers.
    pub(super) wants_snapshot: bool,
    /// Records that wait for their answers.
    held: VecDeque<(Sequence, Then)>,
}

impl Sending {
    pub(super) fn new(client: Arc<Client>, arbiter: ArbiterHandle, secrets: PathBuf) -> Self {
        Self {
            client,
            secrets,
            arbiter,
            endpoints: HashMap::new(),
            under_way: BTreeMap::new(),
            resting: BTreeMap::new(),
            fired: BTreeSet::new(),
            asked: 0,
            wants_snapshot: false,
            held: VecDeque::new(),
        }
    }

    /// Whether no profile owes an answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.asked == 0
    }

    fn must_wait(&self, then: &Then) -> bool {
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

/// What `env:NAME` or `file:path` stands for; paths begin in `folder`.
pub(super) fn secret(folder: &Path, reference: &str) -> Option<String> {
    if let Some(name) = reference.strip_prefix("env:") {
        return std::env::var(name.trim()).ok();
    }
    let text =
        std::fs::read_to_string(folder.join(reference.strip_prefix("file:")?.trim())).ok()?;
    Some(text.trim().to_owned())
}

impl IdentityActor {
    /// Takes a durable record in its turn, or holds it back until no profile owes an answer.
    pub(super) fn take_or_hold(
        &mut self,
        sequence: Sequence,
        then: Then,
        context: &mut Context<Self>,
    ) {
        if !self.sending.held.is_empty() || self.sending.must_wait(&then) {
            self.sending.held.push_back((sequence, then));
        } else {
            self.take(sequence, then, context);
        }
    }

    /// Asks a profile; its answer comes behind all that it was told before.
    pub(super) fn put_question(&mut self, question: Question, context: &mut Context<Self>) {
        self.sending.asked += 1;
        let set_values = self.core.graph.rules().limits.set_values;
        self.tell_awake(question.lead, Op::Tell(Box::new(question), set_values, None), context);
    }

    /// Asks what a timer asks, with the event that its run began with.
    pub(super) fn put_timer(&mut self, mut question: Question, context: &mut Context<Self>) {
        question.read_event(&self.shared.reader);
        self.put_question(question, context);
    }

    /// Fires timers and sends what is due.
    pub(super) fn dispatch(&mut self, context: &mut Context<Self>) {
        // What waits for silence shall get it, however much there is to send.
        let is_awaited = self.sending.wants_snapshot || !self.sending.held.is_empty();
        if self.router.is_none() || is_awaited {
            return;
        }
        let now = self.shared.clock.now();
        self.fire(now);
        let outbox = &self.core.campaigns.outbox;
        self.sending.under_way.retain(|number, attempts| {
            let delivery = outbox.get(*number).filter(|delivery| delivery.is_pending());
            delivery.is_some_and(|delivery| delivery.attempts.len() == *attempts)
        });
        self.sending.resting.retain(|_, until| *until > now);
        for number in self.picked(now) {
            let attempts =
                self.core.campaigns.outbox.get(number).map_or(0, |one| one.attempts.len());
            self.sending.under_way.insert(number, attempts);
            match self.core.question_of_attempt(number, now) {
                Some(mut question) => {
                    if self.core.audience_reads_event(number) {
                        question.read_event(&self.shared.reader);
                    }
                    self.put_question(question, context);
                }
                None => self.cancel(number, now, "the profile is not there any more".to_owned()),
            }
        }
    }

    fn fire(&mut self, now: Timestamp) {
        let state = &self.core.campaigns;
        self.sending.fired.retain(|timer| state.has_timer(timer));
        let fired = &self.sending.fired;
        // A run of a paused campaign waits on, without a record for each look.
        let campaigns = self.core.compiled_campaigns();
        let rests = |campaign: &str| {
            campaigns.get(campaign).is_some_and(|one| one.standing == Standing::Paused)
        };
        let due = state.due_timers(now).filter(|timer| !fired.contains(*timer) && !rests(&timer.2));
        let due: Vec<Timer> = due.take(TIMERS).cloned().collect();
        for timer in due {
            let (_, fragment, campaign, run) = &timer;
            let fragment = self.core.fragment_key(*fragment);
            let (campaign, run) = (campaign.to_string(), *run);
            self.journal(ActRecord::TimerFired { at: now, campaign, fragment, run });
            self.sending.fired.insert(timer);
        }
    }

    /// The deliveries that may be sent now, as far as their endpoints let them.
    fn picked(&self, now: Timestamp) -> Vec<u64> {
        let (state, sending) = (&self.core.campaigns, &self.sending);
        let mut picked = Vec::new();
        for endpoint in state.outbox.endpoints() {
            if state.disabled.contains_key(&endpoint) {
                continue;
            }
            let campaign = self.core.compiled_campaigns().get(&endpoint.0);
            let webhook = campaign.and_then(|campaign| campaign.webhook(endpoint.1));
            // Only looked at: a place is taken when the call is made.
            let mut places = sending.endpoints.get(&endpoint).cloned().unwrap_or_default();
            for (number, delivery) in state.outbox.due(&endpoint, now) {
                if sending.under_way.contains_key(&number) || sending.resting.contains_key(&number)
                {
                    continue;
                }
                let in_order = webhook.is_some_and(|one| one.order == Order::PerProfile);
                if in_order && self.core.has_earlier(number, delivery) {
                    continue;
                }
                if places.admit(webhook.and_then(|webhook| webhook.rate), now).is_err() {
                    break;
                }
                picked.push(number);
            }
        }
        picked
    }

    fn recheck(&mut self, question: &Question, told: &Told, number: u64) {
        let now = self.shared.clock.now();
        match self.core.recheck(question, told) {
            Some(Recheck::Send) => self.send(number, now),
            Some(Recheck::Hold) => {
                self.sending.under_way.remove(&number);
                self.sending.resting.insert(number, now.plus_ms(HOLD_MS));
            }
            Some(Recheck::Cancel(why)) => self.cancel(number, now, why.to_string()),
            None => {} // erased meanwhile
        }
    }

    fn cancel(&self, delivery: u64, at: Timestamp, reason: String) {
        self.journal(ActRecord::Cancelled { at, delivery, reason });
    }

    fn send(&mut self, number: u64, now: Timestamp) {
        let Some(delivery) = self.core.campaigns.outbox.get(number).filter(|one| one.is_pending())
        else {
            return;
        };
        let campaigns = self.core.compiled_campaigns();
        let campaign = campaigns.get(&delivery.campaign);
        let Some(webhook) = campaign.and_then(|one| one.webhook(delivery.step)) else { return };
        let key = (delivery.campaign.clone(), delivery.step);
        let endpoint = self.sending.endpoints.entry(key.clone()).or_default();
        if endpoint.admit(webhook.rate, now).is_err() {
            self.sending.under_way.remove(&number);
            return;
        }
        let made = u32::try_from(delivery.attempts.len()).unwrap_or(u32::MAX);
        let attempt = Prepared {
            rendered: &delivery.rendered,
            webhook_id: &delivery.webhook_id,
            number: made.saturating_add(1),
            at: now,
            is_test: false,
        };
        let identity = self.address.clone();
        match attempt.prepare(webhook, &|name| secret(&self.sending.secrets, name)) {
            Ok(call) => {
                let client = Arc::clone(&self.sending.client);
                let name = format!("{}/{}", key.0, key.1);
                let call = async move {
                    let result = client.call(&name, &call).await;
                    if let Some(identity) = identity {
                        identity.do_send(Finished { number, endpoint: key, result });
                    }
                };
                if !self.sending.arbiter.spawn(call) {
                    tracing::warn!("a delivery was not sent: the engine is stopping");
                }
            }
            Err(error) => {
                let result = Err(CallError::Invalid(error.to_string()));
                self.finished(Finished { number, endpoint: key, result });
            }
        }
    }

    fn finished(&mut self, Finished { number, endpoint, result }: Finished) {
        let at = self.shared.clock.now();
        let outcome = match result {
            Ok(answer) => Attempt {
                at,
                status: Some(answer.status),
                took_ms: u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
                error: None,
                is_final: false,
                retry_after_ms: retry_after_ms(answer.status, answer.retry_after.as_deref(), at),
                response: answer.body,
            },
            Err(error) => Attempt {
                at,
                status: None,
                took_ms: 0,
                error: Some(error.to_string()),
                is_final: error.verdict() == Verdict::Final,
                retry_after_ms: None,
                response: Vec::new(),
            },
        };
        if let Some(endpoint) = self.sending.endpoints.get_mut(&endpoint) {
            endpoint.ended(verdict(&outcome).is_failure(), at);
        }
        self.journal(ActRecord::Attempted { at, delivery: number, outcome });
    }

    fn journal(&self, act: ActRecord) {
        let Some(router) = &self.router else { return };
        match act.encode() {
            Ok(bytes) => {
                let then = Then::Act { act, reply: None };
                router.do_send(Append { kind: kind::ACT, bytes, then });
            }
            Err(error) => self.shared.fail(format!("journalling a delivery: {error}")),
        }
    }
}

impl Handler<Answered> for IdentityActor {
    type Result = ();

    fn handle(&mut self, Answered(question, told): Answered, context: &mut Self::Context) {
        self.sending.asked = self.sending.asked.saturating_sub(1);
        match question.delivery() {
            Some(number) => self.recheck(&question, &told, number),
            None if self.shared.is_aside(question.sequence) => {}
            None => self.core.decide(&question, told),
        }
        if self.sending.is_quiet() && std::mem::take(&mut self.sending.wants_snapshot) {
            self.snapshot(None);
        }
        while let Some((_, then)) = self.sending.held.front() {
            if self.sending.must_wait(then) {
                break;
            }
            if let Some((sequence, then)) = self.sending.held.pop_front() {
                self.take(sequence, then, context);
            }
        }
        self.dispatch(context);
    }
}

impl Handler<Finished> for IdentityActor {
    type Result = ();

    fn handle(&mut self, finished: Finished, _: &mut Self::Context) {
        self.finished(finished);
    }
}

impl super::profile::ProfileActor {
    /// Answers what is asked on behalf of campaigns: the identity actor, or whoever tries one out.
    pub(super) fn answer(
        &self,
        question: Box<Question>,
        set_values: u32,
        reply: Option<oneshot::Sender<(Box<Question>, Told)>>,
    ) {
        let fragments: Vec<(FragmentIndex, &Fragment)> =
            self.fragments.iter().map(|(index, fragment)| (*index, fragment)).collect();
        let shared = &self.shared;
        match told(&question, &fragments, set_values, (&shared.rest, &shared.reader)) {
            Ok(told) => match reply {
                // Whoever asked may have gone away.
                Some(reply) => drop(reply.send((question, told))),
                None => self.identity.do_send(Answered(question, told)),
            },
            Err(error) => shared.fail(format!("profile {}: {error}", question.profile())),
        }
    }
}

/// Begins to look regularly whether something is due.
pub(super) fn begin(context: &mut Context<IdentityActor>) {
    context.run_interval(LOOK_EVERY, IdentityActor::dispatch);
}
