//! A load generator that costs little: one thread, one epoll, keep-alive connections, one request
//! under way on each.
//!
//! * Closed loop: every answer is followed by the next request. Measures throughput.
//! * Open loop: requests are due at fixed times whatever the server does, and a latency counts from
//!   the moment at which the request was *due*. A server that stalls pays for all that came due.

use crate::workload::write_body;
use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long an answer may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is sent where.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub connections: usize,
    pub users: u64,
}

/// What a measurement came to.
#[derive(Debug)]
pub struct Measured {
    pub requests: u64,
    pub took: Duration,
    /// In nanoseconds.
    latency: Histogram<u64>,
}

impl Measured {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// The latency, in microseconds, that this share of the requests stayed within.
    pub fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

struct Connection {
    socket: TcpStream,
    answer: Vec<u8>,
    /// From when the request under way counts.
    since: Instant,
}

/// The generator; the events' numbers go on from one measurement to the next.
pub struct Generator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    ready: Vec<epoll::Event>,
    next: u64,
    users: u64,
    request: Vec<u8>,
    body: Vec<u8>,
    latency: Histogram<u64>,
    done: u64,
}

impl Generator {
    /// Opens the connections; the first event has the number `next`.
    pub fn new(target: Target, next: u64) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(target.connections);
        for place in 0..target.connections {
            let socket = TcpStream::connect(target.address).context("connecting")?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
            let answer = Vec::with_capacity(1024);
            connections.push(Connection { socket, answer, since: Instant::now() });
        }
        Ok(Self {
            epoll,
            ready: Vec::with_capacity(connections.len().max(1)),
            connections,
            next,
            users: target.users,
            request: Vec::with_capacity(1024),
            body: Vec::with_capacity(512),
            latency: Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?,
            done: 0,
        })
    }

    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// As many requests as are answered within `length`.
    pub fn closed(&mut self, length: Duration) -> anyhow::Result<Measured> {
        let started = Instant::now();
        let end = started + length;
        for place in 0..self.connections.len() {
            self.send(place, Instant::now())?;
        }
        let mut busy = self.connections.len();
        while busy > 0 {
            for place in self.wait(PATIENCE)? {
                if !self.receive(place)? {
                    continue;
                }
                let now = Instant::now();
                if now < end {
                    self.send(place, now)?;
                } else {
                    busy -= 1;
                }
            }
        }
        Ok(self.finish(started))
    }

    /// `rate` requests per second for `length`.
    pub fn open(&mut self, rate: f64, length: Duration) -> anyhow::Result<Measured> {
        let started = Instant::now();
        let total = (rate * length.as_secs_f64()) as u64;
        let due = |number: u64| started + Duration::from_secs_f64(number as f64 / rate);
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut sent = 0;
        while self.done < total {
            while sent < total && due(sent) <= Instant::now() {
                let Some(place) = idle.pop_front() else { break };
                self.send(place, due(sent))?;
                sent += 1;
            }
            let waits = sent < total && !idle.is_empty();
            let patience = match waits {
                true => due(sent).saturating_duration_since(Instant::now()),
                false => PATIENCE,
            };
            for place in self.wait(patience)? {
                if self.receive(place)? {
                    idle.push_back(place);
                }
            }
        }
        Ok(self.finish(started))
    }

    fn finish(&mut self, started: Instant) -> Measured {
        let latency = self.latency.clone();
        self.latency.reset();
        Measured { requests: std::mem::take(&mut self.done), took: started.elapsed(), latency }
    }

    fn wait(&mut self, patience: Duration) -> anyhow::Result<Vec<usize>> {
        let timeout = Timespec::try_from(patience)?;
        self.ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(!self.ready.is_empty() || patience < PATIENCE, "no answer for {PATIENCE:?}");
        Ok(self.ready.iter().map(|event| event.data.u64() as usize).collect())
    }

    fn send(&mut self, place: usize, since: Instant) -> anyhow::Result<()> {
        write_body(self.next, self.users, &mut self.body);
        self.next += 1;
        self.request.clear();
        // Writing to memory cannot fail.
        let _ = write!(
            self.request,
            "POST /collect/order/bench HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.body.len()
        );
        self.request.extend_from_slice(&self.body);
        let connection = &mut self.connections[place];
        connection.since = since;
        let written = connection.socket.write(&self.request).context("sending")?;
        // A request fits into an empty socket buffer.
        ensure!(written == self.request.len(), "a request was cut off");
        Ok(())
    }

    /// Whether the whole answer is there.
    fn receive(&mut self, place: usize) -> anyhow::Result<bool> {
        let connection = &mut self.connections[place];
        let mut chunk = [0; 2048];
        match connection.socket.read(&mut chunk) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(length) => connection.answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receiving"),
        }
        if !is_whole(&connection.answer)? {
            return Ok(false);
        }
        connection.answer.clear();
        let took = connection.since.elapsed();
        self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.done += 1;
        Ok(true)
    }
}

/// Whether an answer is complete; one that is not a 200 ends the measurement.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(false) };
    ensure!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "expected 200, found: {}",
        String::from_utf8_lossy(answer)
    );
    let fields = std::str::from_utf8(&answer[..head])?.split("\r\n");
    let length = fields.filter_map(|field| field.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.context("an answer without a content-length")??;
    Ok(answer.len() >= head + 4 + length)
}
