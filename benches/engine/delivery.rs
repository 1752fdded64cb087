//! Outgoing webhooks, from a durable event to the receiver.
//!
//! ```text
//! cargo bench --bench engine -- delivery                     # everything
//! cargo bench --bench engine -- delivery --only latency      # or saturated, ordered, restart, isolation
//! ```
//!
//! The engine runs in process; the receiver is a thread per connection on loopback. The bare client
//! is the engine's own (same library, same receiver, 32 calls at a time) without engine, journal or
//! signature of time. Rounds of what is compared are interleaved; medians are shown.

mod sink;

use crate::in_process;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use selfsame::clock::Clock;
use selfsame::config::Network;
use selfsame::domain::event::Payload;
use selfsame::domain::facts::RequestFacts;
use selfsame::domain::settings::{Durability, Settings};
use selfsame::engine::{Engine, Options, Readiness, Submission};
use selfsame::outbound::client::{Call, Client, Limits};
use selfsame::outbound::guard::Guard;
use selfsame::outbound::resolve::SystemResolver;
use serde_json::{Value, json};
use sink::Seen;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The flags of `delivery`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
    /// How often what is compared is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load for latency and isolation.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Deliveries of a saturated round.
    #[arg(long, default_value_t = 20_000)]
    deliveries: u64,
    /// Pending deliveries that a restart meets; ten from each event.
    #[arg(long, default_value_t = 1_000_000)]
    pending: u64,
    /// Where data folders are made; by default the folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A start of a folder, as a process of its own: the sink's address.
    #[arg(long, hide = true)]
    start: Option<SocketAddr>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Latency,
    Saturated,
    Ordered,
    Restart,
    Isolation,
}

/// Measures outgoing webhooks.
pub fn main(flags: &Flags) -> anyhow::Result<()> {
    actix_rt::System::new().block_on(run(flags))
}

async fn run(flags: &Flags) -> anyhow::Result<()> {
    if let Some(sink) = flags.start {
        return started(flags, sink).await;
    }
    let is_wanted = |part| flags.only.is_none_or(|only| only == part);
    println!("{:<52} {:>10} {:>10}", "measured", "value", "goal");
    if is_wanted(Part::Latency) {
        latency(flags).await?;
    }
    if is_wanted(Part::Saturated) {
        saturated(flags).await?;
    }
    if is_wanted(Part::Ordered) {
        ordered(flags).await?;
    }
    if is_wanted(Part::Restart) {
        restart(flags).await?;
    }
    if is_wanted(Part::Isolation) {
        isolation(flags).await?;
    }
    Ok(())
}

fn line(what: &str, value: String, goal: &str) {
    println!("{what:<52} {value:>10} {goal:>10}");
}

fn folder(flags: &Flags) -> std::io::Result<tempfile::TempDir> {
    match &flags.folder {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
}

/// The value below which so much of all lies.
fn quantile(all: &mut [f64], share: f64) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    let place = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
    all.get(place).copied().unwrap_or(f64::NAN)
}

fn webhook(sink: SocketAddr, path: &str, order: &str) -> Value {
    json!({"webhook": {
        "url": format!("http://{sink}{path}"), "allow_http": true, "order": order,
        "fields": {"profileid": "profile.id", "n": "event.properties.n"},
        "static": {"automationid": "42"},
    }})
}

/// A campaign for each event type.
fn campaigns(all: impl IntoIterator<Item = (String, Vec<Value>)>) -> Value {
    let one = |(kind, steps): (String, Vec<Value>)| {
        let campaign = json!({"state": "live", "trigger": {"event_type": kind}, "step": steps});
        (kind, campaign)
    };
    Value::Object(all.into_iter().map(one).collect())
}

fn options(data: &Path, campaigns: &Value) -> anyhow::Result<Options> {
    let settings: Settings = serde_json::from_value(json!({
        "sources": {"s": {"id": "s", "profile_id": "u"}},
        "campaigns": campaigns,
    }))?;
    let loopback: Network = serde_json::from_value(json!("127.0.0.0/8"))?;
    let guard = Guard::new(&[loopback]);
    Ok(Options { guard, ..in_process::options(data.to_owned(), settings) })
}

async fn open(data: &Path, campaigns: &Value) -> anyhow::Result<Engine> {
    in_process::open(options(data, campaigns)?).await
}

