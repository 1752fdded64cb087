//! The scenario format: what a file can say. How it is spelled in TOML is `reading`'s concern.

use super::document::Problem;
use serde_json::{Map, Value};
use std::fmt;
use std::path::PathBuf;

/// A scenario file as it was read.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it was read from; `file` bodies are relative to its folder.
    pub file: PathBuf,
    /// What it proves, in a sentence.
    pub name: String,
    /// The tables that go into the program's configuration, `${receiver}` not yet put in.
    pub config: toml::Table,
    /// What is done and expected, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line of the step's action, from 1.
    pub line: usize,
    /// What is done.
    pub action: Action,
    /// What the answer must be like; without it, any status under 400.
    pub expect: Expect,
    /// Names to save, each with a JSON pointer into the answer.
    pub save: Vec<(String, String)>,
    /// For how many milliseconds the question is asked again until the expectation holds.
    pub within_ms: Option<i64>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// A sender's request to the public listener.
    Send(Send),
    /// A call of the admin API.
    Call(Call),
    /// The process ends and starts again on the same folder.
    Restart(Restart),
    /// The clock moves by so many milliseconds.
    Advance(i64),
    /// The same sends in several orders, each in a fresh engine.
    Shuffle {
        /// In how many orders.
        permutations: u32,
        /// What is sent.
        sends: Vec<Send>,
    },
    /// How the built-in receiver answers from now on.
    Receiver(ReceiverRule),
    /// What the receiver got since the last such step: an array.
    Deliveries(Value),
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// SIGKILL, without a goodbye.
    Kill,
    /// It drains, and exits by itself.
    Graceful,
}

/// A request to the public listener.
#[derive(Clone, Debug)]
pub struct Send {
    /// The path, taken as it is written.
    pub path: String,
    /// The HTTP method.
    pub method: String,
    /// The body.
    pub body: Body,
    /// Query parameters: an object, nested by brackets.
    pub query: Value,
    /// Headers: an object of texts.
    pub headers: Map<String, Value>,
    /// How often it is sent; the last answer counts.
    pub repeat: u32,
}

/// The body of a [`Send`].
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// JSON, `application/json`.
    Json(Value),
    /// An object, `application/x-www-form-urlencoded`, nested by brackets.
    Form(Value),
    /// A text as it is, `text/plain`.
    Text(String),
    /// The bytes of a file, relative to the scenario; `.json` as `application/json`.
    File(PathBuf),
}

/// A call of the admin API.
#[derive(Clone, Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// A JSON body.
    pub json: Option<Value>,
    /// Headers: an object of texts.
    pub headers: Map<String, Value>,
}

/// How the built-in receiver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverRule {
    /// The status; 200 unless set.
    pub status: u16,
    /// How many milliseconds it waits before it answers.
    pub delay_ms: i64,
    /// Headers of the answer.
    pub headers: Vec<(String, String)>,
    /// Only for this path; without one, for all, and earlier rules go.
    pub path: Option<String>,
}

/// What an answer must be like.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The exact status; without it any under 400.
    pub status: Option<u16>,
    /// Tests of headers, by lower-case name.
    pub headers: Option<Value>,
    /// A test of the body.
    pub body: Option<Value>,
}

/// Why a file is no scenario. Its text is one line per problem: `file:line:column: message`.
#[derive(Clone, Debug)]
pub struct ScenarioErrors {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, in the order of the file; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let Problem { line, column, message } = problem;
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{line}:{column}: {message}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioErrors {}

/// A header's or a parameter's text: a text as it is, anything else in its JSON spelling.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
