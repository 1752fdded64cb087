//! `selfsame receiver`: the other end of outgoing webhooks, for trying things out.
//!
//! Tells each request as one line of JSON and answers as it was asked to: well, badly, late, drop by
//! drop, or by pointing elsewhere. One plain thread per connection.

use crate::rehearse::wire::{Request, read_request, write_answer};
use serde_json::{Value, json};
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What a dripping answer says, a byte a second.
const DRIP: &[u8] = b"one drop after the other, until nobody waits for it any longer";

/// How it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// The status.
    pub status: u16,
    /// So many requests are answered 500 before.
    pub failures: u64,
    /// How long it thinks.
    pub delay: Duration,
    /// Whether the body comes a byte a second.
    pub drips: bool,
    /// Answers 307 to there.
    pub redirect: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { status: 200, failures: 0, delay: Duration::ZERO, drips: false, redirect: None }
    }
}

/// Answers all requests until the listener fails; `tell` hears of each before it is answered.
///
/// # Errors
/// When no thread can be started.
pub fn serve(
    listener: &TcpListener,
    behaviour: &Behaviour,
    tell: impl Fn(&Value) + Sync,
) -> io::Result<()> {
    let answered = AtomicU64::new(0);
    let (tell, answered) = (&tell, &answered);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let connection = move || {
                // A connection that breaks is the sender's concern: it will try again.
                answer_all(&stream, behaviour, answered, tell).unwrap_or_default();
            };
            thread::Builder::new().name("receiver".to_owned()).spawn_scoped(scope, connection)?;
        }
        Ok(())
    })
}

fn answer_all(
    stream: &TcpStream,
    behaviour: &Behaviour,
    answered: &AtomicU64,
    tell: &(impl Fn(&Value) + Sync),
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        tell(&told(&request));
        thread::sleep(behaviour.delay);
        let fails = answered.fetch_add(1, Ordering::Relaxed) < behaviour.failures;
        match &behaviour.redirect {
            _ if fails => write_answer(&mut writer, 500, &[], b"")?,
            Some(to) => {
                let location = ("location".to_owned(), to.clone());
                write_answer(&mut writer, 307, &[location], b"")?;
            }
            None if behaviour.drips => drip(writer, behaviour.status)?,
            None => write_answer(&mut writer, behaviour.status, &[], b"")?,
        }
        if request.closes() {
            break;
        }
    }
    Ok(())
}

fn drip(mut stream: &TcpStream, status: u16) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", DRIP.len())?;
    for drop in DRIP {
        stream.write_all(&[*drop])?;
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn told(request: &Request) -> Value {
    let text = String::from_utf8_lossy(&request.body);
    let body = serde_json::from_slice(&request.body).unwrap_or_else(|_| Value::from(text));
    json!({
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "body": body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    #[test]
    fn it_tells_what_arrives_and_fails_as_often_as_asked() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, told) = mpsc::channel();
        thread::spawn(move || {
            let behaviour = Behaviour { status: 204, failures: 1, ..Behaviour::default() };
            serve(&listener, &behaviour, move |request| sender.send(request.clone()).unwrap())
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let post = "POST /a?b HTTP/1.1\r\ncontent-length: 7\r\n";
        write!(stream, "{post}\r\n{{\"n\":1}}{post}connection: close\r\n\r\nno json").unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers, "HTTP/1.1 500 -\r\ncontent-length: 0\r\n\r\nHTTP/1.1 204 -\r\n\r\n");
        let first = told.recv().unwrap();
        assert_eq!((&first["path"], &first["body"]), (&json!("/a?b"), &json!({"n": 1})));
        assert_eq!(told.recv().unwrap()["body"], json!("no json"));
    }

    /// What a receiver that behaves so begins to answer with.
    fn beginning(behaviour: Behaviour, bytes: usize) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        thread::spawn(move || serve(&listener, &behaviour, |_| {}));
        write!(stream, "GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = vec![0; bytes];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn it_redirects_drips_and_takes_its_time() {
        let redirect = Some("http://127.0.0.1:1/".to_owned());
        let redirects = beginning(Behaviour { redirect, ..Behaviour::default() }, 55);
        assert_eq!(redirects, "HTTP/1.1 307 -\r\nlocation: http://127.0.0.1:1/\r\ncontent-");
        let drips = beginning(Behaviour { drips: true, status: 201, ..Behaviour::default() }, 39);
        assert_eq!(drips, "HTTP/1.1 201 -\r\ncontent-length: 62\r\n\r\no");
        let delay = Duration::from_millis(20);
        let late = beginning(Behaviour { delay, ..Behaviour::default() }, 16);
        assert_eq!(late, "HTTP/1.1 200 -\r\n");
    }
}
