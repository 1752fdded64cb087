//! Makes one call: HTTP/1.1, over TLS or, where allowed, without.
//!
//! Who is dialled is judged and raced in `dial`. Redirects are not followed and proxy variables are
//! ignored, as neither is known here. Connections are kept per endpoint, so endpoints do not meet in
//! one pool. A request is written once: where it may have reached the receiver and no answer came,
//! the call has failed, and trying again is another attempt.

mod dial;

use self::dial::Dialler;
use super::guard::Guard;
use crate::outbound::error::{CallError, EARLY};
use crate::outbound::resolve::Resolver;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tower_service::Service;
use url::Url;

/// Bytes of a response's head.
const HEAD: usize = 64 * 1024;
/// Headers of a response.
const HEADERS: usize = 256;
/// Connections kept per endpoint: the most that it may be called at a time.
const IDLE: usize = crate::domain::campaign::CONCURRENCY_MOST;
/// How often connections are looked for that were kept too long.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How long things may take, and how much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Name, connection and TLS together.
    pub connect: Duration,
    /// The whole exchange, body included.
    pub exchange: Duration,
    /// Bytes of the response's body.
    pub kept: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            exchange: Duration::from_secs(15),
            kept: 16 * 1024,
            idle: Duration::from_secs(30),
        }
    }
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// `http:` or `https:`.
    pub url: Url,
    /// Without `host` and `content-length`.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Bytes,
    /// How long the whole exchange may take, body included; none for [`Limits::exchange`].
    pub timeout: Option<Duration>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long the whole exchange took.
    pub took: Duration,
    /// As the receiver wrote it.
    pub retry_after: Option<String>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub is_cut: bool,
}

/// Makes calls; shared by all endpoints.
pub struct Client {
    connector: HttpsConnector<Dialler>,
    limits: Limits,
    idle: Mutex<Kept>,
}

/// Connections that wait for the next call.
struct Kept {
    by_endpoint: HashMap<String, Vec<Idle>>,
    tidied: Instant,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection; dropping it closes it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Writes a request, and waits for the head of its answer.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        early: &Early,
    ) -> Result<Response<Incoming>, Unanswered> {
        let sent = tokio::select! {
            biased;
            () = early.too_many.notified() => {
                return Err(Unanswered::Failed(CallError::Informational));
            }
            sent = self.sender.try_send_request(request) => sent,
        };
        sent.map_err(|mut failed| match failed.take_message() {
            Some(back) => Unanswered::Unwritten(Box::new(back), failed.into_error()),
            None => Unanswered::Failed(CallError::Exchange(spelt(&failed.into_error()))),
        })
    }
}

/// An error with its cause, as that is where the system's reason is.
fn spelt(error: &hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// How many informational answers a call got.
#[derive(Default)]
struct Early {
    seen: AtomicUsize,
    too_many: Notify,
}

impl Early {
    fn count(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) == EARLY {
            self.too_many.notify_one();
        }
    }
}

/// Why a request got no answer: what broke, and the request where nothing of it was written.
enum Unanswered {
    Unwritten(Box<Request<Full<Bytes>>>, hyper::Error),
    Failed(CallError),
}

impl Client {
    /// A client that trusts the root certificates of Mozilla.
    ///
    /// # Errors
    /// When the cryptography does not speak the TLS versions that are safe.
    pub fn new(
        resolver: Box<dyn Resolver>,
        guard: Guard,
        limits: Limits,
    ) -> Result<Self, rustls::Error> {
        let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Self::trusting(resolver, guard, limits, roots)
    }

    fn trusting(
        resolver: Box<dyn Resolver>,
        guard: Guard,
        limits: Limits,
        roots: RootCertStore,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let dialler = Dialler { resolver: resolver.into(), guard: Arc::new(guard) };
        let connector = HttpsConnector::from((dialler, config));
        let idle = Kept { by_endpoint: HashMap::new(), tidied: Instant::now() };
        Ok(Self { connector, limits, idle: Mutex::new(idle) })
    }

    /// Makes one call. `endpoint` names whom connections are kept for.
    ///
    /// Must run inside of a tokio runtime.
    ///
    /// # Errors
    /// When no whole answer came back in time.
    pub async fn call(&self, endpoint: &str, call: &Call) -> Result<Answer, CallError> {
        let started = Instant::now();
        let within = call.timeout.unwrap_or(self.limits.exchange);
        let mut answer = timeout(within, self.exchange(endpoint, call))
            .await
            .map_err(|_| CallError::Timeout("the exchange", within))??;
        answer.took = started.elapsed();
        Ok(answer)
    }

