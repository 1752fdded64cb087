//! HTTP: translates requests for the engine and its answers for callers, and never decides.
//!
//! Two faces: `/collect` for senders, `/api/v1` for operators, on one address or two. The whole
//! route table is in [`routes`].

pub mod admin;
pub mod auth;
pub mod body;
pub mod collect;
mod connection;
pub mod cors;
mod frame;
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
mod target;
pub mod tracker;
pub mod unread;
pub mod wall;
mod wire;

#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::code::Code;
use crate::config::{Config, Inputs, Limits};
use crate::decode::DecodeLimits;
use crate::domain::time::Timestamp;
use crate::engine::Engine;
use crate::secrets::Secret;
use crate::telemetry::metrics::Metrics;
use actix_http::HttpService;
use actix_service::{IntoServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::dev::{AppConfig, Server, Service as _, ServiceFactory, fn_factory, fn_service};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};
use connection::{Deadlines, Stream};
use problem::Problem;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Bytes of answers that the system holds for a peer to read; it doubles that for its own use.
const SEND_BYTES: usize = 256 << 10;
/// Bytes of answers that wait for a peer to read, beside the one that is being written.
const WRITE_BYTES: usize = 32 << 10;

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

/// Opens the listener of an address, so that a taken one is found before anything is started.
///
/// # Errors
/// As the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // Each connection has this from its listener: what nobody reads is bounded in the system, too.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BYTES)?;
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
    let limits = &http.limits;
    let address = listener.local_addr()?;
    let data = http.clone();
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(limits.connections.div_ceil(workers))
        .shutdown_timeout(config.server.drain.duration().as_secs().max(1))
        .disable_signals()
        .listen("http", listener, move || service(data.clone(), faces, address))?;
    Ok(server.run())
}

/// What serves the connections of one worker.
fn service(
    http: web::Data<Http>,
    faces: Faces,
    address: SocketAddr,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> {
    let limits = &http.limits;
    let deadlines = Deadlines {
        patience: limits.slow_request.duration(),
        keep_alive: limits.keep_alive.duration(),
        rate: limits.least_rate.bytes() as u64,
    };
    let data = http.clone();
    let app = App::new()
        .app_data(data.clone())
        .app_data(guard::Listening(address))
        .configure(|app| routes::install(app, &data, faces))
        .wrap_fn(wall::walled)
        .wrap(from_fn(frame::frame))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let asked = http.clone();
    let stopping = http.stopping.clone();
    let factory = HttpService::build()
        .keep_alive(deadlines.keep_alive)
        .client_request_timeout(deadlines.patience)
        .client_disconnect_timeout(Duration::from_secs(1))
        .h1_write_buffer_size(WRITE_BYTES)
        .local_addr(address)
        .graceful_shutdown_signal(move || {
            let mut stopping = stopping.clone();
            // Without a sender nobody stops it any more, so it has stopped.
            async move { drop(stopping.wait_for(|is_stopping| *is_stopping).await) }
        })
        .on_connect_ext(|stream: &Stream, data| {
            data.insert(Rc::clone(stream.life()));
        })
        .expect(fn_service(move |request| ready(frame::go_on(&asked, faces, request))))
        .h1(map_config(app, move |()| AppConfig::default()));
    fn_factory(move || {
        let (made, http) = (factory.new_service(()), http.clone());
        async move {
            let talk = Rc::new(made.await?);
            Ok::<_, ()>(fn_service(move |socket: TcpStream| {
                let (talk, metrics) = (Rc::clone(&talk), Arc::clone(&http.metrics));
                async move {
                    let peer = socket.peer_addr().ok();
                    let stream = Stream::new(socket, deadlines, Arc::clone(&metrics));
                    let life = Rc::clone(stream.life());
                    tokio::select! {
                        // Its errors are the peer's, and counted where they are answered.
                        _ = talk.call((stream, peer)) => {}
                        why = life.watch() => metrics.count_slow(why),
                    }
                    Ok(())
                }
            }))
        }
    })
}

/// The cores that the program may use; at most 16 of them.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(16)
}
