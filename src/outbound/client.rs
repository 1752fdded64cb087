//! Makes one call: HTTP/1.1, over TLS or, where allowed, without.
//!
//! The address about to be dialled is judged and then dialled itself, so DNS cannot answer
//! differently in between. Redirects are not followed and proxy variables are ignored, as neither is
//! known here. Connections are kept per endpoint, so endpoints do not meet in one pool.

use super::guard::{Guard, Refused, literal};
use super::retry::Verdict;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Url;

/// Bytes of a response's head.
const HEAD: usize = 64 * 1024;
/// Headers of a response.
const HEADERS: usize = 256;
/// Connections kept per endpoint: as many as it may be called at a time.
const IDLE: usize = 32;
/// How often connections are looked for that were kept too long.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

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

/// Why no answer came back.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no request to send.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
    /// The address may not be dialled.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Name(io::Error),
    /// Nobody is there.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// There is no trust.
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("{0} took longer than {1:?}")]
    Timeout(&'static str, Duration),
    /// The connection broke, or what came is not HTTP.
    #[error("the exchange failed: {0}")]
    Exchange(hyper::Error),
}

impl CallError {
    /// What it means for the delivery: an address that may not be dialled is final, as is a request
    /// that cannot be sent.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Invalid(_) | Self::Refused(_) => Verdict::Final,
            _ => Verdict::Again,
        }
    }
}

/// The addresses of a name, once they are there.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of names.
pub trait Resolver: Send + Sync {
    /// The addresses of a name, in the order in which to try them.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Makes calls; shared by all endpoints.
pub struct Client {
    resolver: Box<dyn Resolver>,
    guard: Guard,
    tls: TlsConnector,
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

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

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
        let tls = TlsConnector::from(Arc::new(config));
        let idle = Kept { by_endpoint: HashMap::new(), tidied: Instant::now() };
        Ok(Self { resolver, guard, tls, limits, idle: Mutex::new(idle) })
    }

    /// Makes one call. `endpoint` names whom connections are kept for.
    ///
    /// Must run inside of a tokio runtime.
    ///
    /// # Errors
    /// When no whole answer came back in time.
    pub async fn call(&self, endpoint: &str, call: &Call) -> Result<Answer, CallError> {
        let started = Instant::now();
        let exchange = self.exchange(endpoint, call);
        let mut answer = timeout(self.limits.exchange, exchange)
            .await
            .map_err(|_| CallError::Timeout("the exchange", self.limits.exchange))??;
        answer.took = started.elapsed();
        Ok(answer)
    }

    async fn exchange(&self, endpoint: &str, call: &Call) -> Result<Answer, CallError> {
        let origin = call.url.origin().ascii_serialization();
        let key = format!("{endpoint} {origin}");
        while let Some(mut connection) = self.take_idle(&key) {
            // It may still be about to end the call before, or have been closed meanwhile.
            if connection.sender.ready().await.is_err() {
                continue;
            }
            // Or be closed now; what was sent over it is sent again with the same id.
            if let Ok(response) = connection.sender.send_request(request(call)?).await {
                return self.finish(key, connection, response).await;
            }
            break;
        }
        let request = request(call)?;
        let mut connection = timeout(self.limits.connect, self.connect(&call.url))
            .await
            .map_err(|_| CallError::Timeout("connecting", self.limits.connect))??;
        let response =
            connection.sender.send_request(request).await.map_err(CallError::Exchange)?;
        self.finish(key, connection, response).await
    }

    async fn connect(&self, url: &Url) -> Result<Connection, CallError> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses = match literal(host) {
            Some(address) => vec![address],
            None => self.resolver.resolve(host).await.map_err(CallError::Name)?,
        };
        let stream = self.dial(&addresses, port).await?;
        let io: Box<dyn Io> = if url.scheme() == "https" {
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare)
                .map_err(|error| CallError::Invalid(error.to_string()))?;
            Box::new(self.tls.connect(name, stream).await.map_err(CallError::Tls)?)
        } else {
            Box::new(stream)
        };
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD).max_headers(HEADERS);
        let (sender, connection) =
            builder.handshake(TokioIo::new(io)).await.map_err(CallError::Exchange)?;
        let task = tokio::spawn(async move {
            // How it ended is told by the exchange that it served.
            let _ = connection.await;
        });
        Ok(Connection { sender, task: task.abort_handle() })
    }

    /// Dials the first address that may be dialled and answers.
    async fn dial(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, CallError> {
        let mut failed = CallError::Name(io::ErrorKind::NotFound.into());
        for address in addresses.iter().take(ADDRESSES) {
            let attempt = match self.guard.judge(*address) {
                Ok(()) => TcpStream::connect((*address, port)).await,
                Err(refused) => {
                    failed = refused.into();
                    continue;
                }
            };
            match attempt {
                Ok(stream) => {
                    // Only delays could come of it, so a refusal does not matter.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failed = CallError::Connect(error),
            }
        }
        Err(failed)
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
            let frame = frame.map_err(CallError::Exchange)?;
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
mod tests;
