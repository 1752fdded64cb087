//! The one reader of secrets: what `env:NAME`, `file:path` and `secret:NAME` stand for.
//!
//! Promises: a value is wiped from memory when it is dropped, and no `Debug`, log or error shows it;
//! a file is only read below the config folder; what comes from outside is read once and again when
//! the configuration is; what the [`store`] holds counts at once.

mod entry;
mod sealed;
mod secret;
pub mod store;

pub use entry::{Entry, StoreError};
pub use secret::Secret;

use crate::domain::confidential::Reference;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use store::Store;

/// The longest secret that is read from a file, in bytes.
const FILE_BYTES: u64 = 64 * 1024;

/// Why a reference stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment does not have it.
    #[error("the environment variable {0} is not set; set it")]
    NotSet(String),
    /// The path leads out of the config folder, or might.
    #[error(
        "the secret's file {} is not below the config folder: put it there, and name it without .. and without a leading /",
        .0.display()
    )]
    Outside(PathBuf),
    /// The file cannot be read.
    #[error("the secret's file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no file, or longer than a secret.
    #[error("expected the secret's file {} to be a plain one of at most {FILE_BYTES} bytes", .0.display())]
    NoFile(PathBuf),
    /// There is nothing in it.
    #[error("the secret is empty; give {0} a value")]
    Empty(String),
    /// The store does not hold it.
    #[error("there is no secret {0} in the store; PUT /api/v1/secrets/{0}")]
    NotStored(String),
    /// It is a reference of ours that nobody writes.
    #[error("expected env:NAME, file:path or secret:NAME, found in-file:")]
    Reserved,
}

/// Reads what `env:NAME` or `file:path` stands for; a path starts at `folder`, the config folder.
///
/// Blanks around the value are cut off, as editors like to end a file with a line break.
///
/// # Errors
/// What is not there and how to put it there; never the value. A reference to the store or into a
/// config file is not read here.
pub fn read(
    reference: Reference<'_>,
    env: &BTreeMap<String, String>,
    folder: &Path,
) -> Result<Secret, SecretError> {
    let (value, name) = match reference {
        Reference::Env(name) => {
            let value = env.get(name).cloned();
            (value.ok_or_else(|| SecretError::NotSet(name.to_owned()))?, format!("env:{name}"))
        }
        Reference::File(path) => (read_file(folder, Path::new(path))?, format!("file:{path}")),
        Reference::Stored(name) => return Err(SecretError::NotStored(name.to_owned())),
        Reference::InFile(_) => return Err(SecretError::Reserved),
    };
    match value.trim() {
        "" => Err(SecretError::Empty(name)),
        value => Ok(Secret::new(value)),
    }
}

