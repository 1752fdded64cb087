//! HTTP: translates requests for the engine and its answers for callers, and never decides.
//!
//! Two faces: `/collect` for senders, `/api/v1` for operators, on one address or two. The whole
//! route table is in [`routes`].

pub mod admin;
pub mod auth;
pub mod body;
pub mod collect;
pub mod cors;
pub mod guard;
pub mod health;
pub mod openapi;
mod pace;
pub mod page;
pub mod problem;
pub mod query;
pub mod rate;
pub mod reply;
pub mod request_id;
pub mod room;
pub mod routes;
pub mod tracker;
pub mod wall;

#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::code::Code;
use crate::config::{Config, Inputs, Limits};
use crate::decode::DecodeLimits;
use crate::engine::Engine;
use crate::secrets::Secret;
use crate::telemetry::metrics::Metrics;
use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use problem::Problem;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What every worker shares.
pub struct Http {
    /// The engine.
    pub engine: Engine,
    /// The time.
    pub clock: Clock,
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
        let streams = Arc::new(Semaphore::new(limits.streams.min(Semaphore::MAX_PERMITS)));
        let token = config.admin.token.clone();
        let rates = rate::Rates::default();
        let bodies = body::Bodies::new(&limits, Arc::clone(&metrics));
        Self {
            engine,
            clock,
            metrics,
            limits,
            decoding,
            token,
            token_name: config.token_name.clone(),
            inputs,
            rates,
            bodies,
            pages: Arc::new(Semaphore::new(page::AT_A_TIME)),
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

/// Opens the listener of an address, so that a taken one is found before anything is started.
///
/// # Errors
/// As the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves one listener until the returned server is stopped.
///
/// # Errors
/// As the system says.
pub fn serve(
    http: &web::Data<Http>,
    config: &Config,
    listener: TcpListener,
    faces: Faces,
) -> io::Result<Server> {
    let workers = match faces {
        Faces::Admin => 1,
        Faces::Both | Faces::Collect => config.server.workers.unwrap_or_else(cores).max(1),
    };
    let data = http.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .configure(|app| routes::install(app, &data, faces))
            .wrap_fn(wall::walled)
    });
    let limits = &http.limits;
    Ok(server
        .workers(workers)
        .max_connections(limits.connections.div_ceil(workers))
        .keep_alive(limits.keep_alive.duration())
        .client_request_timeout(limits.slow_request.duration())
        .client_disconnect_timeout(std::time::Duration::from_secs(1))
        .shutdown_timeout(config.server.drain.duration().as_secs().max(1))
        .disable_signals()
        .listen(listener)?
        .run())
}

/// The cores that the program may use; at most 16 of them.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(16)
}
