//! The other end of outgoing webhooks: notes every request before it is answered.

use super::client::line;
use serde_json::Value;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its path: `/ok` is answered 200, `/slow` 200 a few milliseconds later, `/fail` 500, and
    /// `/hang` never.
    pub path: String,
    /// Its `webhook-id`.
    pub id: String,
    /// Its body.
    pub body: Value,
    /// In which run of the program, as counted by the test.
    pub run: u64,
}

/// A receiver on a port of its own, until the test ends.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    arrivals: Mutex<Vec<Arrival>>,
    run: AtomicU64,
}

impl Receiver {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner::default());
        let own = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let inner = Arc::clone(&own);
                // A connection that breaks is the sender's concern.
                thread::spawn(move || drop(inner.answer_all(&stream)));
            }
        });
        Self { address, inner }
    }

    /// What has come so far.
    pub fn arrivals(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.inner.arrivals.lock().unwrap()
    }

    /// How many requests came on a path.
    pub fn count(&self, path: &str) -> usize {
        self.arrivals().iter().filter(|one| one.path == path).count()
    }

    /// From now on, what comes belongs to this run.
    pub fn set_run(&self, run: u64) {
        self.inner.run.store(run, Ordering::SeqCst);
    }
}

impl Inner {
    fn answer_all(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // The run to which the connection belongs: none outlives the program.
        let run = self.run.load(Ordering::SeqCst);
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        loop {
            let first = line(&mut reader)?;
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let (mut id, mut length) = (String::new(), 0);
            loop {
                let line = line(&mut reader)?;
                match line.split_once(": ") {
                    Some(("webhook-id", value)) => id = value.to_owned(),
                    Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let arrival = Arrival { path: path.clone(), id, body, run };
            self.arrivals.lock().unwrap().push(arrival);
            match path.as_str() {
                "/hang" => return drain(reader),
                "/fail" => writer.write_all(b"HTTP/1.1 500 -\r\ncontent-length: 0\r\n\r\n")?,
                path => {
                    if path == "/slow" {
                        thread::sleep(Duration::from_millis(3));
                    }
                    writer.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\nok")?;
                }
            }
        }
    }
}

/// Reads until the sender gives up.
fn drain(mut reader: impl Read) -> io::Result<()> {
    io::copy(&mut reader, &mut io::sink()).map(drop)
}
