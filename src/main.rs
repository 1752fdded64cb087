//! The program: flags → command → exit code; nothing else.

use clap::{CommandFactory, Parser};
use selfsame::app::{self, Failure, exit};
use selfsame::cli::{Cli, Command};
use selfsame::telemetry;
use std::process::ExitCode;

/// Many small allocations by many threads, freed by others: what mimalloc is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry::tell_panics_by_place();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To a closed pipe nothing can be said any more.
            drop(error.print());
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let code = match run(cli) {
        Ok(code) => code,
        Err(Failure { code, error }) => {
            match telemetry::is_json() {
                true => tracing::error!(code, "{error:#}"),
                false => telemetry::lines::say(&format!("selfsame: {error:#}")),
            }
            code.into()
        }
    };
    telemetry::lines::flush();
    code
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => app::serve(&flags)?,
        Command::Check(flags) => app::check(&flags)?,
        Command::Rehearse(flags) => return app::rehearse(&flags),
        Command::Inspect(flags) => app::inspect(&flags)?,
        Command::Bench(flags) => app::bench(&flags)?,
        Command::Receiver(flags) => app::receiver(&flags)?,
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "selfsame", &mut std::io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}
