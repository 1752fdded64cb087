//! The store behind `secret:NAME`: values that operators set, and that only what calls out or
//! verifies may read.
//!
//! Promises: what is set is durable before it counts; a value is on disk only sealed with the key of
//! the data folder; damage is found and named, and nothing is overwritten then.

use super::{Secret, sealed};
use crate::domain::time::Timestamp;
use crate::secrets::entry::{Entry, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// When it was set first.
    pub created_at: Timestamp,
    /// When it was set last.
    pub set_at: Timestamp,
}

/// The secrets of a data folder. `Debug` shows no values.
#[derive(Debug)]
pub struct Store {
    data: PathBuf,
    entries: RwLock<BTreeMap<String, Entry>>,
    /// Held by the one who writes the file, for as long as that takes.
    writing: Mutex<()>,
}

impl Store {
    /// Reads the store of a data folder; changes nothing in it.
    ///
    /// # Errors
    /// When a file is damaged or cannot be read, or the key is missing.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let entries = RwLock::new(sealed::read(data)?);
        Ok(Self { data: data.to_owned(), entries, writing: Mutex::default() })
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<Secret> {
        self.read(|entries| entries.get(name).map(|entry| entry.value.clone()))
    }

    /// What is held, by name.
    pub fn list(&self) -> Vec<Held> {
        self.read(|entries| {
            let held = entries.iter().map(|(name, entry)| Held {
                name: name.clone(),
                created_at: entry.created_at,
                set_at: entry.set_at,
            });
            held.collect()
        })
    }

    /// Sets a value, durably; returns whether its name is new. Blocks. `most` names are held.
    ///
    /// # Errors
    /// When there are too many, or it cannot be written; then nothing has changed.
    pub fn set(
        &self,
        name: &str,
        value: Secret,
        now: Timestamp,
        most: usize,
    ) -> Result<bool, StoreError> {
        let mut is_new = false;
        self.change(|entries| {
            let before = entries.get(name).map(|entry| entry.created_at);
            is_new = before.is_none();
            if is_new && entries.len() >= most {
                return Err(StoreError::Full(most));
            }
            let created_at = before.unwrap_or(now);
            entries.insert(name.to_owned(), Entry { value, created_at, set_at: now });
            Ok(())
        })?;
        Ok(is_new)
    }

    /// Removes a value, durably; returns whether there was one. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed.
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        if self.read(|entries| !entries.contains_key(name)) {
            return Ok(false);
        }
        let mut was_there = false;
        self.change(|entries| {
            was_there = entries.remove(name).is_some();
            Ok(())
        })?;
        Ok(was_there)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Entry>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Both locks guard whole maps: one is put in the place of another.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.read(BTreeMap::clone);
        change(&mut entries)?;
        sealed::write(&self.data, &entries)?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Entry>) -> T) -> T {
        read(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const LATER: Timestamp = Timestamp(1_700_000_001_000);

    fn set(store: &Store, name: &str, value: &str, now: Timestamp) -> bool {
        store.set(name, Secret::new(value), now, 3).unwrap()
    }

    fn value(store: &Store, name: &str) -> Option<String> {
        store.get(name).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn what_is_set_is_there_after_a_restart_and_never_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let store = Store::open(data).unwrap();
        assert_eq!(fs::read_dir(data).unwrap().count(), 0, "nothing is made before it is needed");
        assert!(set(&store, "a", "zx-one", NOW) && set(&store, "b", "zx-two", NOW));
        assert!(!set(&store, "a", "zx-three", LATER));
        let reopened = Store::open(data).unwrap();
        for store in [&store, &reopened] {
            assert_eq!(value(store, "a").as_deref(), Some("zx-three"));
            assert_eq!(value(store, "b").as_deref(), Some("zx-two"));
            let held = store.list();
            assert_eq!(held[0], Held { name: "a".into(), created_at: NOW, set_at: LATER });
            assert!(!format!("{store:?}").contains("zx-"));
        }
        for entry in fs::read_dir(data).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let bytes = fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(3).any(|window| window == b"zx-"), "{entry:?}");
        }
        assert!(reopened.remove("a").unwrap() && !reopened.remove("a").unwrap());
        assert_eq!(value(&Store::open(data).unwrap(), "a"), None);
    }

    #[test]
    fn there_are_only_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for name in ["a", "b", "c"] {
            set(&store, name, "x", NOW);
        }
        let more = store.set("d", Secret::new("x"), NOW, 3);
        assert!(matches!(more, Err(StoreError::Full(3))));
        assert!(!set(&store, "c", "y", NOW), "another value of one that is there is no more");
    }

    #[test]
    fn damage_is_named_wherever_it_is_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        set(&Store::open(data).unwrap(), "a", "zx-one", NOW);
        for name in [crate::secrets::entry::FILE, sealed::KEY_FILE] {
            let path = data.join(name);
            let whole = fs::read(&path).unwrap();
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                fs::write(&path, &bytes).unwrap();
                let error = Store::open(data).unwrap_err().to_string();
                assert!(error.contains(name) && !error.contains("zx-"), "{at}: {error}");
                fs::write(&path, &whole[..at]).unwrap();
                assert!(Store::open(data).is_err(), "cut at {at}");
            }
            fs::remove_file(&path).unwrap();
            let without = Store::open(data);
            assert!(without.is_err() == (name == sealed::KEY_FILE), "{name}");
            fs::write(&path, &whole).unwrap();
        }
        let other = tempfile::tempdir().unwrap();
        set(&Store::open(other.path()).unwrap(), "a", "x", NOW);
        fs::copy(other.path().join(sealed::KEY_FILE), data.join(sealed::KEY_FILE)).unwrap();
        assert!(matches!(Store::open(data), Err(StoreError::WrongKey(_))));
    }

    #[test]
    fn what_cannot_be_written_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let store = Store::open(&data).unwrap();
        set(&store, "a", "x", NOW);
        fs::remove_dir_all(&data).unwrap();
        assert!(store.set("a", Secret::new("y"), NOW, 3).is_err());
        assert_eq!(value(&store, "a").as_deref(), Some("x"));
    }
}
