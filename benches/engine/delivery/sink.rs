//! A receiver that is quick, or hangs, or waits at a gate; it notes when the first byte of each
//! request came.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

const OK: &[u8] = b"HTTP/1.1 200 -\r\ncontent-length: 0\r\n\r\n";

/// What has come so far.
#[derive(Default)]
pub struct Seen {
    pub count: AtomicU64,
    pub hung: AtomicU64,
    /// Number of the request, and when its first byte came.
    pub times: Mutex<Vec<(u64, Instant)>>,
    pub notes_times: AtomicBool,
    gate: Mutex<bool>,
    opened: Condvar,
}

impl Seen {
    pub fn close_gate(&self) {
        *self.gate.lock().unwrap() = true;
    }

    pub fn open_gate(&self) {
        *self.gate.lock().unwrap() = false;
        self.opened.notify_all();
    }

    pub fn reset(&self) {
        self.count.store(0, Ordering::SeqCst);
        self.times.lock().unwrap().clear();
    }
}

/// Starts a sink.
pub fn start() -> std::io::Result<(SocketAddr, Arc<Seen>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let seen = Arc::new(Seen::default());
    let told = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&told);
            // A connection that breaks is the sender's concern.
            thread::spawn(move || drop(answer_all(stream, &seen)));
        }
    });
    Ok((address, seen))
}

fn answer_all(mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(8_192);
    let mut chunk = [0; 8_192];
    loop {
        let mut came = None;
        let length = loop {
            if let Some(length) = whole(&buffer) {
                break length;
            }
            let read = stream.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            came.get_or_insert_with(Instant::now);
            buffer.extend_from_slice(&chunk[..read]);
        };
        let request = &buffer[..length];
        if request.starts_with(b"POST /hang") {
            seen.hung.fetch_add(1, Ordering::Relaxed);
            drop(stream.read(&mut chunk)); // until the sender gives up
            return Ok(());
        }
        let gate = seen.gate.lock().unwrap();
        drop(seen.opened.wait_while(gate, |is_closed| *is_closed).unwrap());
        if seen.notes_times.load(Ordering::Relaxed)
            && let (Some(came), Some(number)) = (came, number(request))
        {
            seen.times.lock().unwrap().push((number, came));
        }
        buffer.drain(..length);
        stream.write_all(OK)?;
        seen.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The length of the first request, once it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap_or(0));
    (bytes.len() >= head + body).then_some(head + body)
}

/// `"n":123` in the body.
fn number(request: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(request).ok()?;
    let (_, rest) = text.rsplit_once("\"n\":")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}
