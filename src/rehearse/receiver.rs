//! The built-in receiver of outgoing webhooks: records what arrives, answers as it is told.
//!
//! It listens on a loopback port of its own for as long as the scenario lasts, so its address stays
//! the same over every restart of the engine. One plain thread per connection; a request is
//! recorded before it is answered.

use super::scenario::ReceiverRule;
use super::wire::{Request, read_request, write_answer};
use serde_json::{Value, json};
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a step without deliveries waits to be sure that none comes.
const SILENCE: Duration = Duration::from_millis(500);
/// How long a step waits for as many deliveries as it expects.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a step waits for one delivery too many.
const AFTERMATH: Duration = Duration::from_millis(100);

/// A running receiver; it stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    rules: Vec<ReceiverRule>,
    requests: Vec<Request>,
}

impl Receiver {
    /// Begins to listen; answers 200 until told otherwise.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::Acquire) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                // A connection that breaks is the sender's concern: it will try again.
                thread::spawn(move || shared.serve(&stream).unwrap_or_default());
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Its address, as `${receiver}` says it: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers so; on one path, or, with earlier rules gone, on all.
    pub fn answer(&self, rule: ReceiverRule) {
        let mut state = self.shared.state();
        match &rule.path {
            Some(path) => state.rules.retain(|earlier| earlier.path.as_ref() != Some(path)),
            None => state.rules.clear(),
        }
        state.rules.push(rule);
    }

    /// Takes what has arrived since the last time, once there are `expected` of them or it is clear
    /// that there will not be: an array of `{method, path, headers, json, body}`.
    #[must_use]
    pub fn take(&self, expected: usize) -> Value {
        let patience = if expected == 0 { SILENCE } else { PATIENCE };
        self.shared.wait_for(expected.max(1), patience);
        if expected > 0 {
            self.shared.wait_for(expected + 1, AFTERMATH);
        }
        let requests = std::mem::take(&mut self.shared.state().requests);
        requests.iter().map(delivery).collect()
    }

    /// Forgets what has arrived.
    pub fn forget(&self) {
        self.shared.state().requests.clear();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes the listener, which then sees that it is to stop; if it is gone, so much the better.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, count: usize, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        while state.requests.len() < count {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            let waited = self.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Some(request) = read_request(&mut reader)? {
            let closes = request.closes();
            let rule = self.record(request);
            let (status, headers) = match &rule {
                Some(rule) => {
                    thread::sleep(Duration::from_millis(rule.delay_ms.unsigned_abs()));
                    (rule.status, rule.headers.as_slice())
                }
                None => (200, &[][..]),
            };
            write_answer(&mut writer, status, headers, b"")?;
            if closes || self.stopped.load(Ordering::Acquire) {
                break;
            }
        }
        Ok(())
    }

    /// Keeps the request and says which rule answers it: its path's, else the one for all.
    fn record(&self, request: Request) -> Option<ReceiverRule> {
        let mut state = self.state();
        let path = request.path.split('?').next();
        let of = |wanted: Option<&str>| {
            state.rules.iter().find(|rule| rule.path.as_deref() == wanted).cloned()
        };
        let rule = of(path).or_else(|| of(None));
        state.requests.push(request);
        self.arrived.notify_all();
        rule
    }
}

/// A request as `deliveries` compares it; `json` only where the body is JSON.
fn delivery(request: &Request) -> Value {
    let body = String::from_utf8_lossy(&request.body);
    let mut delivery = json!({
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "body": body,
    });
    if let Some(parsed) = super::client::parsed(&request.body) {
        delivery["json"] = parsed;
    }
    delivery
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::client::{Client, Request as Outgoing};

    fn rule(status: u16, path: Option<&str>) -> ReceiverRule {
        let headers = vec![("retry-after".to_owned(), "1".to_owned())];
        ReceiverRule { status, delay_ms: 0, headers, path: path.map(str::to_owned) }
    }

    fn post(client: &Client, receiver: &Receiver, path: &str) -> u16 {
        let request = Outgoing {
            method: "POST".to_owned(),
            url: format!("{}{path}", receiver.url()),
            headers: vec![("X-One".to_owned(), "1".to_owned())],
            body: Some(b"{\"n\": 1}".to_vec()),
        };
        client.call(request).unwrap().status
    }

    #[test]
    fn it_records_in_order_and_answers_by_path() {
        let (receiver, client) = (Receiver::start().unwrap(), Client::new());
        assert_eq!(post(&client, &receiver, "/a"), 200);
        receiver.answer(rule(503, Some("/b")));
        receiver.answer(rule(429, Some("/b")));
        assert_eq!(post(&client, &receiver, "/b?x=1"), 429);
        assert_eq!(post(&client, &receiver, "/a"), 200);
        receiver.answer(rule(204, None));
        assert_eq!(post(&client, &receiver, "/b"), 204);
        let got = receiver.take(4);
        let paths: Vec<_> = (0..4).map(|i| got[i]["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/a", "/b?x=1", "/a", "/b"]);
        assert_eq!(got[0]["json"], json!({"n": 1}));
        assert_eq!(got[0]["headers"]["x-one"], "1");
        assert_eq!(receiver.take(0), json!([]));
    }
}