/// Reads a file that lies below a folder, wherever links lead.
fn read_file(folder: &Path, path: &Path) -> Result<String, SecretError> {
    let is_inner = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !path.components().all(is_inner) {
        return Err(SecretError::Outside(path.to_owned()));
    }
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // An empty path is the folder that the program runs in.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = folder.canonicalize().map_err(unreadable)?;
    let whole = folder.join(path).canonicalize().map_err(unreadable)?;
    if !whole.starts_with(&folder) {
        return Err(SecretError::Outside(path.to_owned()));
    }
    // A pipe would be waited for, so what it is comes before what is in it.
    let found = std::fs::symlink_metadata(&whole).map_err(unreadable)?;
    if !found.is_file() || found.len() > FILE_BYTES {
        return Err(SecretError::NoFile(path.to_owned()));
    }
    let mut text = String::new();
    let file = std::fs::File::open(&whole).map_err(unreadable)?;
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// What references stand for; a cheap handle. `Debug` shows nothing of it.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    env: BTreeMap<String, String>,
    folder: PathBuf,
    /// What comes from outside by reference; none where nothing is there.
    known: RwLock<BTreeMap<Box<str>, Option<Secret>>>,
    /// What stands in config files in clear, by reference.
    in_files: RwLock<BTreeMap<String, Secret>>,
    /// The store, once the data folder is held.
    store: OnceLock<Store>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Secrets of this environment, this config folder and, in clear, of its files.
    pub fn new(
        env: BTreeMap<String, String>,
        folder: PathBuf,
        in_files: BTreeMap<String, Secret>,
    ) -> Self {
        let in_files = RwLock::new(in_files);
        Self(Arc::new(Inner { env, folder, in_files, ..Inner::default() }))
    }

    /// Takes up the store of a data folder that this process holds.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn open(&self, data: &Path) -> Result<(), StoreError> {
        let store = Store::open(data)?;
        // One engine opens it, once.
        drop(self.0.store.set(store));
        Ok(())
    }

    /// The store; none before the data folder is held.
    pub fn store(&self) -> Option<&Store> {
        self.0.store.get()
    }

    /// What a reference stands for; none where nothing is there, or only blanks.
    // A lock that was poisoned still guards a whole map: values are put in by single steps.
    pub fn find(&self, reference: &str) -> Option<Secret> {
        let inner = &self.0;
        match Reference::parse(reference)? {
            Reference::Stored(name) => inner.store.get()?.get(name),
            Reference::InFile(_) => {
                let in_files = inner.in_files.read().unwrap_or_else(PoisonError::into_inner);
                in_files.get(reference).cloned()
            }
            outside => {
                let known = inner.known.read().unwrap_or_else(PoisonError::into_inner);
                if let Some(known) = known.get(reference) {
                    return known.clone();
                }
                drop(known);
                let found = read(outside, &inner.env, &inner.folder).ok();
                let mut known = inner.known.write().unwrap_or_else(PoisonError::into_inner);
                known.insert(reference.into(), found.clone());
                found
            }
        }
    }

    /// What a reference stands for, as a text that is sent right away.
    pub fn text(&self, reference: &str) -> Option<String> {
        self.find(reference).map(|secret| secret.expose().to_owned())
    }

    /// Reads everything again that was ever asked for, and takes in what config files hold now. What
    /// they held before stays beside it: settings that are refused leave the earlier ones in force.
    pub fn renew(&self, in_files: BTreeMap<String, Secret>) {
        self.0.in_files.write().unwrap_or_else(PoisonError::into_inner).extend(in_files);
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        for (reference, value) in known.iter_mut() {
            let outside = Reference::parse(reference);
            *value = outside.and_then(|one| read(one, &self.0.env, &self.0.folder).ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(secrets: &Secrets, reference: &str) -> Option<String> {
        secrets.find(reference).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_secret_stays_as_it_was_read_until_all_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "one\n").unwrap();
        let env = BTreeMap::from([("KEY".to_owned(), " three ".to_owned())]);
        let own = Reference::in_file("campaign.c.sign");
        let in_files = BTreeMap::from([(own.clone(), Secret::new("five"))]);
        let secrets = Secrets::new(env, folder.path().to_owned(), in_files);
        assert_eq!(found(&secrets, "file:key").as_deref(), Some("one"));
        assert_eq!(found(&secrets, "env:KEY").as_deref(), Some("three"));
        assert_eq!(found(&secrets, &own).as_deref(), Some("five"));
        for missing in ["env:NONE", "file:later", "secret:none", "in-file:none", "one"] {
            assert_eq!(found(&secrets, missing), None, "{missing}");
        }
        std::fs::write(&path, "two").unwrap();
        std::fs::write(folder.path().join("later"), "four").unwrap();
        assert_eq!(found(&secrets, "file:key").as_deref(), Some("one"));
        let other = Reference::in_file("campaign.d.sign");
        secrets.renew(BTreeMap::from([(other.clone(), Secret::new("six"))]));
        assert_eq!(found(&secrets, "file:key").as_deref(), Some("two"));
        assert_eq!(found(&secrets, "file:later").as_deref(), Some("four"));
        assert_eq!(found(&secrets, &own).as_deref(), Some("five"));
        assert_eq!(found(&secrets, &other).as_deref(), Some("six"));
        assert!(!format!("{secrets:?}{:?}", secrets.find("file:key")).contains("two"));
    }

    #[test]
    fn a_file_is_read_below_the_config_folder_only() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("config");
        std::fs::create_dir_all(folder.join("keys")).unwrap();
        std::fs::write(root.path().join("outside"), "zx").unwrap();
        std::fs::write(folder.join("keys/inside"), "in").unwrap();
        std::fs::write(folder.join("long"), "x".repeat(FILE_BYTES as usize + 1)).unwrap();
        std::fs::write(folder.join("empty"), " \n").unwrap();
        std::os::unix::fs::symlink("../outside", folder.join("out")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        std::os::unix::fs::symlink("keys/inside", folder.join("in")).unwrap();
        let read = |path: &str| read(Reference::File(path), &BTreeMap::new(), &folder);
        for inner in ["keys/inside", "./keys/inside", "in"] {
            assert_eq!(read(inner).unwrap().expose(), "in", "{inner}");
        }
        let absolute = folder.join("keys/inside");
        for outer in
            ["../outside", "keys/../../outside", "out", "up/outside", absolute.to_str().unwrap()]
        {
            assert!(matches!(read(outer), Err(SecretError::Outside(_))), "{outer}");
        }
        for other in ["long", "keys", "/dev/zero", "none", "empty", ""] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_missing_secret_is_told_with_what_to_do() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "s3cret\n".to_owned())]);
        let secret = read(Reference::Env("TOKEN"), &env, Path::new("")).unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
        let told = |reference| read(reference, &env, Path::new("")).unwrap_err().to_string();
        assert!(told(Reference::Env("NOT_THERE")).contains("NOT_THERE is not set"));
        assert!(told(Reference::File("no/such")).contains("no/such"));
        assert!(told(Reference::Stored("x")).contains("PUT /api/v1/secrets/x"));
    }
}
