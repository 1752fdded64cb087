//! The real program as a child process, with a folder of its own; killed when dropped.

use super::client::Client;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A start may replay a journal on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where a program lives: its configuration, its data, and what it wrote to stderr.
pub struct Home {
    folder: TempDir,
    data: PathBuf,
    starts: std::cell::Cell<usize>,
    files: std::cell::Cell<Option<u32>>,
    faults: std::cell::RefCell<Vec<String>>,
}

impl Home {
    /// A fresh folder with this configuration; the data folder lies in it.
    pub fn new(config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("proof-").tempdir().unwrap();
        let data = folder.path().join("data");
        Self::with_data(folder, data, config)
    }

    /// A fresh folder with this configuration, the data folder being elsewhere.
    pub fn on(data: PathBuf, config: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("proof-").tempdir().unwrap();
        Self::with_data(folder, data, config)
    }

    fn with_data(folder: TempDir, data: PathBuf, config: &str) -> Self {
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let (starts, files) = (std::cell::Cell::new(0), std::cell::Cell::new(None));
        let home = Self { folder, data, starts, files, faults: std::cell::RefCell::default() };
        home.configure(config);
        home
    }

    /// Another configuration, to be read by the next start or reload.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.folder.path().join("config/proof.toml"), config).unwrap();
    }

    /// How many files the programs of the next starts may have open.
    #[allow(dead_code, reason = "each test file takes what it needs of this module")]
    pub fn limit_files(&self, files: u32) {
        self.files.set(Some(files));
    }

    /// Faults for the programs of the next starts, each as `STAGE:TYPE:TIMES`.
    pub fn inject(&self, faults: &[&str]) {
        *self.faults.borrow_mut() = faults.iter().map(|&fault| fault.to_owned()).collect();
    }

    /// Runs `selfsame inspect` on the data folder; its exit code, and what it printed.
    pub fn inspect(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
        command.arg("inspect").arg("--data").arg(&self.data).args(arguments);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the program without waiting for anything.
    pub fn spawn(&self) -> Program {
        let number = self.starts.replace(self.starts.get() + 1);
        let stderr = self.folder.path().join(format!("stderr-{number}"));
        let mut command = match self.files.get() {
            None => Command::new(env!("CARGO_BIN_EXE_selfsame")),
            Some(files) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
                shell.args(["-c", &script, env!("CARGO_BIN_EXE_selfsame")]);
                shell
            }
        };
        command.arg("serve").arg("--config").arg(self.folder.path().join("config"));
        command.arg("--data").arg(&self.data).args(["--address", "127.0.0.1:0", "--rehearse"]);
        for fault in self.faults.borrow().iter() {
            command.arg("--panic-on").arg(fault);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SELFSAME_") {
                command.env_remove(&name);
            }
        }
        command.env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (lines, receiver) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| lines.send(l))
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Program { child, stdin, stdout: receiver, stderr, address: nowhere }
    }

    /// Starts the program and waits until it takes requests.
    pub fn start(&self) -> Program {
        let mut program = self.spawn();
        match program.ready(READY_WITHIN) {
            Start::Ready => program,
            other => panic!("the program did not start: {other:?}\n{}", program.stderr()),
        }
    }
}

/// How a start went.
#[derive(Debug)]
pub enum Start {
    /// It takes requests.
    Ready,
    /// It ended.
    Ended(ExitStatus),
    /// Neither, within the time given.
    Silent,
}

/// A running program.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: mpsc::Receiver<String>,
    stderr: PathBuf,
    /// Where it listens, once it is ready.
    pub address: SocketAddr,
}

impl Program {
    /// Waits until it takes requests or ends.
    pub fn ready(&mut self, within: Duration) -> Start {
        match self.stdout.recv_timeout(within) {
            // sled prints to stdout what it finds damaged.
            Ok(line) if !line.starts_with('{') => self.ready(within),
            Ok(line) => {
                let ready: Value = serde_json::from_str(&line).unwrap();
                self.address = ready["ready"]["address"].as_str().unwrap().parse().unwrap();
                Start::Ready
            }
            Err(RecvTimeoutError::Timeout) => Start::Silent,
            Err(RecvTimeoutError::Disconnected) => {
                self.ended(within).map_or(Start::Silent, Start::Ended)
            }
        }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, now.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stderr()
    }

    /// Moves its clock.
    pub fn advance(&mut self, ms: u64) {
        self.stdin.as_mut().unwrap().write_all(format!("advance {ms}\n").as_bytes()).unwrap();
        let answer = self.stdout.recv_timeout(READY_WITHIN).unwrap();
        assert!(answer.starts_with("ok "), "{answer}");
    }

    /// Asks it to stop; it drains in its own time.
    pub fn ask_to_stop(&mut self) {
        // One that is gone already is found by who waits for it.
        drop(self.stdin.as_mut().unwrap().write_all(b"stop\n"));
    }

    /// Stops it gracefully: it must exit with 0.
    pub fn stop(mut self) {
        self.ask_to_stop();
        let status = self.ended(Duration::from_secs(150)).expect("a stop that is over in time");
        assert!(status.success(), "a graceful stop ended with {status}:\n{}", self.stderr());
    }

    /// Ends it by SIGTERM, as a service manager does: it must exit with 0.
    pub fn terminate(mut self) {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.ended(Duration::from_secs(150)).expect("an end in time");
        assert_eq!(status.code(), Some(0), "{}", self.stderr());
    }

    /// Waits for its end; none when it still runs after that time.
    pub fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        poll(within, || self.child.try_wait().unwrap())
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// The sum of a metric's samples.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.client().get("/metrics").unwrap().body;
        let text = String::from_utf8(text).unwrap();
        let samples = text.lines().filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let its = sample.split('{').next()?;
            (its == name).then(|| value.parse::<f64>().unwrap())
        });
        samples.sum()
    }

    /// A number of kB from `/proc/<pid>/status`, such as `VmRSS`.
    pub fn memory_kb(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks again and again until there is an answer or the time is over.
pub fn poll<T>(within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
