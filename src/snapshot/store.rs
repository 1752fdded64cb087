//! sled behind a small face: get, scan, commit. The only file that names sled.
//!
//! Facts about sled 1.0.0-alpha.124 that shape this file:
//!
//! * A `Tree` can be sent but not shared (its cache statistics sit in a `RefCell`), so each call
//!   borrows a handle of its own from a pool.
//! * With `flush_every_ms = None` *every* dropped handle, iterators included, flushes, and after a
//!   failed flush every further one hangs. With `Some` a thread of sled's own flushes, and aborts
//!   the process when that fails. So: `Some` of a time that never comes, flushes only in
//!   [`SnapshotStore::commit`], and a poisoned store is leaked instead of dropped.
//! * It answers some damage by a panic and some by never returning.
//! * Behind the last row of a range with an end, its iterators read every leaf up to the end of the
//!   tree. So: ranges are left open, and the reader stops.

use super::error::SnapshotError;
use super::row::{seal, unseal};
use super::watchdog::{Failure, guarded};
use super::{FORMAT_VERSION, place};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Rows per leaf. A leaf is what sled writes for one changed row: 1,024, its default, amplifies
/// random overwrites; much fewer make compression and the index worse.
const LEAF_FANOUT: usize = 128;
/// What sled may keep of decompressed leaves. The engine has its own working set; this serves
/// activations, which come in no order, and the leaves that a commit touches.
/// Rows written at once while a store is renewed.
const RENEW_ROWS: usize = 50_000;
const CACHE_BYTES: usize = 64 << 20;
/// Rows are compact already and the snapshot can be rebuilt: speed before size.
const ZSTD_LEVEL: i32 = 1;
/// A flush beyond the watchdog's time may take so long per MiB that was committed.
const FLUSH_PER_MIB: Duration = Duration::from_secs(1);
/// "Never", without overflowing the sum with the present time.
const NEVER_MS: usize = 1000 * 60 * 60 * 24 * 365;

/// First byte of the keys that the store keeps for itself.
const META_PREFIX: u8 = 0;
const META_KEY: &[u8] = b"\0meta";

/// How many handles wait for the next call.
const IDLE_HANDLES_MAX: usize = 32;

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);
/// A change to a row: its key, and its value or none.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

type Db = sled::Db<LEAF_FANOUT>;
type Tree = sled::Tree<LEAF_FANOUT>;

/// A snapshot store; a cheap handle.
#[derive(Clone)]
pub struct SnapshotStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// The folder that holds this store, and while it is renewed the next one.
    root: PathBuf,
    folder: PathBuf,
    watchdog: Duration,
    /// Idle handles; the first one always stays.
    trees: Mutex<Vec<Tree>>,
    meta: Mutex<Option<Meta>>,
    poisoned: AtomicBool,
}

/// What the store says of itself, replaced by every commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    sequence: u64,
    /// How many rows there are, this one not counted.
    rows: u64,
}

impl Meta {
    fn encode(self) -> Vec<u8> {
        let mut bytes = FORMAT_VERSION.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes
    }

    /// The inner error is another format version.
    fn decode(bytes: &[u8]) -> Option<Result<Self, u32>> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let version = u32::from_le_bytes(*version);
        if version != FORMAT_VERSION {
            return Some(Err(version));
        }
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let rows: &[u8; 8] = rest.try_into().ok()?;
        Some(Ok(Self { sequence: u64::from_le_bytes(*sequence), rows: u64::from_le_bytes(*rows) }))
    }
}

/// Opens a store, or makes an empty one.
///
/// # Errors
/// [`SnapshotError::Hung`] when sled does not come back within `watchdog` (its thread is left
/// behind), any other when it is damaged or has another format. [`set_aside`] the folder then.
pub fn open(dir: &Path, watchdog: Duration) -> Result<SnapshotStore, SnapshotError> {
    let settled = place::settle(dir);
    let folder = settled.map_err(|source| in_folder("settle", dir, source))?;
    open_at(dir, folder, watchdog)
}

fn in_folder(what: &'static str, dir: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Io { what, folder: dir.to_owned(), source }
}

