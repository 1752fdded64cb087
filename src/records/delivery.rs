//! What a snapshot row holds of a delivery.

use super::FragmentKey;
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Waiting, or to be tried again.
    Pending,
    /// Answered with 2xx.
    Delivered,
    /// Given up.
    Dead,
    /// Not wanted any more.
    Cancelled,
}

impl DeliveryState {
    /// As the API shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A delivery, without what is sent and how attempts went, which have rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// Its number.
    pub number: u64,
    /// The campaign.
    pub campaign: Box<str>,
    /// The step, from 0.
    pub step: u16,
    /// The fragment that its run belongs to.
    pub fragment: FragmentKey,
    /// The sequence of the event that triggered its run.
    pub run: Sequence,
    /// When that event was received.
    pub began_at: Timestamp,
    /// By journal time.
    pub enqueued_at: Timestamp,
    /// When it is tried next; meaningless unless pending.
    pub next_attempt_at: Timestamp,
    /// How it stands.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many of them were made before it was last replayed.
    pub before: u32,
}
