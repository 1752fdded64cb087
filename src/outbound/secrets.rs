//! The secrets that webhooks refer to: read once, kept in memory only, read again when the
//! configuration is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// What references stand for; a cheap handle. `Debug` shows nothing of it.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    env: BTreeMap<String, String>,
    folder: PathBuf,
    /// By reference; none where nothing is there.
    known: RwLock<BTreeMap<Box<str>, Option<Box<str>>>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Secrets of this environment and, where a path is relative, of this folder.
    pub fn new(env: BTreeMap<String, String>, folder: PathBuf) -> Self {
        Self(Arc::new(Inner { env, folder, known: RwLock::default() }))
    }

    /// What `env:NAME` or `file:path` stands for; none where nothing is there, or only blanks.
    pub fn find(&self, reference: &str) -> Option<String> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(reference) {
            return known.as_deref().map(str::to_owned);
        }
        drop(known);
        let found = self.read(reference);
        // A lock that was poisoned still guards a whole map: values are put in by single steps.
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(reference.into(), found.as_deref().map(Box::from));
        found
    }

    /// Reads everything again that was ever asked for.
    pub fn renew(&self) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        for (reference, value) in known.iter_mut() {
            *value = self.read(reference).map(Into::into);
        }
    }

    fn read(&self, reference: &str) -> Option<String> {
        let text = match reference.strip_prefix("env:") {
            Some(name) => self.0.env.get(name.trim()).cloned(),
            None => {
                let path = reference.strip_prefix("file:")?.trim();
                std::fs::read_to_string(self.0.folder.join(path)).ok()
            }
        };
        // Editors like to end a file with a line break.
        let text = text?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_as_it_was_read_until_all_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "one\n").unwrap();
        let env = BTreeMap::from([("KEY".to_owned(), " three ".to_owned())]);
        let secrets = Secrets::new(env, folder.path().to_owned());
        assert_eq!(secrets.find("file:key").as_deref(), Some("one"));
        assert_eq!(secrets.find("env:KEY").as_deref(), Some("three"));
        assert_eq!(secrets.find("env:NONE"), None);
        assert_eq!(secrets.find("file:later"), None);
        std::fs::write(&path, "two").unwrap();
        std::fs::write(folder.path().join("later"), "four").unwrap();
        assert_eq!(secrets.find("file:key").as_deref(), Some("one"));
        secrets.renew();
        assert_eq!(secrets.find("file:key").as_deref(), Some("two"));
        assert_eq!(secrets.find("file:later").as_deref(), Some("four"));
        assert!(!format!("{secrets:?}").contains("two"));
    }
}