fn open_at(
    root: &Path,
    folder: PathBuf,
    watchdog: Duration,
) -> Result<SnapshotStore, SnapshotError> {
    let config = sled::Config::new()
        .path(&folder)
        .cache_capacity_bytes(CACHE_BYTES)
        .zstd_compression_level(ZSTD_LEVEL)
        .flush_every_ms(Some(NEVER_MS));
    let opened = guarded(watchdog, move || {
        let db: Db = config.open()?;
        // The tree keeps all of sled alive that is needed.
        Ok(Tree::clone(&db))
    });
    let tree = opened.map_err(|failure| failure.named("open", &folder, watchdog))?;
    let store = SnapshotStore {
        inner: Arc::new(Inner {
            root: root.to_owned(),
            folder,
            watchdog,
            trees: Mutex::new(vec![tree]),
            meta: Mutex::new(None),
            poisoned: AtomicBool::new(false),
        }),
    };
    let meta = store.read_meta().inspect_err(|error| {
        if !matches!(error, SnapshotError::Version { .. }) {
            store.poison();
        }
    })?;
    *locked(&store.inner.meta) = meta;
    Ok(store)
}

/// Moves a store's folder to a name beside it that is free, and answers that name; the caller
/// tells the operator. Nothing is deleted.
///
/// # Errors
/// Any error of the operating system.
pub fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 1..u32::MAX {
        let aside = dir.with_file_name(format!("{name}.damaged-{number}"));
        if !aside.try_exists()? {
            std::fs::rename(dir, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

impl SnapshotStore {
    /// Writes all rows into a store of their own, which counts from then on, and answers it: no byte
    /// of a row that was removed or replaced is in its files. The present store must not be written
    /// meanwhile; its files go when the folder is opened the next time, or with [`Self::discard`].
    ///
    /// # Errors
    /// The present store is as good as before.
    pub fn renew(&self) -> Result<Self, SnapshotError> {
        let root = &self.inner.root;
        let place = place::next(root);
        let (number, folder) = place.map_err(|source| in_folder("renew", root, source))?;
        let fresh = open_at(root, folder, self.inner.watchdog)?;
        let mut run: Vec<Change> = Vec::new();
        // What begins with 0 is the store's own.
        for row in (1..=u8::MAX).flat_map(|first| self.scan_prefix(&[first])) {
            let (key, value) = row?;
            run.push((key, Some(value)));
            if run.len() == RENEW_ROWS {
                fresh.commit(std::mem::take(&mut run), 0)?;
            }
        }
        fresh.commit(run, self.sequence().unwrap_or(0))?;
        place::mark(root, number).map_err(|source| in_folder("renew", root, source))?;
        Ok(fresh)
    }

    /// Removes the files of a store that counts no more.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn discard(self) -> io::Result<()> {
        let folder = self.inner.folder.clone();
        drop(self);
        std::fs::remove_dir_all(folder)
    }

    /// The value of a row.
    ///
    /// # Errors
    /// [`SnapshotError::Corrupt`] when it is not what was written.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.check()?;
        let handle = self.handle();
        let row = self.caught("read", || handle.tree().get(key))?;
        row.map(|row| self.unsealed(key, &row).map(<[u8]>::to_vec)).transpose()
    }

    /// All rows whose keys begin with `prefix`, in key order. After an error it ends.
    ///
    /// A commit that runs meanwhile may be seen in part.
    pub fn scan_prefix(&self, prefix: &[u8]) -> ScanPrefix {
        let rows = self.handle().tree().range(prefix..);
        ScanPrefix { rows: Some(rows), prefix: prefix.to_vec(), store: self.clone() }
    }

    /// Replaces (`Some`) and removes (`None`) rows, all or none, and notes the sequence that the
    /// store reflects from now on. It has survived a power cut when this returns.
    ///
    /// # Errors
    /// Any error but [`SnapshotError::ReservedKey`] poisons the store, as sled cannot go on after
    /// a failed flush; reads are refused too.
    pub fn commit(&self, rows: Vec<Change>, sequence: u64) -> Result<(), SnapshotError> {
        self.check()?;
        if rows.iter().any(|(key, _)| key.first() == Some(&META_PREFIX)) {
            return Err(SnapshotError::ReservedKey);
        }
        let mut meta = locked(&self.inner.meta);
        let handle = self.handle();
        let bytes: usize = rows.iter().map(|(_, value)| value.as_ref().map_or(0, Vec::len)).sum();
        let mut rows = last_of_each_key(rows);
        let count_before = meta.map_or(0, |meta| meta.rows);
        let count = self
            .caught("read", || count_after(handle.tree(), count_before, &rows))
            .inspect_err(|_| self.poison())?;
        let next = Meta { sequence, rows: count };
        rows.push((META_KEY.to_vec(), Some(next.encode())));
        self.caught("write to", || handle.tree().apply_batch(batch(rows)))
            .inspect_err(|_| self.poison())?;
        let limit = self.inner.watchdog + FLUSH_PER_MIB.saturating_mul((bytes >> 20) as u32);
        let flushing = handle.tree().clone();
        guarded(limit, move || flushing.flush().map(drop))
            .map_err(|failure| failure.named("flush", &self.inner.folder, limit))
            .inspect_err(|_| self.poison())?;
        *meta = Some(next);
        Ok(())
    }

    /// The journal sequence that the store reflects; `None` while it is empty.
    pub fn sequence(&self) -> Option<u64> {
        locked(&self.inner.meta).map(|meta| meta.sequence)
    }

    /// How many rows the last commit left. A start that reads all rows compares its own count: sled
    /// may have lost some without noticing.
    pub fn rows(&self) -> u64 {
        locked(&self.inner.meta).map_or(0, |meta| meta.rows)
    }

    /// The size of the store on disk, in bytes.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn size_bytes(&self) -> io::Result<u64> {
        folder_bytes(&self.inner.folder)
    }

    fn read_meta(&self) -> Result<Option<Meta>, SnapshotError> {
        let Some(bytes) = self.get(META_KEY)? else { return Ok(None) };
        match Meta::decode(&bytes) {
            Some(Ok(meta)) => Ok(Some(meta)),
            Some(Err(found)) => {
                Err(SnapshotError::Version { folder: self.inner.folder.clone(), found })
            }
            None => Err(self.corrupt(META_KEY, "the store's own row has another length")),
        }
    }

    fn check(&self) -> Result<(), SnapshotError> {
        if self.inner.poisoned.load(Ordering::Acquire) {
            return Err(SnapshotError::Poisoned);
        }
        Ok(())
    }

    fn poison(&self) {
        self.inner.poisoned.store(true, Ordering::Release);
    }

    fn handle(&self) -> Handle<'_> {
        let mut trees = locked(&self.inner.trees);
        let tree = if trees.len() > 1 { trees.pop() } else { trees.first().cloned() };
        Handle { tree, inner: &self.inner }
    }

    fn caught<T>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, SnapshotError> {
        let failure = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(source)) => Failure::Io(source),
            Err(_) => Failure::Panicked,
        };
        Err(failure.named(what, &self.inner.folder, Duration::ZERO))
    }

    fn unsealed<'a>(&self, key: &[u8], row: &'a [u8]) -> Result<&'a [u8], SnapshotError> {
        unseal(key, row).map_err(|what| self.corrupt(key, what))
    }

    fn corrupt(&self, key: &[u8], what: &'static str) -> SnapshotError {
        SnapshotError::Corrupt {
            folder: self.inner.folder.clone(),
            prefix: key.first().copied().unwrap_or_default(),
            key_bytes: key.len(),
            what,
        }
    }
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // sled's own output would hold every row.
        f.debug_struct("SnapshotStore").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.poisoned.get_mut() {
            // Dropping the last one would flush, and that flush would hang or abort the process.
            let trees = self.trees.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(trees));
        }
    }
}

