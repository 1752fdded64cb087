//! Makes the calls: fetches what is sent, puts the request together, and journals how it went. Runs
//! on a thread of its own, so that signing, TLS and slow receivers weigh on nobody else.

use crate::domain::campaign::retry::{Verdict, retry_after_ms};
use crate::domain::campaign::{Campaigns, Rendered};
use crate::domain::time::Timestamp;
use crate::engine::context::Shared;
use crate::engine::fault::Stage;
use crate::engine::intake::entry::{Append, AppendAll, Then};
use crate::engine::state::campaigns::outbox::verdict;
use crate::engine::store::fragments::RowError;
use crate::outbound::attempt::Attempt as Prepared;
use crate::outbound::client::{Answer, Client};
use crate::outbound::error::CallError;
use crate::records::{ActRecord, Attempt, kind};
use actix::{Message, Recipient};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An attempt to make.
pub(in crate::engine) struct Job {
    pub(in crate::engine) number: u64,
    pub(in crate::engine) campaigns: Arc<Campaigns>,
    pub(in crate::engine) campaign: Box<str>,
    pub(in crate::engine) step: u16,
    pub(in crate::engine) webhook_id: String,
    /// Which attempt it is, from 1.
    pub(in crate::engine) attempt: u32,
    pub(in crate::engine) at: Timestamp,
}

/// Where attempts are made.
pub(in crate::engine) struct Desk {
    client: Arc<Client>,
    shared: Arc<Shared>,
    router: Recipient<AppendAll>,
    identity: Recipient<Finished>,
    /// Calls that ended in this turn of the thread: a message to an actor costs more than what it
    /// says, so what ended together is told together.
    ended: Mutex<Over>,
}

/// What ended: the records of the attempts, and their calls.
#[derive(Default)]
struct Over {
    records: Vec<Append>,
    calls: Vec<Ended>,
}

impl Desk {
    pub(in crate::engine) fn new(
        client: Arc<Client>,
        shared: Arc<Shared>,
        router: Recipient<AppendAll>,
        identity: Recipient<Finished>,
    ) -> Self {
        Self { client, shared, router, identity, ended: Mutex::default() }
    }

    /// Makes an attempt and journals how it went. What panics here and not in the call would leave the
    /// delivery under way for ever, so it fails the engine.
    pub(in crate::engine) async fn make(self: Arc<Self>, job: Job) {
        let shared = Arc::clone(&self.shared);
        if AssertUnwindSafe(self.attempt(job)).catch_unwind().await.is_err() {
            shared
                .fail_by_fault("the sending of deliveries ended by a fault of the program".into());
        }
    }

    async fn attempt(self: Arc<Self>, job: Job) {
        let number = job.number;
        let ended = |failed| {
            let (campaign, step) = (job.campaign.clone(), job.step);
            Ended { number, campaign, step, failed }
        };
        let mut started = Instant::now();
        let call = async {
            let Some(rendered) = self.rendered(number).await? else { return Ok(None) };
            started = Instant::now();
            Ok::<_, RowError>(Some(self.call(&job, &rendered).await))
        };
        // What a receiver says may be anything: one that panics is told as a failed attempt.
        let result = match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(Some(result))) => result,
            Ok(Ok(None)) => return self.tell(None, ended(None)),
            Ok(Err(error)) => return self.shared.fail(format!("delivery {number}: {error}")),
            Err(_) => Err(CallError::Invalid("the call panicked".to_owned())),
        };
        self.shared.faults.strike(Stage::Telling, &job.campaign);
        let status = result.as_ref().ok().map(|answer| answer.status);
        self.shared.metrics.count_attempt(status, started.elapsed());
        let outcome = outcome(result, started.elapsed(), self.shared.clock.now());
        let failed = Some(verdict(&outcome).is_failure());
        let act = ActRecord::Attempted { at: outcome.at, delivery: number, outcome };
        match act.encode() {
            Ok(bytes) => {
                let then = Then::Act { act, reply: None };
                let record = Append { kind: kind::ACT, bytes, then };
                self.tell(Some(record), ended(failed));
            }
            Err(error) => self.shared.fail(format!("journalling an attempt: {error}")),
        }
    }

    /// Tells of a call, with all others that end in this turn.
    fn tell(self: Arc<Self>, record: Option<Append>, call: Ended) {
        let is_first = {
            let mut ended = self.ended();
            ended.records.extend(record);
            ended.calls.push(call);
            ended.calls.len() == 1
        };
        if is_first {
            // Behind the calls whose answers are there already.
            actix_rt::spawn(async move {
                let Over { records, calls } = std::mem::take(&mut *self.ended());
                // BOUND: as the calls under way, which the schedule counts.
                self.router.do_send(AppendAll(records));
                // BOUND: the same.
                self.identity.do_send(Finished(calls));
            });
        }
    }

    fn ended(&self) -> MutexGuard<'_, Over> {
        // It only ever grows by single steps and is taken whole, so a panic leaves it as it should be.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent; read where reading may block, unless it is in memory.
    async fn rendered(&self, number: u64) -> Result<Option<Rendered>, RowError> {
        if let Some(rendered) = self.shared.kept.newer_rendered(number)? {
            return Ok(Some(rendered));
        }
        let shared = Arc::clone(&self.shared);
        let read = move || shared.kept.rendered(&shared.rest, number);
        match actix_rt::task::spawn_blocking(read).await {
            Ok(found) => found,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The reading thread is only gone when the runtime ends, and this with it.
            Err(_) => Ok(None),
        }
    }

    async fn call(&self, job: &Job, rendered: &Rendered) -> Result<Answer, CallError> {
        self.shared.faults.strike(Stage::Sending, &job.campaign);
        let campaign = job.campaigns.get(&job.campaign);
        let Some(webhook) = campaign.and_then(|one| one.webhook(job.step)) else {
            return Err(CallError::Invalid("the campaign's step is gone".to_owned()));
        };
        let attempt = Prepared {
            rendered,
            webhook_id: &job.webhook_id,
            number: job.attempt,
            at: job.at,
            is_test: false,
        };
        let call = attempt
            .prepare(webhook, &|name| self.shared.secrets.text(name))
            .map_err(|error| CallError::Invalid(error.to_string()))?;
        self.client.call(&format!("{}/{}", job.campaign, job.step), &call).await
    }
}

/// How an attempt went that ended at `at` and took so long, whether an answer came or not.
fn outcome(result: Result<Answer, CallError>, took: Duration, at: Timestamp) -> Attempt {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(answer) => Attempt {
            at,
            status: Some(answer.status),
            took_ms,
            error: None,
            is_final: false,
            retry_after_ms: retry_after_ms(answer.status, answer.retry_after.as_deref(), at),
            response: answer.body,
        },
        Err(error) => Attempt {
            at,
            status: None,
            took_ms,
            error: Some(error.to_string()),
            is_final: error.verdict() == Verdict::Final,
            retry_after_ms: None,
            response: Vec::new(),
        },
    }
}

/// Calls of attempts are over, and their records on the way.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::engine) struct Finished(pub(in crate::engine) Vec<Ended>);

/// The call of an attempt is over.
#[derive(Debug)]
pub(in crate::engine) struct Ended {
    pub(in crate::engine) number: u64,
    /// The endpoint by its name: numbers are other ones once the state was rebuilt.
    pub(in crate::engine) campaign: Box<str>,
    pub(in crate::engine) step: u16,
    /// Whether the endpoint failed; none where nothing was there to send.
    pub(in crate::engine) failed: Option<bool>,
}
