//! One struct per section of the configuration: every key with its meaning, unit and default.
//!
//! `config/default.toml` shows the same keys to users; a test keeps both in agreement.

use super::units::{ByteSize, Rate, Span, address, maybe_address};
use crate::domain::network::Network;
use crate::domain::settings::DecidingLimits;
use crate::telemetry::{LogFormat, LogLevel};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// `[server]`: where the program listens and keeps its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where senders deliver; the admin API is there too unless it has an address of its own.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// The one folder that holds everything.
    pub data: PathBuf,
    /// Networks that outgoing webhooks may reach besides the public internet.
    pub allow_networks: Vec<Network>,
    /// HTTP threads; by default one per core, at most 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// How long a stop waits for requests under way before it closes their connections.
    pub drain: Span,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 7676)),
            data: PathBuf::from("data"),
            allow_networks: Vec::new(),
            workers: None,
            drain: Span::seconds(5),
        }
    }
}

/// `[admin]`: who may read and steer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// An address of its own; by default the server's.
    #[serde(deserialize_with = "maybe_address", skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The bearer token's reference: `env:NAME`, `file:path` or `secret:NAME`. Needed unless on loopback.
    #[serde(skip_serializing)]
    pub token: Option<crate::secrets::Secret>,
}

/// `[journal]`: the record of everything accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// How long events are kept; by default for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<Span>,
    /// How much is kept; by default everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<ByteSize>,
    /// A new file is begun after so many bytes.
    pub segment: ByteSize,
    /// Below so much free space, collecting answers 503 `storage_full` and reading goes on.
    pub free_space: ByteSize,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            retain: None,
            max_bytes: None,
            segment: ByteSize::mib(64),
            free_space: ByteSize::mib(256),
        }
    }
}

/// `[snapshots]`: how much a restart has to replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshots {
    /// The longest time between two snapshots while events arrive.
    pub every: Span,
    /// Also after so many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_events: Option<u64>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { every: Span::seconds(60), every_events: None }
    }
}

/// `[memory]`: what is kept ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Profiles kept in memory; more are passivated, the longest idle first.
    pub active_profiles: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { active_profiles: 200_000 }
    }
}

/// `[log]`: what is said on stderr while the program runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Lines for people (`text`), or one JSON object a line (`json`).
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or directives such as
    /// `info,selfsame::engine=debug`.
    pub level: LogLevel,
}