/// A borrowed handle on sled, given back when it is dropped.
struct Handle<'a> {
    /// There until it is given back.
    tree: Option<Tree>,
    inner: &'a Inner,
}

impl Handle<'_> {
    fn tree(&self) -> &Tree {
        self.tree.as_ref().expect("the pool is never empty, and only drop takes a handle back")
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        let mut trees = locked(&self.inner.trees);
        if trees.len() < IDLE_HANDLES_MAX {
            trees.extend(self.tree.take());
        }
    }
}

/// Rows in key order; see [`SnapshotStore::scan_prefix`].
pub struct ScanPrefix {
    // ORDER: dropped before the handle, which keeps sled open.
    rows: Option<sled::Iter<LEAF_FANOUT>>,
    prefix: Vec<u8>,
    store: SnapshotStore,
}

impl ScanPrefix {
    fn next_row(&mut self) -> Result<Option<Row>, SnapshotError> {
        self.store.check()?;
        let Some(rows) = self.rows.as_mut() else { return Ok(None) };
        loop {
            let Some((key, row)) = self.store.caught("read", || rows.next().transpose())? else {
                return Ok(None);
            };
            if !key.starts_with(&self.prefix) {
                return Ok(None);
            }
            if key.first() != Some(&META_PREFIX) {
                let value = self.store.unsealed(&key, &row)?.to_vec();
                return Ok(Some((key.to_vec(), value)));
            }
        }
    }
}

