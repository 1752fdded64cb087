//! `selfsame serve`: from start to a graceful stop.
//!
//! Promises: a wrong configuration or a taken address is told before anything is started; on
//! SIGTERM and SIGINT intake stops, what is accepted is flushed, a snapshot is taken and the exit
//! code is 0, within a bounded time whatever clients do; a second one of them ends the program at
//! once; SIGHUP reads the configuration again.

use super::signals::Asked;
use super::{Failure, exit, files, protocol, rights, welcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{self, Engine, Readiness};
use crate::http::{Faces, Http, Parts};
use crate::secrets::Secrets;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use crate::{cli, http, telemetry};
use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use anyhow::{Context, anyhow};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Beyond `server.drain`, for the engine to flush and take its snapshot.
const ENGINE_STOP: Duration = Duration::from_secs(60);
/// How often the progress of a recovery is looked at.
const RECOVERY_TOLD_EVERY: Duration = Duration::from_millis(200);

/// Runs until it is told to stop.
///
/// # Errors
/// What keeps it from starting, or what made it stop.
pub fn serve(flags: &cli::Serve) -> Result<(), Failure> {
    let inputs = flags.inputs();
    let mut config = Config::load(&inputs)?;
    telemetry::start_log(config.log.format, &config.log.level);
    config.limits.connections = files::connections(config.limits.connections, files::raise());
    let asked = Asked::listen().map_err(|e| Failure::new(exit::SOFTWARE, e))?;
    // Removed when it goes out of scope, after everything has stopped.
    let throw_away = match flags.ephemeral {
        true => Some(tempfile::tempdir().map_err(|e| Failure::new(exit::IO, e))?),
        false => None,
    };
    if let Some(folder) = &throw_away {
        config.server.data = folder.path().to_owned();
    }
    rights::keep_private(&config.server.data);
    let listeners = Listeners::open(&config).map_err(|e| Failure::new(exit::UNAVAILABLE, e))?;
    let clock = Clock::shifted(flags.clock_offset_ms);
    told_time(&clock)?;
    actix_rt::System::new().block_on(async move {
        let metrics = Arc::new(Metrics::new());
        let mut options = engine_options(&config, &clock, &metrics);
        options.panic_on.clone_from(&flags.panic_on);
        let in_clear = config.in_clear.clone();
        options.secrets =
            Secrets::new(inputs.env.clone(), inputs.folder.clone().unwrap_or_default(), in_clear);
        options.accept_journal_loss = flags.accept_journal_loss;
        let engine = Engine::start(options);
        let (stop, stopping) = watch::channel(false);
        let parts =
            Parts { engine: engine.clone(), clock: clock.clone(), metrics, inputs, stopping };
        let http = web::Data::new(Http::new(&config, parts));
        let running = Running { engine, http, stop, clock, asked };
        running.run(&config, listeners, flags.rehearse).await
    })
}

/// Ids and file names count from 1970, and a clock before it was never set.
fn told_time(clock: &Clock) -> Result<(), Failure> {
    let now = clock.now();
    if now.0 >= 0 {
        return Ok(());
    }
    let sentence = anyhow!("the system's clock says {now}, before 1970: set it, then start again");
    Err(Failure::new(exit::UNAVAILABLE, sentence))
}

pub(super) fn engine_options(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> engine::Options {
    engine::Options {
        data: config.server.data.clone(),
        settings: config.settings.clone(),
        clock: clock.clone(),
        queue: config.limits.queue,
        queue_bytes: config.limits.queue_bytes.bytes(),
        active_profiles: config.memory.active_profiles,
        unsaved_bytes: config.limits.unsaved.bytes(),
        page_bytes: config.limits.page.bytes(),
        snapshot_every: config.snapshots.every.duration(),
        snapshot_every_events: config.snapshots.every_events.unwrap_or(u64::MAX),
        segment_bytes: config.journal.segment.0,
        free_bytes_min: config.journal.free_space.0,
        retain: engine::Retain {
            for_ms: config.journal.retain.map(|span| span.0),
            bytes_max: config.journal.max_bytes.map(|size| size.0),
        },
        arbiters: engine::arbiters_for(http::cores()),
        metrics: Arc::clone(metrics),
        panic_on: Vec::new(),
        secrets: Secrets::default(),
        accept_journal_loss: false,
        guard: crate::outbound::guard::Guard::new(&config.server.allow_networks),
    }
}

/// The sockets, opened before anything else.
struct Listeners {
    server: TcpListener,
    admin: Option<TcpListener>,
}

impl Listeners {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let open = |address: SocketAddr, key: &str| {
            let listener = http::listen(address);
            listener.with_context(|| format!("cannot listen on {address} ({key})"))
        };
        // Port 0 asks for any free one, so two of them are two listeners.
        let is_own = |admin: &SocketAddr| admin.port() == 0 || *admin != config.server.address;
        let own = config.admin.address.filter(is_own);
        Ok(Self {
            server: open(config.server.address, "server.address")?,
            admin: own.map(|address| open(address, "admin.address")).transpose()?,
        })
    }

    fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        let server = self.server.local_addr()?;
        Ok((server, self.admin.as_ref().map_or(Ok(server), TcpListener::local_addr)?))
    }
}

