//! The outbox in snapshots: each run of its table is a row, a page of deliveries, under `q` and the
//! run's name.

use crate::engine::state::campaigns::outbox::{Delivery, EndpointNumber, Outbox, Place};
use crate::engine::state::row::Row;
use crate::engine::store::rows::error::LoadError;
use crate::records;
use crate::records::{DeliveryPage, DeliveryRow, RecordError, keys};
use crate::snapshot::SnapshotError;
use std::collections::BTreeMap;

impl Outbox {
    /// The rows that changed since the last call.
    ///
    /// # Errors
    /// When a row is larger than a row may be.
    pub(in crate::engine) fn take_rows(&mut self) -> Result<Vec<Row>, RecordError> {
        let mut rows = self.kept.take_rows();
        for name in self.all.take_changed() {
            let mut key = vec![keys::DELIVERIES];
            key.extend_from_slice(&name.to_be_bytes());
            let run = self.all.run(name);
            let row = (!run.is_empty()).then(|| records::encode_deliveries(&self.page(run)));
            rows.push((key, row.transpose()?));
        }
        Ok(rows)
    }

    fn page(&self, run: &[(u64, Delivery)]) -> DeliveryPage {
        let mut places: BTreeMap<EndpointNumber, u32> = BTreeMap::new();
        let mut endpoints = Vec::new();
        let row = |(number, one): &(u64, Delivery)| {
            let endpoint = *places.entry(one.endpoint).or_insert_with(|| {
                let (campaign, step) = self.endpoint(one.endpoint);
                endpoints.push((campaign.into(), step));
                // At most one for each delivery of the run.
                endpoints.len() as u32 - 1
            });
            DeliveryRow {
                number: *number,
                endpoint,
                fragment: one.fragment(),
                run: one.run,
                began_at: one.began_at,
                occurred_at: one.occurred_at,
                is_said: one.is_said,
                late_s: one.late_s,
                enqueued_at: one.enqueued_at,
                next_attempt_at: one.next_attempt_at,
                state: one.state,
                attempts: one.attempts,
                before: one.before,
            }
        };
        let rows = run.iter().map(row).collect();
        DeliveryPage { endpoints, rows }
    }

    /// The outbox of a snapshot's rows, in the order of their keys.
    ///
    /// # Errors
    /// When the rows cannot be read, or do not fit each other.
    pub(in crate::engine) fn load(
        rows: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), SnapshotError>>,
    ) -> Result<Self, LoadError> {
        let mut outbox = Self::default();
        // Sorted at once: a tree that grows by single steps takes longer, and half as much room again.
        let (mut lanes, mut over) = (Vec::new(), Vec::new());
        for row in rows {
            let (key, row) = row?;
            let name = key.get(1..9).and_then(|bytes| bytes.try_into().ok());
            let name = name.map_or(0, u64::from_be_bytes);
            let run = outbox.run_of(records::decode_deliveries(&row)?)?;
            for (number, one) in &run {
                match one.is_pending() {
                    true => lanes.push(Place::new(one.endpoint, one.fragment, *number)),
                    false => over.push(*number),
                }
            }
            if !outbox.all.restore(name, run) {
                return Err(unfit(name));
            }
        }
        outbox.lanes = lanes.into_iter().collect();
        outbox.over = over.into_iter().collect();
        Ok(outbox)
    }

    fn run_of(&mut self, page: DeliveryPage) -> Result<Vec<(u64, Delivery)>, LoadError> {
        let DeliveryPage { endpoints, rows } = page;
        let endpoints: Vec<EndpointNumber> =
            endpoints.into_iter().map(|one| self.number_of(one)).collect();
        let delivery = |row: DeliveryRow| {
            let endpoint = endpoints.get(row.endpoint as usize);
            let delivery = Delivery {
                endpoint: *endpoint.ok_or_else(|| unfit(row.number))?,
                state: row.state,
                fragment: row.fragment.into(),
                run: row.run,
                began_at: row.began_at,
                occurred_at: row.occurred_at,
                is_said: row.is_said,
                late_s: row.late_s,
                enqueued_at: row.enqueued_at,
                next_attempt_at: row.next_attempt_at,
                attempts: row.attempts,
                before: row.before,
            };
            Ok((row.number, delivery))
        };
        rows.into_iter().map(delivery).collect()
    }
}

fn unfit(number: u64) -> LoadError {
    LoadError::Inconsistent(format!("the page of deliveries at {number}"))
}
