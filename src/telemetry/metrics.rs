//! Every metric, in one table: see [`Metrics::new`].
//!
//! Handles are resolved once; counting on the way of an event looks no label up. Labels come from
//! closed lists in the code, never from a request; but for endpoints, which are called as the
//! configuration calls them (`campaign/step`).

use crate::code::Code;
use crate::domain::event::{Reason, Status};
use crate::domain::facts::PassedOver;
use crate::domain::graph::{ChangeKind, Obstacle};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

type Labels = [(&'static str, &'static str); 1];

/// The values of a closed label, each with its counter.
#[derive(Debug)]
pub struct Each<const N: usize>([Counter; N]);

impl<const N: usize> Each<N> {
    fn new(
        family: &Family<Labels, Counter>,
        label: &'static str,
        names: [&'static str; N],
    ) -> Self {
        Self(names.map(|name| family.get_or_create_owned(&[(label, name)])))
    }

    /// Counts the value at this place of its list.
    fn count(&self, place: usize) {
        if let Some(counter) = self.0.get(place) {
            counter.inc();
        }
    }

    /// Counts so many of each.
    fn add(&self, counts: [u64; N]) {
        for (counter, count) in self.0.iter().zip(counts) {
            counter.inc_by(count);
        }
    }
}

const STATUSES: [&str; 6] =
    ["stored", "profile-less", "duplicate", "dropped", "quarantined", "handshake"];
const ENDS: [&str; 3] = ["delivered", "dead", "cancelled"];
const OUTCOMES: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "other", "error"];
const CODES: usize = Code::ALL.len();
const REASONS: usize = Reason::ALL.len();

