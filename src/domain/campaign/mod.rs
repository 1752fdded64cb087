//! Campaigns: trigger → webhook → stop, as pure functions of settings, profile, event and time.
//!
//! [`Campaigns::compile`] checks what users wrote and compiles it. [`Campaigns::on_event`] and
//! [`Campaigns::on_timer`] move the runs of one profile on and answer with [`Decision`]s, which the
//! engine makes durable. What a run leaves behind is kept with the fragment whose event began it
//! ([`FragmentRuns`]), so a merge or an unmerge of profiles moves it along like everything else, and
//! a replay of the journal comes to the same decisions.

mod builder;
mod calling;
mod compile;
mod condition;
mod config;
mod counts;
mod ended;
mod fields;
mod late;
mod matching;
mod model;
mod preview;
mod request;
pub mod retry;
mod run;
mod state;

pub use calling::CONCURRENCY_MOST;
pub use compile::Campaigns;
pub use condition::RuleReport;
pub use config::{CampaignConfig, FieldConfig, FullField, RetryConfig};
pub use counts::{Counted, RecentCounts};
pub use ended::Ended;
pub use model::{Calling, Campaign, HeaderValue, Method, Order, Restart, Standing, Step, Webhook};
pub use preview::{Preview, PreviewRequest};
pub use request::{Rendered, Unsendable, webhook_id};
pub use run::{Decision, Due, Enqueued, Held, Pending, Recheck};
pub use state::{CampaignState, FragmentRuns, Moment, Run};

use crate::domain::graph::{FragmentIndex, Shown};
use crate::domain::id::Sequence;
use crate::domain::profile::Folded;
use crate::domain::time::Timestamp;

/// What conditions and fields may know of a profile, after the event's merges.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The profile's id.
    pub id: &'a str,
    /// Whether it has an identifier of a type declared `known`.
    pub known: bool,
    /// Traits, counters, first and last event time.
    pub folded: &'a Folded,
    /// Its identifiers; only those whose status is `effective` count.
    pub identifiers: &'a [Shown],
}

/// What conditions and fields may know of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventFacts<'a> {
    /// Its place in the journal; 0 for one that is only imagined, in a preview.
    pub sequence: Sequence,
    /// Its id; decides the ids of the webhooks that it causes.
    pub id: &'a str,
    /// Its type, lower case.
    pub kind: &'a str,
    /// Its source's id.
    pub source: &'a str,
    /// Its session.
    pub session: Option<&'a str>,
    /// When it occurred.
    pub occurred_at: Timestamp,
    /// Whether its sender said so.
    pub is_said: bool,
    /// The payload: a JSON object that [`crate::domain::json::check`] has passed, or empty where it cannot
    /// be decoded.
    pub properties: &'a str,
    /// The fragment that it belongs to.
    pub fragment: FragmentIndex,
}

#[cfg(test)]
mod tests;
