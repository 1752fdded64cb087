//! Finds a connection: each address that a name has is judged, and those that may be dialled are
//! raced (RFC 8305), so that a dead one costs a moment and not the attempt.
//!
//! The address that was judged is dialled itself, so DNS cannot answer differently in between.

use crate::outbound::error::CallError;
use crate::outbound::guard::{Guard, literal};
use crate::outbound::resolve::Resolver;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long an address has to itself before the next one is dialled beside it (RFC 8305, section 5).
pub(super) const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are dialled.
const ADDRESSES: usize = 16;

/// Dials for the client; what comes of it is a plain connection, for TLS to be laid over.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) guard: Arc<Guard>,
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, CallError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let is_secure = uri.scheme_str() == Some("https");
            let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
            let addresses = dialler.addresses(host).await?;
            let addresses = addresses.into_iter().map(|one| SocketAddr::new(one, port)).collect();
            let stream = race(addresses).await.map_err(CallError::Connect)?;
            // Only delays could come of it, so a refusal does not matter.
            drop(stream.set_nodelay(true));
            Ok(TokioIo::new(stream))
        })
    }
}

impl Dialler {
    /// The addresses of a host that may be dialled, in the order in which to try them; at least one.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, CallError> {
        let found = match literal(host) {
            Some(address) => vec![address],
            None => self.resolver.resolve(host).await.map_err(CallError::Name)?,
        };
        let mut refused = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.guard.judge(address) {
                Ok(()) => allowed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            _ if !allowed.is_empty() => Ok(interleaved(allowed)),
            Some(why) => Err(why.into()),
            None => Err(CallError::Name(io::ErrorKind::NotFound.into())),
        }
    }
}

/// The families by turns, the family of the first address first; within a family as they were found.
fn interleaved(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let leads_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == leads_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(first.next());
        mixed.extend(second.next());
        if mixed.len() == before || mixed.len() >= ADDRESSES {
            return mixed;
        }
    }
}

/// Dials one address after the other, each as soon as the one before has failed or has had its time
/// to itself; the first connection wins and the others are given up.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut dialling = FuturesUnordered::new();
    let mut failed: io::Error = io::ErrorKind::NotFound.into();
    loop {
        dialling.extend(waiting.next().map(TcpStream::connect));
        loop {
            let has_next = waiting.len() > 0;
            tokio::select! {
                ended = dialling.next() => match ended {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => {
                        failed = error;
                        if has_next {
                            break;
                        }
                    }
                    None => return Err(failed),
                },
                () = tokio::time::sleep(STAGGER), if has_next => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_and_the_first_one_leads() {
        let order = |list: &[&str]| {
            let parsed = list.iter().map(|one| one.parse().unwrap()).collect();
            interleaved(parsed).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            order(&["2a00::1", "2a00::2", "2a00::3", "9.9.9.9", "8.8.8.8"]),
            ["2a00::1", "9.9.9.9", "2a00::2", "8.8.8.8", "2a00::3"]
        );
        assert_eq!(order(&["9.9.9.9", "8.8.8.8", "2a00::1"]), ["9.9.9.9", "2a00::1", "8.8.8.8"]);
        assert_eq!(order(&[]), [""; 0]);
        assert_eq!(order(&["9.9.9.9"; 40]).len(), ADDRESSES);
    }
}
