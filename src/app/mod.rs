//! Puts the program together: the only place that knows every module.
//!
//! ```text
//! flags, files, environment → config → engine → HTTP servers → until told to stop → drain
//! ```

mod bench;
mod files;
mod inspect;
mod protocol;
mod rights;
mod serve;
mod signals;
mod welcome;

pub use bench::bench;
pub use inspect::inspect;
pub use serve::serve;

use crate::config::{Config, ConfigError};
use crate::rehearse::sink;
use crate::{cli, rehearse, telemetry};
use anyhow::anyhow;
use std::process::ExitCode;

/// Exit codes of `sysexits.h`.
pub mod exit {
    /// The command line makes no sense (`EX_USAGE`).
    pub const USAGE: u8 = 64;
    /// The data is wrong or damaged (`EX_DATAERR`).
    pub const DATA: u8 = 65;
    /// There is no such file (`EX_NOINPUT`).
    pub const NO_INPUT: u8 = 66;
    /// Something that is needed is not there, such as the address (`EX_UNAVAILABLE`).
    pub const UNAVAILABLE: u8 = 69;
    /// A fault of the program (`EX_SOFTWARE`).
    pub const SOFTWARE: u8 = 70;
    /// The disk failed (`EX_IOERR`).
    pub const IO: u8 = 74;
    /// The configuration is wrong (`EX_CONFIG`).
    pub const CONFIG: u8 = 78;
}

/// Why the program ends without success.
#[derive(Debug)]
pub struct Failure {
    /// One of [`exit`].
    pub code: u8,
    /// What to tell the user.
    pub error: anyhow::Error,
}

impl Failure {
    /// An error with its exit code.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(exit::CONFIG, anyhow!("the configuration is wrong:\n{error}"))
    }
}

/// `selfsame check`: the configuration, and scenarios.
///
/// # Errors
/// Everything that is wrong.
pub fn check(flags: &cli::Check) -> Result<(), Failure> {
    let config = Config::load(&flags.config.inputs())?;
    let files = scenario_files(&flags.scenarios)?;
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|file| rehearse::check(file).err())
        .map(|errors| errors.to_string())
        .collect();
    if !wrong.is_empty() {
        return Err(Failure::new(exit::DATA, anyhow!("{}", wrong.join("\n"))));
    }
    let (sources, points) = (config.settings.sources.len(), config.settings.points.len());
    telemetry::lines::say(&format!(
        "all is well: {sources} sources, {points} identification points, {} scenarios",
        files.len()
    ));
    Ok(())
}

/// `selfsame rehearse`: plays scenarios.
///
/// # Errors
/// When the files cannot be found.
pub fn rehearse(flags: &cli::Rehearse) -> Result<ExitCode, Failure> {
    let files = scenario_files(&flags.files)?;
    let binary = std::env::current_exe().map_err(|e| Failure::new(exit::SOFTWARE, e))?;
    let mut options = rehearse::Options::new(binary);
    options.jobs = flags.jobs.unwrap_or(options.jobs).max(1);
    options.quiet = flags.quiet;
    let summary = rehearse::rehearse(&files, &options);
    print_line(&summary.to_string());
    Ok(summary.exit_code().into())
}

fn scenario_files(paths: &[std::path::PathBuf]) -> Result<Vec<std::path::PathBuf>, Failure> {
    rehearse::scenario_files(paths).map_err(|e| Failure::new(exit::NO_INPUT, e))
}

/// `selfsame receiver`: shows what arrives, until it is told to stop.
///
/// # Errors
/// When the address cannot be had.
pub fn receiver(flags: &cli::Receiver) -> Result<(), Failure> {
    let unavailable =
        |error| Failure::new(exit::UNAVAILABLE, anyhow!("{}: {error}", flags.address));
    let listener = std::net::TcpListener::bind(flags.address).map_err(unavailable)?;
    let address = listener.local_addr().map_err(unavailable)?;
    telemetry::lines::say(&format!(
        "receiving at http://{address}; campaigns reach it with allow_http = true and server.allow_networks = [\"{}\"]",
        address.ip()
    ));
    let behaviour = sink::Behaviour {
        status: flags.status,
        failures: flags.fail,
        delay: flags.delay.unwrap_or_default(),
        drips: flags.drip,
        redirect: flags.redirect.clone(),
    };
    sink::serve(&listener, &behaviour, |request| print_line(&request.to_string()))
        .map_err(|error| Failure::new(exit::SOFTWARE, error))
}

/// Writes a line of data to stdout; a reader that has gone away wants no more of it.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _written = std::io::Write::write_all(&mut out, format!("{line}\n").as_bytes());
}