/// All handles. One per program; clones of the `Arc` around it are passed to all that count.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Each<6>,
    quarantined: Each<REASONS>,
    passed_over: Each<{ PassedOver::ALL.len() }>,
    refusals: Each<CODES>,
    slow: Each<{ Slow::ALL.len() }>,
    /// Answers to senders with status 200.
    pub accepted: Counter,
    collect_seconds: Histogram,
    fsync_seconds: Histogram,
    /// Events per group that the committer wrote.
    pub group_events: Histogram,
    /// Bytes appended to the journal.
    pub journal_bytes: Counter,
    /// Events waiting for the committer.
    pub queue_depth: Gauge,
    /// Live profiles.
    pub profiles: Gauge,
    /// Bytes that the identity graph holds.
    pub graph_bytes: Gauge,
    /// Profiles in memory.
    pub active_profiles: Gauge,
    identity_changes: Each<{ ChangeKind::ALL.len() }>,
    /// Events that are not counted by their type: see `limits.event_types`.
    pub untyped_events: Counter,
    link_refusals: Each<{ Obstacle::ALL.len() }>,
    /// Snapshots taken.
    pub snapshots: Counter,
    snapshot_seconds: Histogram,
    recovery_done: Gauge,
    recovery_total: Gauge,
    /// Rebuilds of the whole state after a panic.
    pub state_rebuilds: Counter,
    /// Profile actors that were rebuilt after a panic.
    pub actor_restarts: Counter,
    /// Lines of the log that were lost since stderr does not take them as fast as they come.
    log_lines_dropped: Gauge,
    /// Erasures, and snapshots that leave the erased out, that wait for room on the disk.
    pub waiting_for_room: Gauge,
    /// Clients of the event stream.
    pub streams: Gauge,
    /// Backtests and explanations that did not see everything.
    pub trials_cut: Counter,
    /// Secrets refused by `limits.secrets` and `limits.secret`.
    pub secrets_refused: Counter,
    /// Pages of lists that were full before they had as many items as asked for.
    pub pages_cut: Counter,
    /// Pages of events that waited for others to be sent.
    pub pages_waited: Counter,
    /// Events of which campaigns' conditions did not see everything.
    pub conditions_bounded: Counter,
    /// Requests whose body had to wait for room.
    pub bodies_waited: Counter,
    /// Deliveries that campaigns enqueued.
    pub deliveries_enqueued: Counter,
    deliveries_ended: Each<3>,
    attempts: Each<6>,
    attempt_seconds: Histogram,
    /// Deliveries to be sent.
    pub deliveries_pending: Gauge,
    /// Deliveries that are in the outbox, those that are over included.
    pub deliveries_kept: Gauge,
    /// Deliveries that are asked about, called or journalled.
    pub deliveries_in_flight: Gauge,
    /// Bytes kept of deliveries that no snapshot holds yet.
    pub deliveries_unsaved: Gauge,
    breakers: Family<[(&'static str, String); 1], Gauge>,
    times_unread: Family<[(&'static str, String); 1], Counter>,
    events_lossy: Family<[(&'static str, String); 1], Counter>,
    /// Values of consent traits that are no decision, and read as a refusal.
    pub consents_unread: Counter,
}

/// What a peer was too slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It said nothing between requests.
    Idle,
    /// A request's head, or what stands between two of them, did not come.
    Head,
    /// It did not read its answer.
    Reader,
}

impl Slow {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Head, Self::Reader];

    /// The stable name, as metrics show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "head",
            Self::Reader => "reader",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("selfsame");
        let r = &mut registry;
        let events = family(r, "events", "Events by status");
        let quarantined = family(r, "quarantined", "Quarantined events by reason");
        let passed_over =
            family(r, "identifiers_passed_over", "Identifiers that identify nobody, by reason");
        let refusals = family(r, "refusals", "Refused requests by code");
        let slow = family(r, "connections_ended", "Connections ended for slowness, by at what");
        let changes = family(r, "identity_changes", "Merges, unmerges and other changes, by kind");
        let links = family(r, "link_refusals", "Links refused by a rule, by reason");
        let ended = family(r, "deliveries_ended", "Deliveries that are over, by how");
        let attempts = family(r, "delivery_attempts", "Calls by what came back");
        let times_unread: Family<[(&'static str, String); 1], Counter> = Family::default();
        let help = "Events whose time stands where the source says, and cannot be read";
        r.register("times_unread", help, Family::clone(&times_unread));
        let events_lossy: Family<[(&'static str, String); 1], Counter> = Family::default();
        let help = "Events with a byte that has no character in the declared encoding";
        r.register("events_lossy", help, Family::clone(&events_lossy));
        let breakers: Family<[(&'static str, String); 1], Gauge> = Family::default();
        let help = "Whether the breaker of an endpoint is open";
        r.register("endpoint_breaker_open", help, Family::clone(&breakers));
        // From 50 µs to 26 s; from 10 µs to 5 s.
        let latency = || Histogram::new(exponential_buckets(50e-6, 2.0, 20));
        let disk = || Histogram::new(exponential_buckets(10e-6, 2.0, 20));
        let group = Histogram::new(exponential_buckets(1.0, 2.0, 14));
        Self {
            events: Each::new(&events, "status", STATUSES),
            quarantined: Each::new(&quarantined, "reason", Reason::ALL.map(Reason::name)),
            passed_over: Each::new(&passed_over, "reason", PassedOver::ALL.map(PassedOver::name)),
            refusals: Each::new(&refusals, "code", Code::ALL.map(Code::name)),
            slow: Each::new(&slow, "at", Slow::ALL.map(Slow::name)),
            accepted: counter(r, "collect_accepted", "Collect requests answered with success"),
            collect_seconds: seconds(r, "collect", "Time to answer a collect request", latency()),
            fsync_seconds: seconds(r, "journal_fsync", "Time of one fdatasync", disk()),
            group_events: histogram(r, "journal_group_events", "Events per group", group),
            journal_bytes: counter(r, "journal_written_bytes", "Bytes appended to the journal"),
            queue_depth: gauge(r, "queue_depth", "Events waiting for the committer"),
            profiles: gauge(r, "profiles", "Live profiles"),
            graph_bytes: gauge(r, "graph_bytes", "Bytes that the identity graph holds"),
            active_profiles: gauge(r, "active_profiles", "Profiles in memory"),
            identity_changes: Each::new(&changes, "kind", ChangeKind::ALL.map(ChangeKind::name)),
            untyped_events: counter(r, "untyped_events", "Events beyond limits.event_types"),
            link_refusals: Each::new(&links, "reason", Obstacle::ALL.map(Obstacle::name)),
            snapshots: counter(r, "snapshots", "Snapshots taken"),
            snapshot_seconds: seconds(r, "snapshot", "Time of one snapshot", latency()),
            recovery_done: gauge(r, "recovery_done_records", "Records that the start has replayed"),
            recovery_total: gauge(r, "recovery_total_records", "Records that the start replays"),
            actor_restarts: counter(r, "actor_restarts", "Actors rebuilt after a panic"),
            state_rebuilds: counter(r, "state_rebuilds", "Rebuilds of the state after a panic"),
            streams: gauge(r, "event_streams", "Clients of the event stream"),
            log_lines_dropped: gauge(
                r,
                "log_lines_dropped",
                "Lines of the log that were lost, since nobody reads it as fast as they come",
            ),
            waiting_for_room: gauge(
                r,
                "erasures_waiting_for_room",
                "Erasures whose files wait for room on the disk",
            ),
            trials_cut: counter(r, "trials_cut", "Backtests and explanations cut by a limit"),
            secrets_refused: counter(r, "secrets_refused", "Secrets refused by a limit"),
            pages_cut: counter(r, "pages_cut", "Pages of lists ended by limits.page"),
            pages_waited: counter(r, "pages_waited", "Pages of events that limits.pages let wait"),
            conditions_bounded: counter(
                r,
                "conditions_bounded",
                "Events beyond limits.condition_elements",
            ),
            bodies_waited: counter(r, "bodies_waited", "Bodies that waited for limits.bodies"),
            deliveries_enqueued: counter(r, "deliveries_enqueued", "Deliveries enqueued"),
            deliveries_ended: Each::new(&ended, "state", ENDS),
            attempts: Each::new(&attempts, "outcome", OUTCOMES),
            attempt_seconds: seconds(r, "delivery_attempt", "Time of one call", latency()),
            deliveries_pending: gauge(r, "deliveries_pending", "Deliveries to be sent"),
            deliveries_kept: gauge(r, "deliveries_kept", "Deliveries in the outbox"),
            deliveries_in_flight: gauge(r, "deliveries_in_flight", "Deliveries being tried"),
            deliveries_unsaved: gauge(r, "deliveries_unsaved_bytes", "Kept, in no snapshot yet"),
            breakers,
            times_unread,
            events_lossy,
            consents_unread: counter(
                r,
                "consents_unread",
                "Values of consent traits that are no decision, and read as a refusal",
            ),
            registry,
        }
    }

    /// Counts what became of an event.
    pub fn count_event(&self, status: Status) {
        let place = match status {
            Status::Stored => 0,
            Status::ProfileLess => 1,
            Status::Duplicate => 2,
            Status::Dropped => 3,
            Status::Quarantined(reason) => {
                self.quarantined.count(reason as usize); // `ALL` is in the order of declaration
                4
            }
        };
        self.events.count(place);
    }

    /// Counts something that looked like an identifier.
    pub fn count_passed_over(&self, why: PassedOver) {
        let place = PassedOver::ALL.iter().position(|one| *one == why);
        self.passed_over.count(place.unwrap_or(usize::MAX));
    }

    /// Counts a connection that was ended.
    pub fn count_slow(&self, why: Slow) {
        self.slow.count(why as usize); // `ALL` is in the order of declaration
    }

    /// Counts an event of a source that was read with loss.
    pub fn count_lossy(&self, source: &str) {
        self.events_lossy.get_or_create(&[("source", source.to_owned())]).inc();
    }

    /// Counts an event of a source whose time cannot be read.
    pub fn count_unread_time(&self, source: &str) {
        self.times_unread.get_or_create(&[("source", source.to_owned())]).inc();
    }

    /// Counts a refused request.
    pub fn count_refusal(&self, code: Code) {
        self.refusals.count(code as usize); // `ALL` is in the order of declaration
    }

    /// Counts deliveries that are over.
    pub fn count_ended(&self, delivered: u64, dead: u64, cancelled: u64) {
        self.deliveries_ended.add([delivered, dead, cancelled]);
    }

    /// Shows how many records the start has replayed, and how many it replays.
    pub fn set_recovery(&self, done: u64, total: u64) {
        self.recovery_done.set(i64::try_from(done).unwrap_or(i64::MAX));
        self.recovery_total.set(i64::try_from(total).unwrap_or(i64::MAX));
    }

    /// Counts changes of identity, by number of the kind.
    pub fn count_identity_changes(&self, counts: [u64; ChangeKind::ALL.len()]) {
        self.identity_changes.add(counts);
    }

    /// Counts links that were refused, in the order of [`Obstacle::ALL`].
    pub fn count_link_refusals(&self, counts: [u64; Obstacle::ALL.len()]) {
        self.link_refusals.add(counts);
    }

    /// Counts a call by its status, or that none came back, and notes how long it took.
    pub fn count_attempt(&self, status: Option<u16>, took: Duration) {
        let place = match status {
            Some(status @ 200..=599) => usize::from(status / 100 - 2),
            Some(_) => 4,
            None => 5,
        };
        self.attempts.count(place);
        self.attempt_seconds.observe(took.as_secs_f64());
    }

    /// Shows whether the breaker of an endpoint is open.
    pub fn set_breaker(&self, campaign: &str, step: u16, is_open: bool) {
        let label = [("endpoint", format!("{campaign}/{step}"))];
        self.breakers.get_or_create(&label).set(i64::from(is_open));
    }

    /// Notes how long the answer to a sender took.
    pub fn observe_collect(&self, took: Duration) {
        self.collect_seconds.observe(took.as_secs_f64());
    }

    /// Notes how long an fdatasync took.
    pub fn observe_fsync(&self, took: Duration) {
        self.fsync_seconds.observe(took.as_secs_f64());
    }

    /// Notes how long a snapshot took.
    pub fn observe_snapshot(&self, took: Duration) {
        self.snapshots.inc();
        self.snapshot_seconds.observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        self.log_lines_dropped.set(super::lines::dropped() as i64);
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _written = encode(&mut text, &self.registry);
        text
    }
}

fn family(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn histogram(registry: &mut Registry, name: &str, help: &str, histogram: Histogram) -> Histogram {
    registry.register(name, help, histogram.clone());
    histogram
}

fn seconds(registry: &mut Registry, name: &str, help: &str, histogram: Histogram) -> Histogram {
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_count_by_how_they_went() {
        let metrics = Metrics::new();
        for status in [Some(204), Some(302), Some(404), Some(503), Some(999), None] {
            metrics.count_attempt(status, Duration::from_millis(3));
        }
        metrics.count_ended(4, 0, 2);
        metrics.set_breaker("cart", 1, true);
        let text = metrics.text();
        for outcome in OUTCOMES {
            let line = format!("selfsame_delivery_attempts_total{{outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&line), "{line}");
        }
        for line in [
            "selfsame_deliveries_ended_total{state=\"delivered\"} 4\n",
            "selfsame_deliveries_ended_total{state=\"dead\"} 0\n",
            "selfsame_deliveries_ended_total{state=\"cancelled\"} 2\n",
            "selfsame_endpoint_breaker_open{endpoint=\"cart/1\"} 1\n",
            "selfsame_delivery_attempt_seconds_count 6\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_code_and_reason_counts_under_its_own_name() {
        let metrics = Metrics::new();
        for code in Code::ALL {
            metrics.count_refusal(code);
        }
        for reason in Reason::ALL {
            metrics.count_event(Status::Quarantined(reason));
        }
        let text = metrics.text();
        for code in Code::ALL {
            let line = format!("selfsame_refusals_total{{code=\"{}\"}} 1\n", code.name());
            assert!(text.contains(&line), "{line}");
        }
        for reason in Reason::ALL {
            let line = format!("selfsame_quarantined_total{{reason=\"{}\"}} 1\n", reason.name());
            assert!(text.contains(&line), "{line}");
        }
        assert!(text.contains("selfsame_events_total{status=\"quarantined\"} 8\n"));
    }
}