fn submission(engine: &Engine, kind: &str, user: u64, number: u64) -> anyhow::Result<Submission> {
    let effective = engine.effective()?;
    let source = &effective.compiled.sources["s"];
    let facts = RequestFacts {
        event_type: kind,
        session: None,
        header: &|_| None,
        query: &[],
        received_at: Clock::system().now(),
        batch_index: None,
        is_lossy: false,
        passed_over: &|_| {},
    };
    let payload = Payload::Json(json!({"u": user, "n": number}).to_string().into());
    let event = effective.compiled.extract(source, &facts, payload, &effective.hash_key);
    Ok(Submission { event, durability: Durability::Fsynced, dedupe_window_ms: 0 })
}

/// Ingests as fast as the engine takes it.
async fn ingest(engine: &Engine, kind: &str, users: u64, count: u64) -> anyhow::Result<()> {
    let mut under_way = FuturesUnordered::new();
    for number in 0..count {
        under_way.push(engine.ingest(submission(engine, kind, 1 + number % users, number)?));
        if under_way.len() >= 1_000 {
            under_way.next().await.transpose()?;
        }
    }
    while let Some(receipt) = under_way.next().await {
        receipt?;
    }
    Ok(())
}

/// So many events a second of changing types; answers when each was handed over.
async fn at_rate(
    engine: &Engine,
    kinds: &[String],
    first: u64,
    (rate, seconds): (u64, u64),
) -> anyhow::Result<Vec<Instant>> {
    let started = Instant::now();
    let mut sent = Vec::new();
    let under_way = FuturesUnordered::new();
    for number in 0..rate * seconds {
        let due = started + Duration::from_micros(number * 1_000_000 / rate);
        tokio::time::sleep_until(due.into()).await;
        let kind = &kinds[number as usize % kinds.len()];
        let submission = submission(engine, kind, 1 + number % 5_000, first + number)?;
        sent.push(Instant::now());
        let engine = engine.clone();
        let ingest = async move { engine.ingest(submission).await };
        under_way.push(actix_rt::spawn(ingest));
    }
    let all: Vec<_> = under_way.collect().await;
    for receipt in all {
        receipt??;
    }
    Ok(sent)
}

