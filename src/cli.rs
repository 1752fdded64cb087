//! The command line, as types; what the commands do is in `app`.

use crate::config::{Inputs, Override};
use clap::{Args, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

/// Where the configuration is looked for when nothing is said.
pub const DEFAULT_CONFIG: &str = "config";

const EXAMPLES: &str = "\
Examples:
  selfsame                                     serve what config/ says
  selfsame --ephemeral --address 127.0.0.1:0   try things; nothing is kept
  selfsame check                               is the configuration right?
  selfsame rehearse tests/scenarios            do the rules do what they should?
  selfsame inspect stats --data data           what is in a data folder?

  curl localhost:7676/collect/order/demo-shop -d '{\"customer\":{\"id\":7}}'
  curl localhost:7676/api/v1/profiles?identifier=demo-shop:7

A flag beats the environment (SELFSAME_SERVER__ADDRESS), which beats the files, which beat the
defaults. stdout is data, stderr is talk. Exit codes as in sysexits: 0 done, 64 wrong usage,
65 wrong data, 66 no such file, 69 unavailable, 70 a fault of ours, 74 the disk failed,
78 wrong configuration. The first SIGTERM or SIGINT lets what is under way end;
a second one ends the program at once (143 or 130).";

/// Webhooks from any system become one profile per person: durable, explainable, reversible.
#[derive(Debug, Parser)]
#[command(name = "selfsame", version, about, long_about = None, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`.
    #[command(flatten)]
    pub serve: Serve,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take webhooks and answer questions (the default).
    Serve(Serve),
    /// Check the configuration, and scenarios, without starting anything.
    Check(Check),
    /// Play scenarios against an engine of their own and tell what differs.
    Rehearse(Rehearse),
    /// Look into a data folder, offline and read-only.
    Inspect(Inspect),
    /// Measure what this machine can take.
    Bench(Bench),
    /// Receive outgoing webhooks on this machine and show them, to try campaigns out.
    Receiver(Receiver),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where the configuration is.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigFolder {
    /// The folder whose *.toml files are the configuration [default: config].
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub config: Option<PathBuf>,
}

/// The flags of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct Serve {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFolder,
    /// The one folder that holds everything; overrides server.data.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub data: Option<String>,
    /// Where to listen; overrides server.address. Port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<String>,
    /// How the log is written: text or json; overrides log.format.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What the log says: error, warn, info, debug, trace or off; overrides log.level.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Use a folder that is thrown away at the end.
    #[arg(long, conflicts_with = "data")]
    pub ephemeral: bool,
    /// Start although the journal ends before its snapshot: what it lost is lost for good.
    #[arg(long)]
    pub accept_journal_loss: bool,
    /// Speak the rehearsal protocol on stdin and stdout.
    #[arg(long, hide = true)]
    pub rehearse: bool,
    /// Start with the clock moved by so many milliseconds.
    #[arg(long, hide = true, default_value_t = 0, allow_negative_numbers = true)]
    pub clock_offset_ms: i64,
    /// Inject a fault, for tests of supervision: STAGE:TYPE:TIMES.
    #[arg(long, hide = true, value_name = "STAGE:TYPE:TIMES")]
    pub panic_on: Vec<crate::engine::Fault>,
}

/// The flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFolder,
    /// Scenario files, or folders of them, to check as well.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub scenarios: Vec<PathBuf>,
}

/// The flags of `rehearse`.
#[derive(Args, Clone, Debug)]
pub struct Rehearse {
    /// Scenario files, or folders of them.
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// How many are played at a time; by default one per core.
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Say nothing until the end.
    #[arg(long)]
    pub quiet: bool,
}

/// The flags of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct Inspect {
    /// The data folder.
    // An id of its own: clap keeps a global flag and `serve --data` under one name otherwise.
    #[arg(long, id = "inspected", value_name = "FOLDER", default_value = "data", global = true)]
    pub data: PathBuf,
    /// Inject a fault, for tests: STAGE:TYPE:TIMES.
    #[arg(long, id = "faults", hide = true, global = true, value_name = "STAGE:TYPE:TIMES")]
    pub panic_on: Vec<crate::engine::Fault>,
    /// What to look at.
    #[command(subcommand)]
    pub what: InspectWhat,
}

