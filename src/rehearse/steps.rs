//! Plays one scenario: starts its engine and its receiver, does the steps in order, compares.
//!
//! A step whose expectation does not hold is noted and the next one is played, so that one run
//! shows all that differs; an engine that is gone ends the run.

use super::client::{Answer, ClientError, Request};
use super::engine::{CallError, Engine, EngineError, Listener, Setup};
use super::matcher::{Difference, differences};
use super::receiver::Receiver;
use super::request::{RequestError, of_call, of_send};
use super::scenario::{Action, Call, Expect, Restart, Scenario, Send, Step};
use super::shuffle::orders;
use super::variables::{RECEIVER, UnknownVariable, Variables};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};
use thiserror::Error;

/// How often a `within` asks again.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// What the engine's timers get to act on a moved clock before the next step.
const AFTER_ADVANCE: Duration = Duration::from_millis(50);

/// What became of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// What did not hold, in order; empty when all did.
    pub failures: Vec<Failure>,
    /// The last lines of the engine's stderr, when something did not hold.
    pub stderr: Vec<String>,
}

/// A step that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which step, from 1; 0 for what comes before the first.
    pub step: usize,
    /// Its line in the file.
    pub line: usize,
    /// What it did, in short.
    pub action: String,
    /// Where what was found is not what was expected.
    pub differences: Vec<Difference>,
    /// What else there is to say: the answer as it came, or the trouble.
    pub note: Option<String>,
}

/// Why a step could not be played at all.
#[derive(Debug, Error)]
enum StepError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the receiver could not listen: {0}")]
    Receiver(io::Error),
    #[error("the configuration cannot be written as TOML: {0}")]
    Config(#[from] toml::ser::Error),
    #[error("[admin] token: {0}")]
    Token(String),
}

impl StepError {
    /// Whether the engine is gone, so that nothing more can be learnt from it.
    fn ends_the_run(&self) -> bool {
        matches!(self, Self::Engine(_) | Self::Client(ClientError::Unanswered { .. }))
    }
}

impl From<CallError> for StepError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Engine(error) => Self::Engine(error),
            CallError::Client(error) => Self::Client(error),
        }
    }
}

impl From<UnknownVariable> for StepError {
    fn from(error: UnknownVariable) -> Self {
        Self::Request(error.into())
    }
}

/// What a step came to.
#[derive(Default)]
struct Outcome {
    differences: Vec<Difference>,
    answer: Option<Answer>,
}

/// Plays `scenario` against the program `binary`.
#[must_use]
pub fn play(scenario: &Scenario, binary: &Path) -> Played {
    let failure = |step, line, action: String, error: &StepError| Failure {
        step,
        line,
        action,
        differences: Vec::new(),
        note: Some(error.to_string()),
    };
    let mut stage = match Stage::set(scenario, binary) {
        Ok(stage) => stage,
        Err(error) => {
            let failures = vec![failure(0, 1, "setting up".to_owned(), &error)];
            return Played { failures, stderr: Vec::new() };
        }
    };
    let mut failures = Vec::new();
    if let Err(error) = stage.engine.start() {
        failures.push(failure(0, 1, "starting the engine".to_owned(), &error.into()));
        return Played { failures, stderr: stage.engine.last_words() };
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        match stage.play(step) {
            Ok(outcome) if outcome.differences.is_empty() => {}
            Ok(outcome) => failures.push(Failure {
                step: index + 1,
                line: step.line,
                action: described(&step.action),
                differences: outcome.differences,
                note: outcome.answer.map(|answer| spelled(&answer)),
            }),
            Err(error) => {
                failures.push(failure(index + 1, step.line, described(&step.action), &error));
                if error.ends_the_run() {
                    break;
                }
            }
        }
    }
    let stderr = if failures.is_empty() { Vec::new() } else { stage.engine.last_words() };
    Played { failures, stderr }
}

/// Everything one scenario runs on.
struct Stage<'s> {
    scenario: &'s Scenario,
    setup: Setup,
    token: Option<String>,
    variables: Variables,
    receiver: Receiver,
    engine: Engine,
}

impl<'s> Stage<'s> {
    fn set(scenario: &'s Scenario, binary: &Path) -> Result<Self, StepError> {
        let receiver = Receiver::start().map_err(StepError::Receiver)?;
        let mut variables = Variables::default();
        variables.set(RECEIVER, Value::from(receiver.url()));
        let config = configuration(scenario, &variables)?;
        let token = scenario.config.get("admin").and_then(|admin| admin.get("token")?.as_str());
        let token = token.map(resolved_token).transpose()?;
        let setup = Setup { binary: binary.to_owned(), config };
        let engine = Engine::prepare(setup.clone())?;
        Ok(Self { scenario, setup, token, variables, receiver, engine })
    }

