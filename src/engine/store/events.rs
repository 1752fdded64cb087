//! Stored events read again.

use crate::domain::event::Event;
use crate::domain::id::Sequence;
use crate::engine::state::revisions::Rereadings;
use crate::engine::store::fragments::RowError;
use crate::journal::{JournalError, JournalReader, Record};
use crate::records::{ActRecord, RecordError, Revised, decode_event, kind};

/// Why a fragment could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// Why an event of the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The file is damaged or cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The journal's events as they read now.
#[derive(Clone, Debug)]
pub struct Events {
    reader: JournalReader,
    rereadings: Rereadings,
    /// The act that was needed last: one holds many events, and lists go through them in order.
    act: Option<(Sequence, Vec<Revised>)>,
}

impl Events {
    /// The events of a journal.
    pub fn new(reader: &JournalReader, rereadings: &Rereadings) -> Self {
        Self { reader: reader.clone(), rereadings: rereadings.clone(), act: None }
    }

    /// An event; `None` where the record is no event, or no longer kept.
    ///
    /// # Errors
    /// When the journal is damaged or cannot be read.
    pub fn read(&mut self, sequence: Sequence) -> Result<Option<Event>, EventError> {
        let record = self.reader.read(sequence)?.filter(|record| record.kind == kind::EVENT);
        record.map(|record| self.decoded(sequence, &record)).transpose()
    }

    /// An event, where it is still kept and can be read.
    pub(in crate::engine) fn find(&mut self, sequence: Sequence) -> Option<Box<Event>> {
        self.read(sequence).ok().flatten().map(Box::new)
    }

    /// The event of a record.
    ///
    /// # Errors
    /// When the record, or the act that holds how it reads now, cannot be read.
    pub(in crate::engine) fn decoded(
        &mut self,
        sequence: Sequence,
        record: &Record,
    ) -> Result<Event, EventError> {
        if let Some(act) = self.rereadings.act_of(sequence)
            && let Some(revised) = self.revised(sequence, act)?
        {
            return Ok(revised);
        }
        Ok(decode_event(record.version, &record.bytes)?)
    }

    fn revised(&mut self, event: Sequence, act: Sequence) -> Result<Option<Event>, EventError> {
        if self.act.as_ref().is_none_or(|(known, _)| *known != act) {
            let Some(record) = self.reader.read(act)? else { return Ok(None) };
            let events = match ActRecord::decode(record.version, &record.bytes)? {
                ActRecord::Reprocess { events, .. } => events,
                _ => Vec::new(),
            };
            self.act = Some((act, events));
        }
        let all = self.act.iter().flat_map(|(_, all)| all);
        let mut own = all.filter(|one| one.sequence == event);
        Ok(own.next().map(|one| decode_event(one.version, &one.bytes)).transpose()?)
    }
}
