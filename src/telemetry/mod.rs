//! What the program says about itself: a log on stderr, and metrics.
//!
//! Promise: nothing that identifies a person is in either of them: no payload, no identifier, no
//! minted id, no path of a request.

pub mod metrics;
pub mod progress;

use tracing_subscriber::EnvFilter;

/// What is said by default: the web framework tells more of its workers than anyone wants to know.
const DEFAULT_FILTER: &str = "info,actix_server=warn";

/// Starts the log on stderr; `RUST_LOG` chooses what is said.
///
/// The first call counts, so that tests may call it as well.
pub fn start_log() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_target(false);
    if log.try_init().is_err() {
        tracing::debug!("the log was already started");
    }
}

/// Has panics tell where they are, and no more: what they say may hold text from outside.
pub fn tell_panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let current = std::thread::current();
        let thread = current.name().unwrap_or("unnamed");
        if tracing::dispatcher::has_been_set() {
            tracing::error!(%place, thread, "a fault of the program: a panic");
        } else {
            eprintln!("selfsame: a fault of the program: a panic at {place}");
        }
    }));
}
