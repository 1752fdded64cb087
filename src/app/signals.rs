//! SIGTERM and SIGINT: the first lets what is under way end, a second one ends the program at once.
//!
//! A thread of its own listens, so that nothing that keeps the others busy (a recovery, a drain, a
//! disk that does not answer) keeps it from hearing.

use std::{io, thread};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Hears when somebody wants the program to stop.
#[derive(Clone, Debug)]
pub(super) struct Asked(watch::Receiver<bool>);

impl Asked {
    /// Listens from now on.
    ///
    /// # Errors
    /// When there is no thread to be had, or the system takes no handler.
    pub(super) fn listen() -> io::Result<Self> {
        let (tell, asked) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let listening = async move {
            let first = either(&mut terminate, &mut interrupt).await;
            tracing::info!("{first} came; a second one ends the program at once");
            tell.send_replace(true);
            let second = either(&mut terminate, &mut interrupt).await;
            // What was acknowledged is in the journal, and the next start replays it.
            std::process::exit(second.exit_code());
        };
        let name = thread::Builder::new().name("signals".to_owned());
        name.spawn(move || runtime.block_on(listening))?;
        Ok(Self(asked))
    }

    /// Waits for the first signal.
    pub(super) async fn wait(&mut self) {
        // The thread listens as long as the program lives.
        if self.0.wait_for(|is_asked| *is_asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Terminate,
    Interrupt,
}

impl Stop {
    /// As shells count: 128 and the number of the signal.
    fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> Stop {
    tokio::select! {
        _ = terminate.recv() => Stop::Terminate,
        _ = interrupt.recv() => Stop::Interrupt,
    }
}
