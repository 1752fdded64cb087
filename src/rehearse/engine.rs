//! The program under rehearsal, as a child process.
//!
//! **Protocol.** The child is started as
//! `serve --config <folder> --data <folder> --address 127.0.0.1:0 --rehearse [--clock-offset-ms <n>]`
//! and prints one line on stdout once it takes requests:
//! `{"ready":{"address":"127.0.0.1:43211","admin":"127.0.0.1:43212"}}`. Then it reads commands on
//! stdin, one per line, and answers each with one line on stdout: `advance <ms>` moves its clock and
//! answers `ok <now in ms>`; `stop` drains and exits with 0, without an answer. When stdin ends it
//! exits, so that no child outlives the runner. Whatever it has to say otherwise goes to stderr.

use super::client::{Answer, Client, ClientError, Request};
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use thiserror::Error;

/// A start may replay a journal on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A command is answered, and a graceful stop is over, within this time.
const DONE_WITHIN: Duration = Duration::from_secs(30);
/// How long an engine that is in trouble gets to say why and end.
const ENDING: Duration = Duration::from_millis(200);
/// How much of the end of stderr is kept, in lines and bytes per line.
const STDERR_LINES: usize = 40;
const STDERR_LINE_BYTES: u64 = 2_000;

/// Why the child is of no use.
#[derive(Debug, Error)]
pub enum EngineError {
    /// Its folders could not be made.
    #[error("the temporary folder could not be written: {0}")]
    Folder(#[source] io::Error),
    /// It could not be started.
    #[error("{} could not be started: {source}", binary.display())]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ended, and was not asked to.
    #[error("the engine ended by itself ({status}) while {doing}")]
    Ended {
        /// How it ended.
        status: String,
        /// What it was doing.
        doing: &'static str,
    },
    /// It was never started, or did not come back.
    #[error("the engine is not running")]
    NotStarted,
    /// It did not do in time what it was asked.
    #[error("the engine was silent for {within:?} while {doing}")]
    Silent {
        /// How long it was waited for.
        within: Duration,
        /// What it was doing.
        doing: &'static str,
    },
    /// It said something else than the protocol has.
    #[error("expected {expected} on the engine's stdout, found {found:?}")]
    Protocol {
        /// What the protocol has there.
        expected: &'static str,
        /// The line that came.
        found: String,
    },
    /// A graceful stop did not end with 0.
    #[error("expected a graceful stop to exit with 0, found {0}")]
    Ungraceful(ExitStatus),
    /// The process could not be reached.
    #[error("the engine's process could not be reached: {0}")]
    Pipe(#[from] io::Error),
}

/// What a child is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// Its configuration, one TOML file.
    pub config: String,
}

/// A running child with folders of its own; killed, and its folders removed, when dropped.
pub struct Engine {
    setup: Setup,
    folder: TempDir,
    clock_offset_ms: i64,
    running: Option<Running>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: mpsc::Receiver<String>,
    listening: Option<thread::JoinHandle<()>>,
    addresses: Addresses,
    client: Client,
}

#[derive(Clone, Copy, Deserialize)]
struct Addresses {
    address: SocketAddr,
    admin: SocketAddr,
}

#[derive(Deserialize)]
struct ReadyLine {
    ready: Addresses,
}

/// Which of the two listeners a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Where senders collect.
    Public,
    /// Where people read and steer.
    Admin,
}

impl Engine {
    /// Makes fresh folders with the configuration in them; nothing runs yet.
    ///
    /// # Errors
    /// When the folders cannot be written.
    pub fn prepare(setup: Setup) -> Result<Self, EngineError> {
        let folder =
            tempfile::Builder::new().prefix("rehearsal-").tempdir().map_err(EngineError::Folder)?;
        let config = folder.path().join("config");
        std::fs::create_dir(&config).map_err(EngineError::Folder)?;
        std::fs::write(config.join("scenario.toml"), &setup.config).map_err(EngineError::Folder)?;
        let stderr = Arc::default();
        Ok(Self { setup, folder, clock_offset_ms: 0, running: None, stderr })
    }