    fn play(&mut self, step: &Step) -> Result<Outcome, StepError> {
        match &step.action {
            Action::Send(send) => {
                let request = of_send(send, self.scenario, &self.variables)?;
                for _ in 1..send.repeat {
                    self.engine.call(Listener::Public, request.clone())?;
                }
                self.ask(step, Listener::Public, &request)
            }
            Action::Call(call) => {
                let request = of_call(call, self.token.as_deref(), &self.variables)?;
                self.ask(step, listener(&request.url), &request)
            }
            Action::Restart(how) => {
                match how {
                    Restart::Kill => self.engine.kill_and_start()?,
                    Restart::Graceful => self.engine.stop_and_start()?,
                }
                Ok(Outcome::default())
            }
            Action::Advance(ms) => {
                self.engine.advance(*ms)?;
                thread::sleep(AFTER_ADVANCE);
                Ok(Outcome::default())
            }
            Action::Shuffle { permutations, sends } => self.shuffle(step, *permutations, sends),
            Action::Receiver(rule) => {
                let mut rule = rule.clone();
                for (_, value) in &mut rule.headers {
                    *value = self.variables.text(value)?;
                }
                rule.path = rule.path.map(|path| self.variables.text(&path)).transpose()?;
                self.receiver.answer(rule);
                Ok(Outcome::default())
            }
            Action::Deliveries(expected) => self.deliveries(step, expected),
        }
    }

    /// Makes the request until its expectation holds or the step's time is over.
    fn ask(&mut self, step: &Step, to: Listener, request: &Request) -> Result<Outcome, StepError> {
        let expect = self.expectation(&step.expect)?;
        let within = Duration::from_millis(step.within_ms.unwrap_or(0).unsigned_abs());
        let begun = Instant::now();
        loop {
            let answer = self.engine.call(to, request.clone())?;
            let mut differences = compare(&expect, &answer);
            if differences.is_empty() || begun.elapsed() >= within {
                differences.extend(self.save(step, answer.value().as_ref()));
                return Ok(Outcome { differences, answer: Some(answer) });
            }
            thread::sleep(ASK_AGAIN);
        }
    }

    /// Sends the same in several orders, each to a fresh engine; all digests must agree.
    fn shuffle(
        &mut self,
        step: &Step,
        permutations: u32,
        sends: &[Send],
    ) -> Result<Outcome, StepError> {
        let expect = self.expectation(&step.expect)?;
        let mut outcome = Outcome::default();
        let mut first: Option<(Vec<usize>, Value)> = None;
        for order in orders(sends.len(), permutations) {
            let mut engine = Engine::prepare(self.setup.clone())?;
            let (refused, answer) = match self.digest_of(&mut engine, sends, &order) {
                Ok(digest) => digest,
                Err(error) => {
                    // Its last words are the ones to be shown.
                    self.engine = engine;
                    return Err(error);
                }
            };
            outcome.differences.extend(refused);
            let body = answer.value().unwrap_or(Value::Null);
            match &first {
                None => {
                    outcome.differences.extend(compare(&expect, &answer));
                    outcome.differences.extend(differences_of_digest(&body));
                    outcome.differences.extend(self.save(step, Some(&body)));
                    first = Some((order, body));
                }
                Some((first, agreed)) if agreed.get("digest") != body.get("digest") => {
                    outcome.differences.push(Difference {
                        pointer: "digest".to_owned(),
                        expected: format!("{agreed}, as in the order {}", spelled_order(first)),
                        found: format!("{body} in the order {}", spelled_order(&order)),
                    });
                }
                Some(_) => {}
            }
        }
        self.receiver.forget();
        Ok(outcome)
    }

    /// The digest of a fresh engine after the sends in this order, and which of them it refused.
    fn digest_of(
        &self,
        engine: &mut Engine,
        sends: &[Send],
        order: &[usize],
    ) -> Result<(Vec<Difference>, Answer), StepError> {
        engine.start()?;
        let mut refused = Vec::new();
        for &index in order {
            let request = of_send(&sends[index], self.scenario, &self.variables)?;
            let answer = engine.call(Listener::Public, request)?;
            let at = format!("send {} of the order {}", index + 1, spelled_order(order));
            let differing = compare(&Expect::default(), &answer).into_iter();
            refused.extend(differing.map(|difference| prefixed(&at, " ", difference)));
        }
        let call = Call {
            method: "GET".to_owned(),
            path: "/api/v1/state/digest".to_owned(),
            json: None,
            headers: serde_json::Map::new(),
        };
        let request = of_call(&call, self.token.as_deref(), &self.variables)?;
        Ok((refused, engine.call(Listener::Admin, request)?))
    }

    fn deliveries(&mut self, step: &Step, expected: &Value) -> Result<Outcome, StepError> {
        let expected = lower_case_headers(self.variables.value(expected)?);
        let arrived = self.receiver.take(expected.as_array().map_or(0, Vec::len));
        let mut differences: Vec<_> = differences(&expected, Some(&arrived))
            .into_iter()
            .map(|difference| prefixed("deliveries", "", difference))
            .collect();
        differences.extend(self.save(step, Some(&arrived)));
        Ok(Outcome { differences, answer: None })
    }