async fn arrived(seen: &Seen, count: u64, within: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    while seen.count.load(Ordering::Relaxed) < count {
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} of {count} arrived",
            seen.count.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Milliseconds from handing an event over to the first byte of its request.
fn latencies(seen: &Seen, first: u64, sent: &[Instant]) -> Vec<f64> {
    let times = seen.times.lock().unwrap();
    let own = times.iter().filter_map(|(number, came)| {
        let sent = sent.get(usize::try_from(number.checked_sub(first)?).ok()?)?;
        Some(came.duration_since(*sent).as_secs_f64() * 1e3)
    });
    own.collect()
}

/// Milliseconds of an `fdatasync` after 4 KiB were appended to a plain file.
fn fdatasync(folder: &Path) -> std::io::Result<Vec<f64>> {
    let file = std::fs::File::create(folder.join("plain"))?;
    let mut all = Vec::new();
    for at in 0..300 {
        file.write_all_at(&[7; 4_096], at * 4_096)?;
        let started = Instant::now();
        file.sync_data()?;
        all.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(all)
}

async fn latency(flags: &Flags) -> anyhow::Result<()> {
    let folder = folder(flags)?;
    let (sink, seen) = sink::start()?;
    seen.notes_times.store(true, Ordering::Relaxed);
    let all = campaigns([("a".to_owned(), vec![webhook(sink, "/", "none")])]);
    let engine = open(&folder.path().join("data"), &all).await?;
    let kinds = ["a".to_owned()];
    at_rate(&engine, &kinds, 0, (1_000, 1)).await?;
    arrived(&seen, 1_000, Duration::from_secs(30)).await?;
    let mut syncs = fdatasync(folder.path())?;
    let sent = at_rate(&engine, &kinds, 1_000, (1_000, flags.seconds)).await?;
    arrived(&seen, 1_000 + sent.len() as u64, Duration::from_secs(30)).await?;
    syncs.extend(fdatasync(folder.path())?);
    let mut all = latencies(&seen, 1_000, &sent);
    engine.stop(Duration::from_secs(30)).await;
    let sync = quantile(&mut syncs, 0.5);
    line("one fdatasync, p50", format!("{sync:.2} ms"), "");
    line("the same, p99", ms(&mut syncs, 0.99), "");
    let goal = format!("{:.2} ms", sync + 0.5);
    line("event handed over → first byte at 1,000/s, p50", ms(&mut all, 0.5), &goal);
    line("the same, p99", ms(&mut all, 0.99), "10 ms");
    Ok(())
}

fn ms(all: &mut [f64], share: f64) -> String {
    format!("{:.2} ms", quantile(all, share))
}

/// Deliveries a second of a backlog that gathers at the receiver's gate.
async fn backlog(
    (engine, kind): (&Engine, &str),
    seen: &Seen,
    (users, count): (u64, u64),
) -> anyhow::Result<f64> {
    seen.reset();
    seen.close_gate();
    ingest(engine, kind, users, count).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    seen.open_gate();
    arrived(seen, count, Duration::from_secs(120)).await?;
    let rate = count as f64 / started.elapsed().as_secs_f64();
    // The records of the last attempts.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(rate)
}

/// Calls a second of the client alone, 32 at a time.
async fn bare(sink: SocketAddr, seen: &Seen, count: u64) -> anyhow::Result<f64> {
    let loopback: Network = serde_json::from_value(json!("127.0.0.0/8"))?;
    let guard = Guard::new(&[loopback]);
    let client = Arc::new(Client::new(Box::new(SystemResolver), guard, Limits::default())?);
    seen.reset();
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("content-type", "application/json"),
        ("user-agent", "selfsame/0.1.0"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let call = Arc::new(Call {
        method: "POST",
        url: format!("http://{sink}/").parse()?,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body:
            r#"{"automationid":"42","n":123456,"profileid":"0193e9a0-0000-7000-8000-000000000000"}"#
                .into(),
        timeout: None,
    });
    let started = Instant::now();
    let lanes = (0..32).map(|lane| {
        let (client, call) = (Arc::clone(&client), Arc::clone(&call));
        actix_rt::spawn(async move {
            for _ in 0..(count - lane).div_ceil(32) {
                client.call("bare", &call).await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        })
    });
    for lane in futures_util::future::join_all(lanes).await {
        lane?.map_err(anyhow::Error::msg)?;
    }
    arrived(seen, count, Duration::from_secs(1)).await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

async fn saturated(flags: &Flags) -> anyhow::Result<()> {
    let folder = folder(flags)?;
    let (sink, seen) = sink::start()?;
    let all = campaigns([("a".to_owned(), vec![webhook(sink, "/", "none")])]);
    let engine = open(&folder.path().join("data"), &all).await?;
    let (mut ours, mut bares, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        let alone = bare(sink, &seen, flags.deliveries).await?;
        let rate = backlog((&engine, "a"), &seen, (10_000, flags.deliveries)).await?;
        ours.push(rate);
        bares.push(alone);
        ratios.push(rate / alone);
    }
    engine.stop(Duration::from_secs(30)).await;
    line("bare client, calls a second", format!("{:.0}", quantile(&mut bares, 0.5)), "");
    line("saturated deliveries a second", format!("{:.0}", quantile(&mut ours, 0.5)), "");
    line("saturated ÷ bare", format!("{:.2}", quantile(&mut ratios, 0.5)), "≥ 0.60");
    Ok(())
}

async fn ordered(flags: &Flags) -> anyhow::Result<()> {
    let folder = folder(flags)?;
    let (sink, seen) = sink::start()?;
    let all = campaigns([
        ("ordered".to_owned(), vec![webhook(sink, "/", "per_profile")]),
        ("loose".to_owned(), vec![webhook(sink, "/", "none")]),
    ]);
    let engine = open(&folder.path().join("data"), &all).await?;
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        let load = (10_000, flags.deliveries);
        let loose = backlog((&engine, "loose"), &seen, load).await?;
        let ordered = backlog((&engine, "ordered"), &seen, load).await?;
        rates.push(ordered);
        ratios.push(ordered / loose);
    }
    engine.stop(Duration::from_secs(30)).await;
    line("ordered, deliveries a second", format!("{:.0}", quantile(&mut rates, 0.5)), "");
    line(
        "ordered ÷ unordered, 10,000 profiles",
        format!("{:.2}", quantile(&mut ratios, 0.5)),
        "≥ 0.90",
    );
    Ok(())
}

/// Ten steps that nobody answers.
fn hanging(sink: SocketAddr) -> Value {
    let steps = (0..10).map(|_| webhook(sink, "/hang", "none")).collect();
    campaigns([("a".to_owned(), steps)])
}

async fn restart(flags: &Flags) -> anyhow::Result<()> {
    let mut resident = Vec::new();
    for pending in [flags.pending / 2, flags.pending] {
        let folder = folder(flags)?;
        let data = folder.path().join("data");
        let (sink, seen) = sink::start()?;
        let engine = open(&data, &hanging(sink)).await?;
        ingest(&engine, "a", 10_000, pending / 10).await?;
        engine.stop(Duration::from_secs(120)).await;
        // It holds the snapshot store as long as it is there.
        drop(engine);
        seen.hung.store(0, Ordering::SeqCst);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["delivery", "--start"]).arg(sink.to_string()).arg("--folder").arg(&data);
        let child = command.stdout(std::process::Stdio::piped()).spawn()?;
        let started = Instant::now();
        while seen.hung.load(Ordering::Relaxed) == 0 {
            anyhow::ensure!(started.elapsed() < Duration::from_secs(120), "nothing is dispatched");
            std::thread::sleep(Duration::from_millis(1));
        }
        let (took, busy) = (started.elapsed().as_secs_f64(), cpu_seconds(child.id())?);
        let what = format!("restart with {pending} pending → first dispatch");
        line(&what, format!("{took:.2} s"), "≤ 5 s");
        line("of that on a processor", format!("{busy:.2} s"), "");
        let output = child.wait_with_output()?;
        resident.push(String::from_utf8(output.stdout)?.trim().parse::<f64>()?);
    }
    let each = (resident[1] - resident[0]) / (flags.pending - flags.pending / 2) as f64;
    line("memory of a pending delivery", format!("{each:.0} B"), "~ 100 B");
    Ok(())
}

/// The processor time of a process so far; proc(5): in hundredths, fields 14 and 15 of `stat`.
fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// Starts a folder and prints its resident bytes once everything is loaded.
async fn started(flags: &Flags, sink: SocketAddr) -> anyhow::Result<()> {
    let data = flags.folder.as_deref().unwrap_or(Path::new("."));
    let engine = open(data, &hanging(sink)).await?;
    if let Readiness::Ready { report } = engine.readiness() {
        anyhow::ensure!(report["records"] == 0, "the snapshot was not used: {report}");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    let kb: u64 = rss.trim_matches(|c: char| !c.is_ascii_digit()).parse()?;
    println!("{}", kb * 1024);
    drop(engine);
    std::process::exit(0);
}

async fn isolation(flags: &Flags) -> anyhow::Result<()> {
    let folder = folder(flags)?;
    let (sink, seen) = sink::start()?;
    seen.notes_times.store(true, Ordering::Relaxed);
    let healthy: Vec<String> = (0..50).map(|number| format!("h{number}")).collect();
    let quick = healthy.iter().map(|kind| (kind.clone(), vec![webhook(sink, "/", "none")]));
    let all = quick.chain([("hang".to_owned(), vec![webhook(sink, "/hang", "none")])]);
    let engine = open(&folder.path().join("data"), &campaigns(all)).await?;
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    for _ in 0..flags.rounds {
        let mut p99s = Vec::new();
        for other in ["nothing", "hang"] {
            seen.reset();
            let others = [other.to_owned()];
            let (sent, beside) = tokio::join!(
                at_rate(&engine, &healthy, first, (500, flags.seconds)),
                at_rate(&engine, &others, u64::MAX / 2, (1_000, flags.seconds)),
            );
            let sent = sent?;
            beside?;
            arrived(&seen, sent.len() as u64, Duration::from_secs(30)).await?;
            p99s.push(quantile(&mut latencies(&seen, first, &sent), 0.99));
            first += sent.len() as u64;
        }
        without.push(p99s[0]);
        with.push(p99s[1]);
        ratios.push(p99s[1] / p99s[0]);
    }
    engine.stop(Duration::from_secs(5)).await;
    line("50 healthy endpoints, p99", ms(&mut without, 0.5), "");
    line("the same beside one that hangs at 1,000/s, p99", ms(&mut with, 0.5), "");
    line("with ÷ without", format!("{:.2}", quantile(&mut ratios, 0.5)), "≤ 1.10");
    Ok(())
}