    async fn exchange(&self, endpoint: &str, call: &Call) -> Result<Answer, CallError> {
        let origin = call.url.origin().ascii_serialization();
        let key = format!("{endpoint} {origin}");
        let early = Arc::new(Early::default());
        let mut request = request(call)?;
        let counted = Arc::clone(&early);
        hyper::ext::on_informational(&mut request, move |_| counted.count());
        while let Some(mut connection) = self.take_idle(&key) {
            // The runtime hears meanwhile whether the receiver has closed it.
            tokio::task::yield_now().await;
            // It may still be about to end the call before.
            if connection.sender.ready().await.is_err() {
                continue;
            }
            match connection.send(request, &early).await {
                Ok(response) => return self.finish(key, connection, response).await,
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Unwritten(back, _)) => request = *back,
            }
            break;
        }
        let mut connection = timeout(self.limits.connect, self.connect(&call.url))
            .await
            .map_err(|_| CallError::Timeout("connecting", self.limits.connect))??;
        match connection.send(request, &early).await {
            Ok(response) => self.finish(key, connection, response).await,
            Err(Unanswered::Failed(error)) => Err(error),
            Err(Unanswered::Unwritten(_, error)) => Err(CallError::Unwritten(spelt(&error))),
        }
    }

    async fn connect(&self, url: &Url) -> Result<Connection, CallError> {
        let uri = url[..url::Position::BeforePath].parse::<Uri>();
        let uri = uri.map_err(|error| CallError::Invalid(error.to_string()))?;
        // Always ready, and cheap to have one's own.
        let io = self.connector.clone().call(uri).await.map_err(|error| {
            match error.downcast::<CallError>() {
                Ok(own) => *own,
                Err(error) => CallError::Tls(io::Error::other(error)),
            }
        })?;
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD).max_headers(HEADERS);
        let (sender, connection) = builder
            .handshake(io)
            .await
            .map_err(|error: hyper::Error| CallError::Unwritten(spelt(&error)))?;
        let task = tokio::spawn(async move {
            // How it ended is told by the exchange that it served.
            let _ = connection.await;
        });
        Ok(Connection { sender, task: task.abort_handle() })
    }

    /// Reads the body as far as it is kept.
    async fn finish(
        &self,
        key: String,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Result<Answer, CallError> {
        let header = response.headers().get(RETRY_AFTER);
        let retry_after = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let (mut body, mut is_cut) = (Vec::new(), false);
        let mut incoming = response.into_body();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| CallError::Exchange(spelt(&error)))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = self.limits.kept - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                is_cut = true;
                break;
            }
        }
        if !is_cut {
            self.keep(key, connection);
        }
        Ok(Answer { status, took: Duration::ZERO, retry_after, body, is_cut })
    }

    fn keep(&self, key: String, connection: Connection) {
        let now = Instant::now();
        let mut kept = self.idle();
        if now - kept.tidied >= TIDY_EVERY {
            kept.tidied = now;
            kept.by_endpoint.retain(|_, all| {
                all.retain(|one| {
                    now - one.since < self.limits.idle && !one.connection.sender.is_closed()
                });
                !all.is_empty()
            });
        }
        let all = kept.by_endpoint.entry(key).or_default();
        if all.len() < IDLE {
            all.push(Idle { connection, since: now });
        }
    }

    fn take_idle(&self, key: &str) -> Option<Connection> {
        let mut kept = self.idle();
        let all = kept.by_endpoint.get_mut(key)?;
        while let Some(Idle { connection, since }) = all.pop() {
            if !connection.sender.is_closed() && since.elapsed() < self.limits.idle {
                return Some(connection);
            }
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Kept> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request in origin form, with its `host`; the length is put in by hyper.
fn request(call: &Call) -> Result<Request<Full<Bytes>>, CallError> {
    let invalid = |error: &dyn std::fmt::Display| CallError::Invalid(error.to_string());
    let mut target = call.url.path().to_owned();
    if let Some(query) = call.url.query() {
        target.push('?');
        target.push_str(query);
    }
    let host = call.url.host_str().unwrap_or_default();
    let host = match call.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut request = Request::builder().method(call.method).uri(target).header("host", host);
    for (name, value) in &call.headers {
        // The errors do not repeat the value, which may be a secret.
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| invalid(&error))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            CallError::Invalid(format!(
                "the value of the header {name} has a line break or control character"
            ))
        })?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    request.body(Full::new(call.body.clone())).map_err(|error| invalid(&error))
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
