//! What the whole program takes over HTTP, beside the least that a server on the same framework
//! could do.
//!
//! ```text
//! cargo bench --bench load -- --connections 64,256 --seconds 5 --rounds 3
//! ```
//!
//! On loopback, the same generator sends the same bodies to three servers in turn, several rounds,
//! and medians over the rounds are shown:
//!
//! * `bare`: an actix-web handler that parses the same fields and answers as many bytes;
//! * `fsynced`: the program, an answer meaning that an `fdatasync` is behind it;
//! * `memory`: the program, without waiting for the disk.
//!
//! First as fast as answers come (closed loop), then at a fixed rate of half of what `bare` took in
//! that round (open loop), where latency counts from the moment at which a request was due.
//!
//! The generator and the servers share the machine, so only the ratios mean something, and only on
//! a quiet one. The goals: `fsynced` ÷ `bare` at least 0.60; at half rate a p99 of at most that of
//! `bare` + 3 × fdatasync + 2 ms.

#[path = "load/generator.rs"]
mod generator;
#[path = "load/servers.rs"]
mod servers;
#[path = "load/workload.rs"]
mod workload;

use anyhow::Context;
use clap::Parser;
use generator::{Generator, Measured, Target};
use servers::Server;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The same allocator as the program has, for the bare server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the program beside a bare server.
#[derive(Debug, Parser)]
struct Flags {
    /// Keep-alive connections; each number is measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "64,256")]
    connections: Vec<usize>,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many different users the events tell of.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// How often everything is measured; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often the program takes a snapshot.
    #[arg(long, default_value = "1h")]
    snapshots: String,
    /// Where data folders are made; by default the folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The program [default: the one that cargo built].
    #[arg(long)]
    program: Option<PathBuf>,
    /// Leave the open loop out.
    #[arg(long)]
    closed_only: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

const NAMES: [&str; 3] = ["bare", "fsynced", "memory"];

/// One measurement in figures: requests per second, and latencies in microseconds.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    p999: f64,
}

impl Figures {
    fn of(measured: &Measured) -> Self {
        let micros = |quantile| measured.micros(quantile);
        let (p50, p99, p999) = (micros(0.5), micros(0.99), micros(0.999));
        Self { rate: measured.per_second(), p50, p99, p999 }
    }

    fn median(all: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure).collect());
        Self {
            rate: of(|one| one.rate),
            p50: of(|one| one.p50),
            p99: of(|one| one.p99),
            p999: of(|one| one.p999),
        }
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some(servers::BARE) {
        return servers::serve_bare();
    }
    let flags = Flags::parse();
    let folder = match &flags.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }?;
    let program = flags.program.clone().unwrap_or_else(servers::program);
    let of = |durability: &str| {
        let folder = folder.path().join(durability);
        Server::selfsame(&program, &folder, durability, &flags.snapshots)
            .with_context(|| format!("{} (build it first, or name it)", program.display()))
    };
    let servers = [Server::bare()?, of("fsynced")?, of("memory")?];
    eprintln!("process ids: {:?}", servers.each_ref().map(Server::id));
    let mut numbers = [0; 3];
    for (server, number) in servers.iter().zip(&mut numbers) {
        warm_up(&flags, server, number)?;
    }
    let mut syncs = Vec::new();
    let mut sections = Vec::new();
    for connections in &flags.connections {
        let mut section = Section::new(*connections);
        for _ in 0..flags.rounds {
            syncs.push(fdatasync_micros(folder.path())?);
            section.round(&flags, &servers, &mut numbers)?;
        }
        sections.push(section);
    }
    let sync = median(syncs);
    let goals: Vec<Goals> = sections.iter().map(|section| Goals::new(section, sync)).collect();
    if flags.json {
        let sections: Vec<_> = sections.iter().zip(&goals).map(|(one, at)| one.json(at)).collect();
        println!("{}", serde_json::json!({ "fdatasync_us": sync, "sections": sections }));
    } else {
        println!("fdatasync of 4 KiB appended: {sync:.0} µs");
        sections.iter().zip(&goals).for_each(|(section, goals)| section.print(goals));
    }
    Ok(())
}

/// Until every user has probably been seen, and for half a second at least.
fn warm_up(flags: &Flags, server: &Server, number: &mut u64) -> anyhow::Result<()> {
    let target = Target { address: server.address, connections: 64, users: flags.users };
    let mut generator = Generator::new(target, *number)?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500)
        || (generator.next() < 3 * flags.users && started.elapsed() < Duration::from_secs(20))
    {
        generator.closed(Duration::from_millis(500))?;
    }
    *number = generator.next();
    Ok(())
}

