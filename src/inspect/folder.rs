//! A data folder, opened for reading only.
//!
//! sled can only be opened for writing, so the snapshot is copied to a throw-away folder (in the
//! system's folder for temporary files, `TMPDIR`) and the copy is opened. A snapshot that is copied
//! while a program writes to it may be torn; the journal never is.

use crate::engine::fault::Faults;
use crate::engine::offline::OfflineState;
use crate::engine::{EngineError, Fault};
use crate::journal::{self, JournalError, JournalReader, RecoveryReport};
use crate::snapshot::{self, SnapshotError, SnapshotStore};
use crate::telemetry::progress::Progress;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};
use tempfile::TempDir;

/// How long sled may take to open a copy.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Why a data folder cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is no such folder, or nothing of ours in it.
    #[error("expected a data folder with a `journal` in it, found none at {}", .0.display())]
    NoJournal(PathBuf),
    /// The journal is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot cannot be copied.
    #[error("cannot copy the snapshot {} to a temporary folder: {source}", path.display())]
    Copy {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The copy of the snapshot cannot be opened.
    #[error(
        "{0}; this was a copy: if a program runs on the folder, stop it or ask its API, and if none \
         does, the next start rebuilds the snapshot from the journal"
    )]
    Snapshot(#[from] SnapshotError),
    /// The state cannot be recovered.
    #[error(transparent)]
    State(#[from] Box<EngineError>),
}

/// A data folder, opened for reading only.
pub struct Folder {
    data: PathBuf,
    reader: JournalReader,
    report: RecoveryReport,
    faults: Vec<Fault>,
    /// Removed when it goes out of scope.
    scratch: TempDir,
}

impl Folder {
    /// Opens a data folder.
    ///
    /// # Errors
    /// When there is none, or its journal is damaged.
    pub fn open(data: &Path) -> Result<Self, FolderError> {
        let journal = journal_folder(data)?;
        let (reader, report) = journal::inspect(&journal, false, &mut |_| {})?;
        let scratch = tempfile::tempdir()
            .map_err(|source| FolderError::Copy { path: snapshot_folder(data), source })?;
        Ok(Self { data: data.to_owned(), reader, report, faults: Vec::new(), scratch })
    }

    /// The folder, with faults for tests injected into each replay of its journal.
    pub fn with_faults(self, faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..self }
    }

    /// Reads its journal.
    pub fn reader(&self) -> &JournalReader {
        &self.reader
    }

    /// What was found on opening the journal.
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// A copy of the snapshot; `None` where the folder has none.
    ///
    /// # Errors
    /// When it cannot be copied, or is damaged.
    pub fn snapshot(&self) -> Result<Option<SnapshotStore>, FolderError> {
        let from = snapshot_folder(&self.data);
        if !from.is_dir() {
            return Ok(None);
        }
        let to = self.scratch.path().join("copy");
        if !to.is_dir() {
            copy_folder(&from, &to)?;
        }
        Ok(Some(snapshot::open(&to, WATCHDOG)?))
    }

    /// The state: of the snapshot with the journal's tail, or of the journal alone without one.
    ///
    /// # Errors
    /// When either is damaged.
    pub fn state(&self) -> Result<OfflineState, FolderError> {
        match self.snapshot()? {
            Some(store) => self.recover(store),
            None => self.replayed(),
        }
    }

    /// The state of the journal alone.
    ///
    /// # Errors
    /// When it is damaged, or no longer reaches back to its beginning.
    pub fn replayed(&self) -> Result<OfflineState, FolderError> {
        self.recover(snapshot::open(&self.scratch.path().join("replayed"), WATCHDOG)?)
    }

    fn recover(&self, store: SnapshotStore) -> Result<OfflineState, FolderError> {
        let mut progress = Progress::new("replaying", "records");
        let told = &mut |done, total| progress.set(done, total);
        let faults = Faults::new(self.faults.clone());
        Ok(OfflineState::recover(store, &self.reader, faults, told).map_err(Box::new)?)
    }
}

/// The folder of the journal's segments.
///
/// # Errors
/// When there is none.
pub fn journal_folder(data: &Path) -> Result<PathBuf, FolderError> {
    let journal = data.join("journal");
    if journal.is_dir() { Ok(journal) } else { Err(FolderError::NoJournal(data.to_owned())) }
}

fn snapshot_folder(data: &Path) -> PathBuf {
    data.join("snapshot")
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), FolderError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Copy { path, source }
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(failed(&path))?;
        }
    }
    Ok(())
}