    fn expectation(&self, expect: &Expect) -> Result<Expect, StepError> {
        let put_in = |value: &Option<Value>| {
            value.as_ref().map(|value| self.variables.value(value)).transpose()
        };
        Ok(Expect {
            status: expect.status,
            headers: put_in(&expect.headers)?,
            body: put_in(&expect.body)?,
        })
    }

    /// Saves what the step names; what is not there is a difference.
    fn save(&mut self, step: &Step, found: Option<&Value>) -> Vec<Difference> {
        let mut missing = Vec::new();
        for (name, pointer) in &step.save {
            match found.and_then(|found| found.pointer(pointer)) {
                Some(value) => self.variables.set(name, value.clone()),
                None => missing.push(Difference {
                    pointer: format!("body{pointer}"),
                    expected: format!("something to save as \"{name}\""),
                    found: "nothing there".to_owned(),
                }),
            }
        }
        missing
    }
}

/// What of the answer is not as expected; without a status any under 400 will do.
fn compare(expect: &Expect, answer: &Answer) -> Vec<Difference> {
    let mut all = Vec::new();
    let status_holds = match expect.status {
        Some(status) => status == answer.status,
        None => answer.status < 400,
    };
    if !status_holds {
        all.push(Difference {
            pointer: "status".to_owned(),
            expected: expect.status.map_or("any under 400".to_owned(), |s| s.to_string()),
            found: answer.status.to_string(),
        });
    }
    if let Some(headers) = &expect.headers {
        let found = json!(answer.headers);
        let differing = differences(headers, Some(&found)).into_iter();
        all.extend(differing.map(|difference| prefixed("headers", "", difference)));
    }
    if let Some(body) = &expect.body {
        // An expected empty text is an empty body.
        let found = answer.value().or_else(|| (body == "").then(|| Value::from("")));
        let differing = differences(body, found.as_ref()).into_iter();
        all.extend(differing.map(|difference| prefixed("body", "", difference)));
    }
    all
}

fn prefixed(prefix: &str, between: &str, difference: Difference) -> Difference {
    Difference { pointer: format!("{prefix}{between}{}", difference.pointer), ..difference }
}

/// An answer without a digest agrees with every other such answer, so it is refused by itself.
fn differences_of_digest(body: &Value) -> Vec<Difference> {
    let found = differences(&json!({"digest": "$any"}), Some(body)).into_iter();
    found.map(|difference| prefixed("body", "", difference)).collect()
}

/// What senders and browsers use is public; the rest is the admin listener's.
fn listener(path: &str) -> Listener {
    let public = path.starts_with("/collect/") || path.starts_with("/tracker.js");
    if public { Listener::Public } else { Listener::Admin }
}

/// The scenario's tables as one configuration file, without what the runner decides: where the
/// program listens and where its data are.
fn configuration(scenario: &Scenario, variables: &Variables) -> Result<String, StepError> {
    let mut config = toml::Table::new();
    for (key, value) in &scenario.config {
        config.insert(key.clone(), variables.config(value)?);
    }
    if let Some(server) = config.get_mut("server").and_then(toml::Value::as_table_mut) {
        server.remove("address");
        server.remove("data");
    }
    if let Some(address) = config.get_mut("admin").and_then(|admin| admin.get_mut("address")) {
        *address = "127.0.0.1:0".into();
    }
    Ok(toml::to_string(&config)?)
}

/// The token itself, where the configuration says `env:` or `file:`.
fn resolved_token(written: &str) -> Result<String, StepError> {
    if let Some(name) = written.strip_prefix("env:") {
        return std::env::var(name).map_err(|error| StepError::Token(format!("{name}: {error}")));
    }
    match written.strip_prefix("file:") {
        Some(file) => match std::fs::read_to_string(file) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(StepError::Token(format!("{file}: {error}"))),
        },
        None => Ok(written.to_owned()),
    }
}

fn lower_case_headers(mut deliveries: Value) -> Value {
    for delivery in deliveries.as_array_mut().into_iter().flatten() {
        if let Some(headers) = delivery.get_mut("headers").and_then(Value::as_object_mut) {
            *headers = std::mem::take(headers)
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .collect();
        }
    }
    deliveries
}

fn described(action: &Action) -> String {
    match action {
        Action::Send(send) => format!("{} {}", send.method, send.path),
        Action::Call(call) => format!("{} {}", call.method, call.path),
        Action::Restart(Restart::Kill) => "restart by a kill".to_owned(),
        Action::Restart(Restart::Graceful) => "graceful restart".to_owned(),
        Action::Advance(ms) => format!("advance by {ms} ms"),
        Action::Shuffle { sends, .. } => format!("shuffle of {} sends", sends.len()),
        Action::Receiver(_) => "receiver".to_owned(),
        Action::Deliveries(_) => "deliveries".to_owned(),
    }
}

fn spelled(answer: &Answer) -> String {
    format!("answer: {} {}", answer.status, String::from_utf8_lossy(&answer.body).trim_end())
}

fn spelled_order(order: &[usize]) -> String {
    let numbers: Vec<_> = order.iter().map(|index| (index + 1).to_string()).collect();
    numbers.join(" ")
}
