//! One connection: its socket, what it is at, and when it is over.
//!
//! The framework's own deadlines hold for the first head and for silence between requests. Whatever
//! else a peer is slow at (a second head, line breaks, the rest of a body that nobody reads, an
//! answer that it does not read) ends here: beside the framework's future for a connection runs one
//! that watches the clock, and when that is over both are dropped, with all that they hold.

use crate::http::pace::Pace;
use crate::http::target::Place;
use crate::http::wire;
use crate::telemetry::metrics::{Metrics, Slow};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt::net::TcpStream;
use actix_web::web::{Bytes, BytesMut};
use bytes::Buf as _;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// How much longer the framework has for what it watches itself, and answers.
const GRACE: Duration = Duration::from_secs(1);

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For a head, and for what is slower than the least rate.
    pub patience: Duration,
    /// For silence between requests.
    pub keep_alive: Duration,
    /// Bytes a second.
    pub rate: u64,
}

/// Bytes that are read at a time.
const READ_BYTES: usize = 8 << 10;

/// What a connection is at. Its worker's thread is the only one that knows it.
#[derive(Debug)]
pub struct Life {
    deadlines: Deadlines,
    /// A request is being answered: what it waits for has deadlines of its own.
    is_serving: Cell<bool>,
    /// When it was opened, or the last answer was over.
    idle_since: Cell<Instant>,
    /// When the first byte behind that came.
    head_since: Cell<Option<Instant>>,
    /// Bytes that may be handed on while a request is answered: those of its body. The framework
    /// makes requests of all that it has, however many those are, and each takes a hundred times
    /// what it took on the wire; and it closes a connection when it answers one of them while the
    /// body of another has not come.
    allowed: Cell<usize>,
    /// Who is to be told when there may be more.
    reader: RefCell<Option<Waker>>,
    /// While the peer does not take what is written: how long it may go on.
    blocked: Cell<Option<Pace>>,
    /// How much of its patience is left for the next time, when it is not blocked.
    left: Cell<Duration>,
    /// The peer was too slow: what it has not read is not kept for it, not even by the system.
    is_cut: Cell<bool>,
}

impl Life {
    fn new(deadlines: Deadlines) -> Self {
        Self {
            deadlines,
            is_serving: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            head_since: Cell::new(None),
            allowed: Cell::new(0),
            reader: RefCell::new(None),
            blocked: Cell::new(None),
            left: Cell::new(deadlines.patience),
            is_cut: Cell::new(false),
        }
    }

    /// A request's head is there whole; so many bytes of it are still to come.
    pub fn begin(&self, body: usize) {
        self.is_serving.set(true);
        self.head_since.set(None);
        self.allowed.set(body);
    }

    /// Nothing more of the request's body is to come.
    pub fn is_read(&self) {
        self.allowed.set(0);
    }

    /// The answer is made, though perhaps not sent.
    fn end(&self) {
        self.is_serving.set(false);
        self.idle_since.set(Instant::now());
        self.head_since.set(None);
        self.allowed.set(0);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn came(&self) {
        if !self.is_serving.get() && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    fn went(&self, bytes: usize) {
        if let Some(mut pace) = self.blocked.get() {
            pace.progress(bytes);
            self.blocked.set(Some(pace));
        }
    }

    fn is_stuck(&self) {
        if self.blocked.get().is_none() {
            let Deadlines { patience, rate, .. } = self.deadlines;
            self.blocked.set(Some(Pace::resumed(patience, rate, self.left.get())));
        }
    }

    fn is_flushed(&self) {
        if let Some(pace) = self.blocked.take() {
            // Who reads a little now and then does not begin from the start each time.
            self.left.set(pace.until().saturating_duration_since(Instant::now()));
        }
    }

    /// When it is over, as things stand, and for what.
    fn end_of(&self) -> Option<(Instant, Slow)> {
        let Deadlines { patience, keep_alive, .. } = self.deadlines;
        let reading = (!self.is_serving.get()).then(|| match self.head_since.get() {
            Some(since) => (since + patience + GRACE, Slow::Head),
            None => (self.idle_since.get() + keep_alive + patience + GRACE, Slow::Idle),
        });
        let writing = self.blocked.get().map(|pace| (pace.until(), Slow::Reader));
        reading.into_iter().chain(writing).min_by_key(|(at, _)| *at)
    }

    /// Completes when the peer was too slow, and says at what.
    pub async fn watch(&self) -> Slow {
        loop {
            let now = Instant::now();
            let end = self.end_of();
            if let Some((_, why)) = end.filter(|(at, _)| *at <= now) {
                self.is_cut.set(true);
                return why;
            }
            // Whatever begins meanwhile has a patience of time at least, or half of it left.
            let look = now + (self.deadlines.patience / 4).max(Duration::from_millis(50));
            sleep_until(end.map_or(look, |(at, _)| at.min(look))).await;
        }
    }
}

/// The socket, which tells what moves.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    life: Rc<Life>,
    metrics: Arc<Metrics>,
    /// What is written in the place of a refusal of the framework, and how much of it has gone.
    instead: Option<(Bytes, usize)>,
    /// What was read and not handed on.
    ahead: BytesMut,
    /// The framework is to look at what it has before it gets more.
    is_paused: bool,
    /// Where in a head the next byte stands.
    place: Place,
}

impl Stream {
    /// Of an accepted connection.
    pub fn new(inner: TcpStream, deadlines: Deadlines, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            life: Rc::new(Life::new(deadlines)),
            metrics,
            instead: None,
            ahead: BytesMut::new(),
            is_paused: false,
            place: Place::Start,
        }
    }

