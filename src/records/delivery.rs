//! What a snapshot row holds of a delivery.

use super::{FragmentKey, RecordError, decode, encode_versioned, versioned};
use crate::domain::id::Sequence;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Bits of a delivery's number for its place among those of one record, whose sequence is before them.
pub const DELIVERY_BITS: u32 = 16;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its number.
    pub number: u64,
    /// Its campaign and step: a place among its page's endpoints.
    pub endpoint: u32,
    /// The fragment that its run belongs to.
    pub fragment: FragmentKey,
    /// The sequence of the event that triggered its run.
    pub run: Sequence,
    /// When that event was received.
    pub began_at: Timestamp,
    /// When that event occurred.
    pub occurred_at: Timestamp,
    /// Whether its sender said so.
    pub is_said: bool,
    /// How much longer ago than it was enqueued its age counts from, in seconds.
    pub late_s: u32,
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

/// Deliveries that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    /// Campaigns and steps, from 0, that these deliveries name.
    pub endpoints: Vec<(Box<str>, u16)>,
    /// In the order of their numbers.
    pub rows: Vec<DeliveryRow>,
}

#[derive(Serialize, Deserialize)]
struct DeliveryPageV1 {
    endpoints: Vec<(Box<str>, u16)>,
    rows: Vec<DeliveryRowV1>,
}

/// Each number says how far it is from one that is near, as most of these are small: a million rows
/// are read at once when the engine starts.
#[derive(Serialize, Deserialize)]
struct DeliveryRowV1 {
    /// From the delivery before.
    number: u64,
    endpoint: u32,
    fragment: FragmentKey,
    /// Back from the record that enqueued it, whose sequence is the upper 48 bits of the number.
    run: u64,
    /// From that of the delivery before.
    began_at: i64,
    /// From `began_at`.
    enqueued_at: i64,
    /// From `enqueued_at`.
    next_attempt_at: i64,
    state: DeliveryState,
    attempts: u32,
    before: u32,
}

/// From version 2 on, a page says of each delivery when its trigger occurred.
#[derive(Serialize, Deserialize)]
struct DeliveryPageV2 {
    page: DeliveryPageV1,
    /// In the order of the rows: before `began_at`, whether it was said, and [`DeliveryRow::late_s`].
    occurred: Vec<(i64, bool, u32)>,
}

/// The bytes of a page of deliveries.
///
/// # Errors
/// When the page is larger than a row may be.
pub fn encode_deliveries(page: &DeliveryPage) -> Result<Vec<u8>, RecordError> {
    let (mut number, mut began_at) = (0u64, 0i64);
    let row = |row: &DeliveryRow| {
        let v1 = DeliveryRowV1 {
            number: row.number.wrapping_sub(number),
            endpoint: row.endpoint,
            fragment: row.fragment,
            run: (row.number >> DELIVERY_BITS).wrapping_sub(row.run),
            began_at: row.began_at.0.wrapping_sub(began_at),
            enqueued_at: row.enqueued_at.0.wrapping_sub(row.began_at.0),
            next_attempt_at: row.next_attempt_at.0.wrapping_sub(row.enqueued_at.0),
            state: row.state,
            attempts: row.attempts,
            before: row.before,
        };
        (number, began_at) = (row.number, row.began_at.0);
        v1
    };
    let rows = page.rows.iter().map(row).collect();
    let occurred = |row: &DeliveryRow| {
        (row.began_at.0.wrapping_sub(row.occurred_at.0), row.is_said, row.late_s)
    };
    let occurred = page.rows.iter().map(occurred).collect();
    let page = DeliveryPageV1 { endpoints: page.endpoints.clone(), rows };
    encode_versioned(WHAT, 2, &DeliveryPageV2 { page, occurred })
}

/// Reads a page of deliveries.
///
/// # Errors
/// When the bytes do not decode.
pub fn decode_deliveries(bytes: &[u8]) -> Result<DeliveryPage, RecordError> {
    let (v1, occurred) = match versioned(WHAT, bytes, 2)? {
        (1, bytes) => (decode::<DeliveryPageV1>(WHAT, bytes)?, Vec::new()),
        (_, bytes) => {
            let DeliveryPageV2 { page, occurred } = decode(WHAT, bytes)?;
            (page, occurred)
        }
    };
    let mut occurred = occurred.into_iter();
    let (mut number, mut began_at) = (0u64, 0i64);
    let row = |v1: DeliveryRowV1| {
        number = number.wrapping_add(v1.number);
        began_at = began_at.wrapping_add(v1.began_at);
        let enqueued_at = began_at.wrapping_add(v1.enqueued_at);
        // Before version 2 nothing was said of it, and the age counted from the enqueueing.
        let (before, is_said, late_s) = occurred.next().unwrap_or((0, false, 0));
        DeliveryRow {
            number,
            endpoint: v1.endpoint,
            fragment: v1.fragment,
            run: (number >> 16).wrapping_sub(v1.run),
            began_at: Timestamp(began_at),
            occurred_at: Timestamp(began_at.wrapping_sub(before)),
            is_said,
            late_s,
            enqueued_at: Timestamp(enqueued_at),
            next_attempt_at: Timestamp(enqueued_at.wrapping_add(v1.next_attempt_at)),
            state: v1.state,
            attempts: v1.attempts,
            before: v1.before,
        }
    };
    let rows = v1.rows.into_iter().map(row).collect();
    Ok(DeliveryPage { endpoints: v1.endpoints, rows })
}

const WHAT: &str = "a page of deliveries";
