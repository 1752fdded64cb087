//! What all workers share, and which faces a listener has.

use crate::clock::Clock;
use crate::code::Code;
use crate::config::{Config, Inputs, Limits};
use crate::decode::DecodeLimits;
use crate::domain::time::Timestamp;
use crate::engine::Engine;
use crate::http::problem::Problem;
use crate::http::{body, rate, unread};
use crate::secrets::Secret;
use crate::telemetry::metrics::Metrics;
use actix_web::web;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What every worker shares.
pub struct Http {
    /// The engine.
    pub engine: Engine,
    /// The time.
    pub clock: Clock,
    /// When this was put together.
    pub started_at: Timestamp,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is refused.
    pub limits: Limits,
    /// The same, as far as decoding goes.
    pub decoding: DecodeLimits,
    /// The admin token; none on loopback without one.
    pub token: Option<Secret>,
    /// The name of the stored secret that it is, where it is one.
    pub token_name: Option<String>,
    /// Where the configuration is read from again.
    pub inputs: Inputs,
    /// What sources may still send.
    pub rates: rate::Rates,
    /// What of each source cannot be read, since the start.
    pub unread: unread::Unread,
    /// Room for the bodies of requests under way.
    pub bodies: body::Bodies,
    /// Places for large answers: a page of events is held until it is sent.
    pub pages: Arc<Semaphore>,
    /// Places for readers of the event stream.
    pub streams: Arc<Semaphore>,
    /// Turns true when the program stops.
    pub stopping: watch::Receiver<bool>,
}

/// What the HTTP side is made of.
pub struct Parts {
    /// The engine.
    pub engine: Engine,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the configuration was read from.
    pub inputs: Inputs,
    /// Turns true when the program stops.
    pub stopping: watch::Receiver<bool>,
}

impl Http {
    /// Puts the parts together.
    pub fn new(config: &Config, parts: Parts) -> Self {
        let Parts { engine, clock, metrics, inputs, stopping } = parts;
        let limits = config.limits.clone();
        let decoding = DecodeLimits {
            body: limits.body.bytes(),
            depth: limits.depth,
            keys: limits.keys,
            batch: limits.batch,
            // What is beside a split array is repeated in each event of the batch.
            batch_bytes: limits.body.bytes().saturating_mul(4),
            batch_times: 16,
        };
        let pages = limits.pages.min(Semaphore::MAX_PERMITS);
        let streams = Arc::new(Semaphore::new(limits.streams.min(Semaphore::MAX_PERMITS)));
        let token = config.admin.token.clone();
        let rates = rate::Rates::default();
        let bodies = body::Bodies::new(&limits, Arc::clone(&metrics));
        Self {
            engine,
            started_at: clock.now(),
            clock,
            metrics,
            limits,
            decoding,
            token,
            token_name: config.token_name.clone(),
            inputs,
            rates,
            unread: unread::Unread::default(),
            bodies,
            pages: Arc::new(Semaphore::new(pages)),
            streams,
            stopping,
        }
    }

    /// Reads the configuration again and puts it in force; all of it or nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn reload(&self) -> Result<(), Problem> {
        let inputs = self.inputs.clone();
        let config = web::block(move || Config::load(&inputs))
            .await
            .map_err(|_| Problem::new(Code::Internal, "reading was cut off; try again"))?
            .map_err(|wrong| Problem::invalid(wrong.to_string()))?;
        self.engine.renew_secrets(config.in_clear);
        Ok(self.engine.reload(config.settings).await?)
    }
}

/// Which faces a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faces {
    /// `/collect` and the admin API.
    Both,
    /// `/collect` only.
    Collect,
    /// The admin API only.
    Admin,
}