/// The median cost, in microseconds, of making 4 KiB more of a file durable.
fn fdatasync_micros(folder: &Path) -> anyhow::Result<f64> {
    let file = File::create(folder.join("plain"))?;
    let mut all = Vec::new();
    for at in 0..200 {
        let started = Instant::now();
        file.write_all_at(&[7; 4096], at * 4096)?;
        file.sync_data()?;
        all.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(all))
}

/// All measurements with one number of connections.
struct Section {
    connections: usize,
    closed: [Vec<Figures>; 3],
    open: [Vec<Figures>; 3],
}

impl Section {
    fn new(connections: usize) -> Self {
        Self { connections, closed: Default::default(), open: Default::default() }
    }

    fn round(
        &mut self,
        flags: &Flags,
        servers: &[Server; 3],
        numbers: &mut [u64; 3],
    ) -> anyhow::Result<()> {
        let length = Duration::from_secs(flags.seconds);
        let connect = |place: usize, numbers: &[u64; 3]| {
            let address = servers[place].address;
            let target = Target { address, connections: self.connections, users: flags.users };
            Generator::new(target, numbers[place])
        };
        for place in 0..3 {
            let mut generator = connect(place, numbers)?;
            self.closed[place].push(Figures::of(&generator.closed(length)?));
            numbers[place] = generator.next();
        }
        if flags.closed_only {
            return Ok(());
        }
        let rate = self.closed[0].last().map_or(1.0, |bare| bare.rate / 2.0);
        for place in 0..3 {
            let mut generator = connect(place, numbers)?;
            self.open[place].push(Figures::of(&generator.open(rate, length)?));
            numbers[place] = generator.next();
        }
        Ok(())
    }

    fn print(&self, goals: &Goals) {
        println!("\n{} connections, closed loop", self.connections);
        println!(
            "  {:8} {:>10} {:>10} {:>10} {:>10} {:>7}",
            "", "per second", "p50 µs", "p99 µs", "p99.9 µs", "÷ bare"
        );
        rows(&self.closed);
        println!(
            "  goal: fsynced ÷ bare ≥ 0.60: {:.2} {}",
            goals.ratio,
            verdict(goals.ratio >= 0.6)
        );
        if self.open[0].is_empty() {
            return;
        }
        println!("{} connections, open loop at half of bare's rate", self.connections);
        rows(&self.open);
        println!(
            "  goal: p99 of fsynced ≤ bare + 3 fdatasync + 2 ms = {:.0} µs: {:.0} µs {}",
            goals.p99_max,
            goals.p99,
            verdict(goals.p99 <= goals.p99_max)
        );
    }

    fn json(&self, goals: &Goals) -> serde_json::Value {
        let all = |loops: &[Vec<Figures>; 3]| -> serde_json::Value {
            let one = |(name, all): (&str, &Vec<Figures>)| {
                let Figures { rate, p50, p99, p999 } = Figures::median(all);
                let json = serde_json::json!({"per_second": rate, "p50_us": p50, "p99_us": p99, "p999_us": p999});
                (name.to_owned(), json)
            };
            NAMES.into_iter().zip(loops).map(one).collect()
        };
        serde_json::json!({
            "connections": self.connections,
            "closed": all(&self.closed),
            "open": all(&self.open),
            "ratio": goals.ratio,
            "p99_us": goals.p99,
            "p99_goal_us": goals.p99_max,
        })
    }
}

fn rows(loops: &[Vec<Figures>; 3]) {
    for (place, name) in NAMES.into_iter().enumerate() {
        let Figures { rate, p50, p99, p999 } = Figures::median(&loops[place]);
        let ratio = ratio(loops, place);
        println!("  {name:8} {rate:>10.0} {p50:>10.0} {p99:>10.0} {p999:>10.0} {ratio:>7.2}");
    }
}

/// The median over the rounds of a server's rate ÷ that of the bare one in the same round.
fn ratio(loops: &[Vec<Figures>; 3], place: usize) -> f64 {
    median(loops[place].iter().zip(&loops[0]).map(|(own, bare)| own.rate / bare.rate).collect())
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "(met)" } else { "(missed)" }
}

/// What was wanted beside what came of it.
struct Goals {
    ratio: f64,
    p99: f64,
    p99_max: f64,
}

impl Goals {
    fn new(section: &Section, sync: f64) -> Self {
        let [bare, fsynced, _] = section.open.each_ref().map(|all| Figures::median(all).p99);
        let p99_max = bare + 3.0 * sync + 2_000.0;
        Self { ratio: ratio(&section.closed, 1), p99: fsynced, p99_max }
    }
}
