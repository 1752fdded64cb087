//! What the program says about itself: a log on stderr, and metrics.
//!
//! Promise: nothing that identifies a person is in either of them: no payload, no identifier, no
//! minted id, no path of a request.

mod level;
pub mod lines;
pub mod metrics;
pub mod progress;

pub use level::{LogFormat, LogLevel, of_rust_log};

use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// The format that counts, once the log was started.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts the log on stderr.
///
/// The first call counts, so that tests may call it as well.
pub fn start_log(format: LogFormat, level: &LogLevel) {
    FORMAT.get_or_init(|| format);
    // The level was parsed when it was read, so this is the same again.
    let filter = EnvFilter::try_new(level.directives()).unwrap_or_default();
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_writer(lines::writer)
        .with_env_filter(filter)
        .with_ansi(is_terminal && format == LogFormat::Text)
        .with_target(false);
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was already started");
    } else if format == LogFormat::Json {
        std::panic::set_hook(Box::new(tell_panic));
    }
}

/// A panic as one line, like everything else; its text may repeat what it met, so it is left out.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(place, thread = thread.name(), "a panic: a fault of the program");
}

/// Whether all that is said on stderr has to be a JSON object a line.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Has panics tell where they are, and no more: what they say may hold text from outside.
pub fn tell_panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place =
            panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let current = std::thread::current();
        let thread = current.name().unwrap_or("unnamed");
        if tracing::dispatcher::has_been_set() {
            tracing::error!(%place, thread, "a fault of the program: a panic");
        } else {
            // Without a reader of stderr nobody is told; a panic within this one would end all.
            let line = format!("selfsame: a fault of the program: a panic at {place}");
            let _told = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n"));
        }
    }));
}
