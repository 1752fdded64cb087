//! The check of a whole data folder: bytes, rows, invariants, and that the snapshot says what the
//! journal says.

use super::folder::{Folder, FolderError, journal_folder};
use super::journal::{self, VerifyError};
use crate::domain::id::Sequence;
use crate::engine::offline::OfflineError;
use crate::engine::{Fault, RowError};
use crate::records::{RecordError, kind};
use crate::secrets::StoreError;
use crate::secrets::store::Store;
use crate::telemetry::progress::Progress;
use std::path::Path;

/// Problems that are told at most.
const PROBLEMS_MAX: usize = 20;

/// Records that were passed over and are named at most.
const PASSED_MAX: usize = 20;

/// What was checked, and what was found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was checked and holds, a sentence each.
    pub holds: Vec<String>,
    /// What does not hold, a sentence each.
    pub wrong: Vec<String>,
}

/// Why the check could not go on; whatever it is, the folder is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Unverifiable {
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A checksum is wrong, or something is missing.
    #[error(transparent)]
    Bytes(#[from] VerifyError),
    /// The sealed secrets do not open.
    #[error(transparent)]
    Secrets(#[from] StoreError),
    /// A record does not decode.
    #[error("the record at sequence {at}: {cause}")]
    Record {
        /// Its sequence.
        at: u64,
        /// Why.
        cause: RecordError,
    },
    /// A row is missing or damaged.
    #[error(transparent)]
    Row(#[from] OfflineError),
}

impl From<RowError> for Unverifiable {
    fn from(error: RowError) -> Self {
        Self::Row(error.into())
    }
}

/// Compares every checksum, decodes every record and row, checks the state's invariants, replays
/// the journal from its beginning, and compares what comes of it with snapshot and tail.
///
/// # Errors
/// At the first damage; what merely disagrees is in the verdict.
///
/// `faults` are for tests.
pub fn verify(data: &Path, faults: &[Fault]) -> Result<Verdict, Unverifiable> {
    let mut verdict = Verdict::default();
    let mut progress = Progress::new("checking", "bytes");
    let told = &mut |at: crate::journal::Progress| progress.set(at.bytes_done, at.bytes_total);
    let checked = journal::verify(&journal_folder(data)?, &data.join("checkpoint"), told)?;
    progress.finish();
    let report = &checked.report;
    verdict.holds(format!(
        "every checksum of {} groups in {} segments, {} bytes",
        report.groups, report.segments, report.bytes
    ));
    if report.torn_bytes > 0 {
        verdict.holds(format!(
            "a torn tail of {} bytes, never acknowledged, which the next start drops",
            report.torn_bytes
        ));
    }
    let secrets = Store::open(data)?.list().len();
    if secrets > 0 {
        verdict.holds(format!("every one of {secrets} sealed secrets opens with its key"));
    }
    let folder = Folder::open(data)?.with_faults(faults);
    verdict.holds(format!("every one of {} records decodes", records(&folder)?));
    state(data, &folder, &mut verdict)?;
    Ok(verdict)
}

fn records(folder: &Folder) -> Result<u64, Unverifiable> {
    let mut count = 0;
    for found in folder.reader().scan(0) {
        let (at, record) = found.map_err(VerifyError::from)?;
        super::listing::line(at, &record, None, record.kind != kind::EVENT)
            .map_err(|cause| Unverifiable::Record { at, cause })?;
        count += 1;
    }
    Ok(count)
}

/// Whether the journal ends before what the snapshot holds. It is looked at again for that: a program
/// that runs writes both, the journal first.
fn ends_early(data: &Path, snapshot: Sequence) -> Result<Option<Sequence>, FolderError> {
    let last = Folder::open(data)?.reader().next_sequence() - 1;
    Ok((last < snapshot).then_some(last))
}

fn state(data: &Path, folder: &Folder, verdict: &mut Verdict) -> Result<(), Unverifiable> {
    let state = folder.state()?;
    if let Some(last) = ends_early(data, state.started_at())? {
        verdict.wrong.push(format!(
            "the snapshot holds what happened up to sequence {}, and the journal ends at {last}: its \
             last records are lost; keep the snapshot, it is their only witness, and restore the \
             journal's files",
            state.started_at()
        ));
        return Ok(());
    }
    verdict.passed_over(state.passed(), "with its snapshot");
    let problems = state.problems(PROBLEMS_MAX)?;
    if problems.is_empty() {
        let counts = state.counts();
        verdict.holds(format!(
            "{} fragments of {} profiles, and {} events, all accounted for",
            counts.fragments, counts.profiles, counts.events
        ));
    }
    verdict.wrong.extend(problems);
    let digest = state.digest()?;
    verdict.holds(format!("the digest of the state: {} at {}", digest.digest, digest.sequence));
    if state.started_at() == 0 {
        verdict.holds("there is no snapshot yet: the journal is all there is".to_owned());
        return Ok(());
    }
    let replayed = match folder.replayed() {
        Ok(replayed) => replayed,
        Err(FolderError::State(error)) if error.is_beginning_lost() => {
            verdict.holds(format!("the snapshot stands alone: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if replayed.passed() != state.passed() {
        verdict.passed_over(replayed.passed(), "from its beginning");
    }
    let (one, other) = (digest, replayed.digest()?);
    let differing = state.differing(&replayed, PROBLEMS_MAX)?;
    let position = state.started_at();
    if one.digest == other.digest && differing.is_empty() {
        verdict.holds(format!(
            "the snapshot at sequence {position} with its tail is what the journal replays to, \
             fragment by fragment: {} at {}",
            one.digest, one.sequence
        ));
        return Ok(());
    }
    let ids: Vec<String> = differing.iter().map(ToString::to_string).collect();
    verdict.wrong.push(format!(
        "the snapshot at sequence {position} with its tail comes to {}, the journal alone to {}; \
         fragments that differ: {}; move the snapshot folder aside, and the next start rebuilds it",
        one.digest,
        other.digest,
        if ids.is_empty() { "none, but others are missing".to_owned() } else { ids.join(", ") }
    ));
    Ok(())
}

impl Verdict {
    fn holds(&mut self, sentence: String) {
        self.holds.push(sentence);
    }

    /// Records over which this program panics: nothing is wrong with the folder, and a start goes on
    /// without them.
    fn passed_over(&mut self, records: &[Sequence], read: &str) {
        if records.is_empty() {
            return;
        }
        let told: Vec<String> = records.iter().take(PASSED_MAX).map(u64::to_string).collect();
        let more = match records.len().saturating_sub(PASSED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (are, count) =
            if records.len() == 1 { ("record is", 1) } else { ("records are", records.len()) };
        self.holds(format!(
            "{count} {are} passed over when the journal is read {read}, because this program panics \
             over them, at sequence {}{more}; the next start sets them aside too and journals that; \
             report the fault with what `selfsame inspect journal --from SEQUENCE --limit 1` shows of \
             them, and once it is mended, have the events read again by POST /api/v1/events/reprocess",
            told.join(", ")
        ));
    }
}
