//! A small world on the real program, with a receiver of its webhooks, in which every answer is held
//! against the document.

use crate::contract::Contract;
use crate::program::{Answer, Program, request};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONFIG: &str = r#"
[server]
allow_networks = ["127.0.0.0/8"]
[admin]
token = "s3cret-of-the-operator"
[limits]
url = "2KiB"
headers = "4KiB"
body = "64KiB"
[[source]]
id = "slack"
profile_id = "user.id"
session_id = "session"
event_id = "event_id"
unidentified = "keep"
[[source]]
id = "shop"
profile_id = "customer.id"
respond_with_profile = true
methods = ["POST"]
[[source]]
id = "off"
enabled = false
[[source]]
id = "seldom"
rate_limit = "1/h"
unidentified = "drop"
[[identification_point]]
id = "email"
identifiers = [ { type = "email", path = ["user.email", "customer.email"], trait = "email" } ]
[identity.types.tax]
unique = true
[traits.spent]
fold = "sum"
"#;

/// The program, its document, and where its webhooks go.
pub struct World {
    program: Program,
    /// What was seen of the document.
    pub contract: Contract,
    /// The receiver: 410 below `/gone`, otherwise 200.
    pub receiver: String,
    _folder: TempDir,
}

impl World {
    /// Starts it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, data) = (folder.path().join("config"), folder.path().join("data"));
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("world.toml"), CONFIG).unwrap();
        let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
        let program = Program::start(&["--config", config, "--data", data]);
        let document = request("GET", &format!("{}/openapi.json", program.base), &[], "").body;
        let contract = Contract::new(document);
        Self { program, contract, receiver: receiver(), _folder: folder }
    }

    /// Asks as an operator.
    pub fn call(&mut self, method: &str, target: &str, body: &str) -> Answer {
        let json = [("content-type", "application/json")];
        let headers = [("authorization", "Bearer s3cret-of-the-operator")];
        let json = if body.is_empty() { &json[..0] } else { &json[..] };
        self.send(method, target, &[&headers, json].concat(), body)
    }

    /// Asks as an operator, and expects that status.
    pub fn expect(&mut self, status: u16, method: &str, target: &str, body: &str) -> Value {
        let answer = self.call(method, target, body);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
        answer.body
    }

    /// Reads, and expects 200.
    pub fn get(&mut self, target: &str) -> Value {
        self.expect(200, "GET", target, "")
    }

    /// Reads again and again until it is so.
    pub fn await_that(&mut self, target: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.get(target);
            if is_so(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{target} stays {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Delivers JSON as a sender, and expects that status.
    pub fn collect(&mut self, status: u16, path: &str, body: &str) -> Value {
        let headers = [("content-type", "application/json")];
        let answer = self.send("POST", &format!("/collect/{path}"), &headers, body);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        answer.body
    }

    /// Sends any request.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = request(method, &format!("{}{target}", self.program.base), headers, body);
        self.contract.judge(method, target, body, &answer);
        answer
    }
}

/// Starts a receiver that answers until the test ends.
fn receiver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            // One that breaks off is the sender's to notice.
            drop(answer(connection));
        }
    });
    format!("http://{address}")
}

fn answer(connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(connection);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(said) = line.to_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    reader.read_exact(&mut vec![0; length])?;
    let status = if head.contains(" /gone") { "410 Gone" } else { "200 OK" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    reader.get_mut().write_all(answer.as_bytes())
}