/// `[limits]`: what is refused or set aside, before anything has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A request's body, before and after decompression; more answers 413 `body_too_large`.
    pub body: ByteSize,
    /// The large bodies (over 16 KiB, as they come and decoded) of all requests under way, and as
    /// much again for the events that batches become; more wait until there is room, and answer 503
    /// `overloaded` when there is none within `slow_request`.
    pub bodies: ByteSize,
    /// Nesting of JSON, at most 512; deeper is quarantined as `too_deep`.
    pub depth: usize,
    /// Keys in one event; more is quarantined as `too_many_keys`.
    pub keys: usize,
    /// Events in one batch; more is quarantined as `batch_too_large`.
    pub batch: usize,
    /// Events waiting for the journal; more answers 503 `overloaded`.
    pub queue: usize,
    /// Bytes of the events waiting for the journal; more answers 503 `overloaded`.
    pub queue_bytes: ByteSize,
    /// Different identifiers of one event; more is quarantined as `too_many_identifiers`.
    pub event_identifiers: u32,
    /// Identifiers of one profile, without sessions and mail hashes; more are not linked.
    pub identifiers: u32,
    /// Edges of one raw component of evidence; above, nothing more is linked to it.
    pub component: u32,
    /// Event types of one fragment that are counted one by one; the first by name.
    pub event_types: u32,
    /// Values that a trait folded as a `set` keeps.
    pub set_values: u32,
    /// One trait value in JSON.
    pub trait_bytes: u32,
    /// Profiles, and eight times as many identifiers, sessions and origins; what would add to them is
    /// quarantined as `profiles_full`, and processed again on request once there is room.
    pub profiles: u32,
    /// Requests a second (minute, hour) of a source that neither verifies nor has a `rate_limit` of its
    /// own; more answer 429 `rate_limited`.
    pub unverified_rate: Rate,
    /// Elements of an array that one condition of a campaign looks at; the rest is left out, which
    /// previews and explanations tell.
    pub condition_elements: u32,
    /// Deliveries that are over and still listed; the oldest are forgotten. About 100 bytes of
    /// memory each; what was sent and how it went is on disk.
    pub deliveries: u32,
    /// What deliveries send and how attempts went, while no snapshot holds it; more answers 503
    /// `overloaded` until one does. One is taken at a quarter of it.
    pub unsaved: ByteSize,
    /// The events of one page of a list; larger ones come in more pages, each of one at least.
    pub page: ByteSize,
    /// Pages of events that are read, or sent, at a time: each holds up to `page`. More wait, and answer
    /// 503 `overloaded` after `slow_request`.
    pub pages: usize,
    /// A request's path and query; more answers 414 `url_too_long`.
    pub url: ByteSize,
    /// All headers of a request; more answers 431 `headers_too_large`.
    pub headers: ByteSize,
    /// Connections at a time, over all listeners; more wait in the system's queue.
    pub connections: usize,
    /// The time for a request's head, and for what moves slower than `least_rate`: a body (408
    /// `too_slow`), or an answer that is not read (the connection ends).
    pub slow_request: Span,
    /// Bytes a second that bodies and answers move at; slower ends after `slow_request`.
    pub least_rate: ByteSize,
    /// How long an idle connection is kept.
    pub keep_alive: Span,
    /// Secrets in the store; one more is refused as `invalid_request`.
    pub secrets: usize,
    /// One secret of the store; a longer one is refused as `invalid_request`.
    pub secret: ByteSize,
    /// Clients of the event stream at a time; more answers 503 `overloaded`.
    pub streams: usize,
    /// Records of the journal that a backtest reads; of more, the latest.
    pub backtest: u64,
    /// Events of a profile that a campaign is explained by, or previewed with one of the past; of
    /// more, the latest.
    pub explain: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let deciding = DecidingLimits::default();
        Self {
            body: ByteSize::mib(1),
            bodies: ByteSize::mib(8),
            depth: 64,
            keys: 10_000,
            batch: 5_000,
            queue: 8_192,
            queue_bytes: ByteSize::mib(64),
            event_identifiers: deciding.event_identifiers,
            identifiers: deciding.identifiers,
            component: deciding.component,
            event_types: deciding.event_types,
            set_values: deciding.set_values,
            trait_bytes: deciding.trait_bytes,
            profiles: deciding.profiles,
            unverified_rate: Rate::a_second(100_000),
            condition_elements: deciding.condition_elements,
            deliveries: deciding.deliveries,
            unsaved: ByteSize::mib(128),
            page: ByteSize::mib(2),
            pages: 2,
            url: ByteSize::kib(16),
            headers: ByteSize::kib(32),
            connections: 10_000,
            slow_request: Span::seconds(10),
            least_rate: ByteSize::kib(8),
            keep_alive: Span::seconds(75),
            secrets: 1_000,
            secret: ByteSize::kib(64),
            streams: 64,
            backtest: 2_000_000,
            explain: 10_000,
        }
    }
}

impl Limits {
    /// Those that decide about people, and so belong to the journal.
    pub fn deciding(&self) -> DecidingLimits {
        DecidingLimits {
            event_identifiers: self.event_identifiers,
            identifiers: self.identifiers,
            component: self.component,
            event_types: self.event_types,
            set_values: self.set_values,
            trait_bytes: self.trait_bytes,
            deliveries: self.deliveries,
            condition_elements: self.condition_elements,
            profiles: self.profiles,
        }
    }
}