    /// What the connection is at.
    pub fn life(&self) -> &Rc<Life> {
        &self.life
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        match &written {
            Poll::Ready(Ok(bytes)) => self.life.went(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.life.is_stuck(),
        }
        written
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.life.is_cut.get() {
            // Where it cannot be set, the system gives up by itself in the end.
            let at_once = Some(Duration::ZERO);
            let _set = rustix::net::sockopt::set_socket_linger(&self.inner, at_once);
        }
    }
}

impl AsyncRead for Stream {
    /// Hands on one request at a time: its head, then its body, and nothing while it is answered.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let body = self.life.is_serving.get().then(|| self.life.allowed.get());
        if body == Some(0) {
            return self.poll_end(context);
        }
        // Where a body's length is not known, or a head's, it is looked at as it comes.
        let is_known = body.is_some_and(|left| left < usize::MAX);
        if std::mem::take(&mut self.is_paused) && !is_known {
            if self.ahead.is_empty() && ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.ahead.is_empty() && ready!(self.poll_fill(context))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let most = self.ahead.len().min(into.remaining()).min(body.unwrap_or(usize::MAX));
        let part = match body {
            None => head_end(&self.ahead[..most]).unwrap_or(most),
            Some(_) => most,
        };
        let part = match body {
            Some(_) => {
                into.put_slice(&self.ahead[..part]);
                part
            }
            None => self.hand_on_head(part, into),
        };
        if part == 0 {
            // No room for one escape; the framework always has more than that.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ahead.advance(part);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new(); // an idle connection holds nothing
        }
        if is_known {
            self.life.allowed.set(body.unwrap_or(part) - part);
        }
        self.is_paused = true;
        self.life.came();
        Poll::Ready(Ok(()))
    }
}

/// Where the first blank line ends. What a request is, the framework decides; this only decides when
/// it sees how much.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

impl Stream {
    /// Hands on so many bytes of a head, or as many as there is room for.
    fn hand_on_head(&mut self, bytes: usize, into: &mut ReadBuf<'_>) -> usize {
        if self.life.head_since.get().is_none() {
            self.place = Place::Start;
        }
        self.place.hand_on(&self.ahead[..bytes], into)
    }

    /// Reads what there is; 0 at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        self.ahead.extend_from_slice(part.filled());
        Poll::Ready(Ok(part.filled().len()))
    }

    /// Reads nothing, but hears of the peer's end.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.reader.replace(Some(context.waker().clone()));
        if !self.ahead.is_empty() {
            return Poll::Pending; // until the answer is over
        }
        let mut byte = [0];
        match ready!(self.inner.poll_peek(context, &mut ReadBuf::new(&mut byte)))? {
            0 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    /// What the framework refuses by itself goes out in the form that all refusals have.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none() && !self.life.is_serving.get() {
            match wire::refusal(bytes) {
                Some((0, status)) => {
                    self.instead = Some((wire::problem(status, &self.metrics), 0));
                }
                // What stands before it goes first.
                Some((start, _)) => return self.write(context, &bytes[..start]),
                None => {}
            }
        }
        while let Some((text, done)) = self.instead.clone() {
            if done == text.len() {
                self.instead = None;
                return Poll::Ready(Ok(bytes.len()));
            }
            let written = ready!(self.write(context, &text[done..]))?;
            self.instead = Some((text, done + written));
        }
        self.write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.life.is_flushed(); // all that there was has been written
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// An answer's body, which tells when it is over.
pub struct Told {
    body: BoxBody,
    life: Option<Rc<Life>>,
}

impl Told {
    /// Of a connection, where it is known.
    pub fn new(body: BoxBody, life: Option<Rc<Life>>) -> Self {
        Self { body, life }
    }

    /// The same with this body.
    pub fn with(mut self, body: BoxBody) -> Self {
        self.body = body;
        self
    }
}

impl MessageBody for Told {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(life) = &self.life {
            life.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_behind_its_blank_line() {
        assert_eq!(head_end(b"GET / HTTP/1.1\r\n\r\nGET"), Some(18));
        assert_eq!(head_end(b"a\n\nb"), Some(3));
        assert_eq!(head_end(b"\r\n\r\n"), Some(4));
        for open in [&b""[..], b"a", b"a\r\n", b"a\r\n\r", b"a\nb\n"] {
            assert_eq!(head_end(open), None, "{open:?}");
        }
    }
}
