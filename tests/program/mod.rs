//! The real program as a child process, for tests that need all of it.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    /// Where it listens, as `http://127.0.0.1:43211`.
    pub base: String,
}

impl Program {
    /// Starts `selfsame serve` on a free port with these further arguments, and waits until it is
    /// ready.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_selfsame"))
            .args(["serve", "--address", "127.0.0.1:0", "--rehearse"])
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let base = format!("http://{}", ready["ready"]["address"].as_str().unwrap());
        Self { child, base }
    }

    /// Ends it gracefully.
    #[allow(dead_code, reason = "not every test that shares this file stops its program")]
    pub fn stop(mut self) {
        self.child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer: its status, its headers' `allow`, its body.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The methods that `Allow` names.
    #[allow(dead_code, reason = "only the test of the document looks at it")]
    pub allow: String,
    /// All headers.
    #[allow(dead_code, reason = "only the test of the document looks at it")]
    pub headers: ureq::http::HeaderMap,
    /// The body; null where it is no JSON, or never ends.
    #[allow(dead_code, reason = "each test file takes what it needs of this module")]
    pub body: Value,
}

/// Sends a request; a body that streams is not read.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let (status, allow) = (answer.status().as_u16(), header("allow"));
    let headers = answer.headers().clone();
    let body = match header("content-type").contains("event-stream") {
        true => Value::Null,
        false => serde_json::from_str(&answer.body_mut().read_to_string().unwrap())
            .unwrap_or(Value::Null),
    };
    Answer { status, allow, headers, body }
}