struct Running {
    engine: Engine,
    http: web::Data<Http>,
    stop: watch::Sender<bool>,
    clock: Clock,
    asked: Asked,
}

/// Why the wait is over.
enum End {
    Asked,
    Failed(engine::Failure),
}

impl Running {
    async fn run(
        self,
        config: &Config,
        listeners: Listeners,
        is_rehearsal: bool,
    ) -> Result<(), Failure> {
        let addresses = listeners.addresses().map_err(|e| Failure::new(exit::UNAVAILABLE, e))?;
        let servers = self.servers(config, listeners);
        let servers = servers.map_err(|e| Failure::new(exit::UNAVAILABLE, e))?;
        let handles: Vec<ServerHandle> = servers.iter().map(Server::handle).collect();
        for server in servers {
            actix_rt::spawn(server);
        }
        let wait = self.wait(config, addresses, is_rehearsal);
        let end = wait.await.map_err(|e| Failure::new(exit::SOFTWARE, e))?;
        let drained = self.drain(config, handles).await;
        // A failure is told whoever asked for the end, and whenever it came.
        let failed = match end {
            End::Failed(why) => Some(why),
            End::Asked => self.engine.failure(),
        };
        match failed {
            Some(why) => {
                let code = if why.is_fault { exit::SOFTWARE } else { exit::IO };
                Err(Failure::new(code, why))
            }
            None => drained,
        }
    }

    fn servers(&self, config: &Config, listeners: Listeners) -> std::io::Result<Vec<Server>> {
        let Listeners { server, admin } = listeners;
        let faces = if admin.is_some() { Faces::Collect } else { Faces::Both };
        let mut servers = vec![http::serve(&self.http, config, server, faces)?];
        if let Some(admin) = admin {
            servers.push(http::serve(&self.http, config, admin, Faces::Admin)?);
        }
        Ok(servers)
    }

    /// Tells who may be interested that it is ready, and waits for the end.
    async fn wait(
        &self,
        config: &Config,
        (address, admin): (SocketAddr, SocketAddr),
        is_rehearsal: bool,
    ) -> anyhow::Result<End> {
        let mut asked = self.asked.clone();
        let mut hangup = signal(SignalKind::hangup())?;
        let failed = self.engine.failed();
        tokio::pin!(failed);
        tokio::select! {
            () = self.engine.ready() => {}
            why = &mut failed => return Ok(End::Failed(why)),
            () = asked.wait() => return Ok(End::Asked),
            () = self.tell_recovery() => {}
        }
        if is_rehearsal {
            protocol::announce(address, admin);
        } else if telemetry::is_json() {
            tracing::info!(%address, %admin, "listening");
        } else {
            telemetry::lines::say(&welcome::text(config, address, admin));
        }
        let told = async {
            match is_rehearsal {
                true => protocol::follow(&self.clock).await,
                false => std::future::pending().await,
            }
        };
        tokio::pin!(told);
        loop {
            tokio::select! {
                () = &mut told => return Ok(End::Asked),
                why = &mut failed => return Ok(End::Failed(why)),
                () = asked.wait() => return Ok(End::Asked),
                _ = hangup.recv() => self.reload().await,
            }
        }
    }

    /// Shows how far recovery is; never ends, as somebody else waits for the end.
    async fn tell_recovery(&self) {
        let mut progress = Progress::new("replaying", "records");
        loop {
            tokio::time::sleep(RECOVERY_TOLD_EVERY).await;
            if let Readiness::Recovering { done, total } = self.engine.readiness() {
                progress.set(done, total);
            }
        }
    }

    async fn reload(&self) {
        match self.http.reload().await {
            Ok(()) => tracing::info!("the configuration was read again"),
            Err(problem) => tracing::error!("the configuration stays as it was: {problem}"),
        }
    }

    /// Stops intake, lets requests under way finish, then stops the engine.
    async fn drain(&self, config: &Config, handles: Vec<ServerHandle>) -> Result<(), Failure> {
        tracing::info!("stopping");
        self.stop.send_replace(true);
        let stopping = futures_util::future::join_all(handles.iter().map(|one| one.stop(true)));
        let patience = config.server.drain.duration() + Duration::from_secs(1);
        if tokio::time::timeout(patience, stopping).await.is_err() {
            tracing::warn!("some connections did not end in time and are closed");
            let closing = futures_util::future::join_all(handles.iter().map(|one| one.stop(false)));
            drop(tokio::time::timeout(Duration::from_secs(1), closing).await);
        }
        match tokio::time::timeout(2 * ENGINE_STOP, self.engine.stop(ENGINE_STOP)).await {
            Ok(()) => Ok(()),
            Err(_) => {
                let seconds = ENGINE_STOP.as_secs();
                let error = anyhow!(
                    "the engine did not stop within {seconds} s; what was acknowledged is in the \
                     journal, and the next start replays it"
                );
                Err(Failure::new(exit::SOFTWARE, error))
            }
        }
    }
}