impl Iterator for ScanPrefix {
    type Item = Result<Row, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_row().transpose();
        if !matches!(row, Some(Ok(_))) {
            self.rows = None;
        }
        row
    }
}

/// The rows in key order; of several with one key, the last.
fn last_of_each_key(mut rows: Vec<Change>) -> Vec<Change> {
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
    rows
}

/// How many rows there will be. The leaves that it reads are the ones that the commit changes.
fn count_after(tree: &Tree, before: u64, rows: &[Change]) -> io::Result<u64> {
    let mut count = before;
    for (key, value) in rows {
        match (tree.contains_key(key)?, value) {
            (false, Some(_)) => count += 1,
            (true, None) => count = count.saturating_sub(1),
            _ => {}
        }
    }
    Ok(count)
}

fn batch(rows: Vec<Change>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in rows {
        match value {
            Some(value) => {
                let row = seal(&key, &value);
                batch.insert(key, row);
            }
            None => batch.remove(key),
        }
    }
    batch
}

/// What these locks guard is changed in single steps, so a panic elsewhere leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
impl SnapshotStore {
    /// Writes past frame and meta row, as damage would.
    pub(super) fn overwrite_raw(&self, key: &[u8], row: &[u8]) {
        let handle = self.handle();
        handle.tree().insert(key, row).expect("sled takes the row");
        handle.tree().flush().expect("sled flushes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_reads_no_leaf_behind_its_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let row = |prefix: u8, number: u32| {
            let key = [&[prefix][..], &number.to_be_bytes()].concat();
            (key, Some(vec![7; 100]))
        };
        let rows = (0..300).map(|number| row(b'a', number));
        let rows = rows.chain((0..20_000).map(|number| row(b'b', number)));
        open(dir.path(), Duration::from_secs(20)).unwrap().commit(rows.collect(), 1).unwrap();
        let store = open(dir.path(), Duration::from_secs(20)).unwrap();
        let misses = || store.handle().tree().storage_stats().cache.cache_misses;
        let before = misses();
        assert_eq!(store.scan_prefix(b"a").count(), 300);
        assert!(misses() - before <= 8, "{} leaves", misses() - before);
    }

    #[test]
    fn a_poisoned_store_refuses_everything_and_can_be_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        let store = open(&path, Duration::from_secs(20)).unwrap();
        let mut scan = store.scan_prefix(b"");
        store.poison();
        assert!(matches!(scan.next(), Some(Err(SnapshotError::Poisoned))));
        assert!(matches!(store.get(b"a"), Err(SnapshotError::Poisoned)));
        assert!(matches!(store.commit(Vec::new(), 1), Err(SnapshotError::Poisoned)));
        drop((scan, store));
        set_aside(&path).unwrap();
        let fresh = open(&path, Duration::from_secs(20)).unwrap();
        fresh.commit(Vec::new(), 1).unwrap();
    }
}