    /// Starts the child and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not get ready.
    pub fn start(&mut self) -> Result<(), EngineError> {
        let mut child = self
            .command()
            .spawn()
            .map_err(|source| EngineError::Spawn { binary: self.setup.binary.clone(), source })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(EngineError::Pipe(io::ErrorKind::BrokenPipe.into()));
        };
        let (lines, receiver) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| lines.send(l))
        });
        let tail = Arc::clone(&self.stderr);
        let listening = thread::spawn(move || keep_tail(stderr, &tail));
        // Until it is ready nobody asks these addresses.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { address: nowhere, admin: nowhere };
        let client = Client::new();
        let listening = Some(listening);
        let running = Running { child, stdin, stdout: receiver, listening, addresses, client };
        let running = self.running.insert(running);
        let line = running.line(READY_WITHIN, "starting")?;
        let ready: ReadyLine = serde_json::from_str(&line).map_err(|_| EngineError::Protocol {
            expected: "{\"ready\":{\"address\":…,\"admin\":…}}",
            found: line,
        })?;
        running.addresses = ready.ready;
        Ok(())
    }

    /// Ends the process without a goodbye and starts it again on the same folders.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn kill_and_start(&mut self) -> Result<(), EngineError> {
        if let Some(mut running) = self.running.take() {
            running.child.kill()?;
            running.child.wait()?;
        }
        self.start()
    }

    /// Has the process drain and exit, and starts it again on the same folders.
    ///
    /// # Errors
    /// When it does not exit with 0 in time, or does not come back.
    pub fn stop_and_start(&mut self) -> Result<(), EngineError> {
        if let Some(mut running) = self.running.take() {
            // Closes the kept connections, which a draining server would otherwise wait for.
            running.client = Client::new();
            running.stdin.write_all(b"stop\n")?;
            let status = running.wait("stopping")?;
            if !status.success() {
                return Err(EngineError::Ungraceful(status));
            }
        }
        self.start()
    }

    /// Moves the engine's clock, over later restarts too.
    ///
    /// # Errors
    /// When the engine does not answer as the protocol says.
    pub fn advance(&mut self, ms: i64) -> Result<(), EngineError> {
        let running = self.running()?;
        writeln!(running.stdin, "advance {ms}")?;
        let line = running.line(DONE_WITHIN, "moving its clock")?;
        let now = line.strip_prefix("ok ").and_then(|now| now.trim().parse::<i64>().ok());
        if now.is_none() {
            return Err(EngineError::Protocol { expected: "\"ok <now in ms>\"", found: line });
        }
        self.clock_offset_ms = self.clock_offset_ms.saturating_add(ms);
        Ok(())
    }

    /// Makes a request to one of the listeners; `url` is a path with its query.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn call(&mut self, to: Listener, mut request: Request) -> Result<Answer, CallError> {
        let running = self.running()?;
        let address = match to {
            Listener::Public => running.addresses.address,
            Listener::Admin => running.addresses.admin,
        };
        request.url = format!("http://{address}{}", request.url);
        Ok(running.client.call(request)?)
    }

    /// The last lines that the engine wrote to stderr; all of them, if it is just ending.
    #[must_use]
    pub fn last_words(&mut self) -> Vec<String> {
        if let Some(running) = &mut self.running {
            // Whether it ends or goes on, what it wrote so far is there.
            drop(running.ends_within(ENDING));
        }
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    fn running(&mut self) -> Result<&mut Running, EngineError> {
        self.running.as_mut().ok_or(EngineError::NotStarted)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.setup.binary);
        command.arg("serve");
        command.arg("--config").arg(self.folder.path().join("config"));
        command.arg("--data").arg(self.folder.path().join("data"));
        command.args(["--address", "127.0.0.1:0", "--rehearse"]);
        if self.clock_offset_ms != 0 {
            command.arg("--clock-offset-ms").arg(self.clock_offset_ms.to_string());
        }
        // Settings of the caller's own engine must not reach the rehearsed one; secrets may.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SELFSAME_") && text.contains("__") {
                command.env_remove(&name);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself already.
            drop(running.child.kill());
            drop(running.child.wait());
        }
    }
}

/// A call that came to nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// There is no engine to be called.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Running {
    fn line(&mut self, within: Duration, doing: &'static str) -> Result<String, EngineError> {
        match self.stdout.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(EngineError::Silent { within, doing }),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.wait(doing)?.to_string();
                Err(EngineError::Ended { status, doing })
            }
        }
    }

    fn wait(&mut self, doing: &'static str) -> Result<ExitStatus, EngineError> {
        if let Some(status) = self.ends_within(DONE_WITHIN)? {
            return Ok(status);
        }
        self.child.kill()?;
        self.child.wait()?;
        Err(EngineError::Silent { within: DONE_WITHIN, doing })
    }

    /// Its exit status, once its last words are kept; none when it still runs after that time.
    fn ends_within(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if let Some(listening) = self.listening.take() {
                    // A panic of that thread would only lose some of the words.
                    drop(listening.join());
                }
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads stderr to its end, keeping only the last lines: a talkative child neither blocks nor grows.
fn keep_tail(stderr: impl Read, tail: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(STDERR_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let mut lines = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}