/// What to look at.
#[derive(Clone, Debug, Subcommand)]
pub enum InspectWhat {
    /// Counts, sizes and positions.
    Stats,
    /// A profile by its id or by `type:value`.
    Profile {
        /// Any id that it ever had, or an identifier.
        id: String,
    },
    /// An event by its id.
    Event {
        /// The event's id.
        id: String,
    },
    /// The journal's records, one JSON line each.
    Journal {
        /// The first sequence.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// At most so many.
        #[arg(long)]
        limit: Option<u64>,
        /// With what identifies people: sessions, identifiers, properties.
        #[arg(long)]
        payload: bool,
    },
    /// Check every checksum, and that the snapshot agrees with the journal.
    Verify,
    /// A hash over everything that the state means, as `GET /api/v1/state/digest` gives it.
    Digest,
}

/// The flags of `bench`.
#[derive(Args, Clone, Debug)]
pub struct Bench {
    /// For how long.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub seconds: u64,
    /// Events in flight at a time.
    #[arg(long, default_value_t = 256)]
    pub in_flight: usize,
    /// On whose disk to measure; what is written there is removed at the end.
    #[arg(long, value_name = "FOLDER", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// The flags of `receiver`.
#[derive(Args, Clone, Debug)]
pub struct Receiver {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7700")]
    pub address: std::net::SocketAddr,
    /// Answer with this status.
    #[arg(long, default_value_t = 200)]
    pub status: u16,
    /// Answer the first so many requests with 500.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fail: u64,
    /// Think so long before each answer, such as 2s.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub delay: Option<std::time::Duration>,
    /// Let the body come a byte a second.
    #[arg(long)]
    pub drip: bool,
    /// Answer 307 to this address.
    #[arg(long, value_name = "URL", conflicts_with = "drip")]
    pub redirect: Option<String>,
}

fn span(text: &str) -> Result<std::time::Duration, String> {
    let ms = crate::domain::time::parse_span(text)?;
    Ok(std::time::Duration::from_millis(ms.unsigned_abs()))
}

impl ConfigFolder {
    /// What the configuration is read from: the folder that was named, or the default one where it
    /// exists.
    pub fn inputs(&self) -> Inputs {
        let default = PathBuf::from(DEFAULT_CONFIG);
        let folder = self.config.clone().or_else(|| default.is_dir().then_some(default));
        // A variable that is not Unicode cannot be one of ours.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Inputs { folder, env, overrides: Vec::new() }
    }
}

impl Serve {
    /// What the configuration is read from, flags included.
    pub fn inputs(&self) -> Inputs {
        let mut inputs = self.config.inputs();
        let mut set = |flag, section, key, value: &Option<String>| {
            let set = value.clone().map(|value| Override { flag, section, key, value });
            inputs.overrides.extend(set);
        };
        set("--address", "server", "address", &self.address);
        set("--data", "server", "data", &self.data);
        set("--log-format", "log", "format", &self.log_format);
        set("--log-level", "log", "level", &self.log_level);
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_when_nothing_is_said() {
        let cli = Cli::try_parse_from(["selfsame", "--address", "127.0.0.1:0"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.inputs().overrides.len(), 1);
        let cli =
            Cli::try_parse_from(["selfsame", "serve", "--clock-offset-ms", "-5", "--rehearse"]);
        let Some(Command::Serve(serve)) = cli.unwrap().command else { panic!("serve") };
        assert_eq!(serve.clock_offset_ms, -5);
    }

    #[test]
    fn the_folder_to_inspect_is_named_before_or_behind_what_to_look_at() {
        for line in ["selfsame inspect --data x verify", "selfsame inspect verify --data x"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let Some(Command::Inspect(inspect)) = cli.command else { panic!("inspect") };
            assert_eq!(inspect.data, PathBuf::from("x"));
        }
    }

    #[test]
    fn a_throw_away_folder_is_not_a_named_one() {
        assert!(Cli::try_parse_from(["selfsame", "--ephemeral", "--data", "x"]).is_err());
    }
}
