//! A small HTTP/1.1 client on one kept connection: a byte more or less is the test's decision.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything may take, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `code` of a refusal, or nothing.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A client of one address; connects when it has to.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// When no whole answer came: it may have been taken or not.
    pub fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.send("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Asks.
    ///
    /// # Errors
    /// When no whole answer came.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[], b"")
    }

    /// Asks, and expects an answer with this status.
    pub fn json(&mut self, path: &str) -> Value {
        let answer = self.get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.json());
        answer.json()
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// When no whole answer came.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        connection.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let answer = read_answer(&mut connection)?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::new(stream))
    }
}

/// Reads one answer; chunked bodies are put together.
///
/// # Errors
/// When it ends early or is no HTTP.
pub fn read_answer(from: &mut impl BufRead) -> io::Result<Answer> {
    let status = line(from)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let mut headers = Vec::new();
    loop {
        let line = line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(from)?, 16).map_err(|_| broken())?;
            let mut chunk = vec![0; size];
            from.read_exact(&mut chunk)?;
            answer.body.extend(chunk);
            line(from)?;
            if size == 0 {
                return Ok(answer);
            }
        }
    }
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    answer.body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut answer.body)?;
    Ok(answer)
}

/// A line of a head.
///
/// # Errors
/// When the stream ends within it.
pub fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 || !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn broken() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
