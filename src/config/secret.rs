//! Secrets: given by reference, read once at start, never shown.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// A secret value, or the reference to one until it is resolved. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret of this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for comparing and signing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a text is a reference rather than a value.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// Reads what `env:NAME` or `file:path` refers to; any other text is the value itself.
///
/// A relative path starts at `base`, the config folder. Blanks around the value are cut off, as
/// editors like to end a file with a line break.
///
/// # Errors
/// A sentence that says what is not there and how to put it there; never the value.
pub(super) fn resolve(
    text: &str,
    env: &BTreeMap<String, String>,
    base: &Path,
) -> Result<Secret, String> {
    let value = if let Some(name) = text.strip_prefix("env:") {
        let value = env.get(name.trim()).cloned();
        value.ok_or_else(|| format!("the environment variable {name} is not set; set it"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        let path = base.join(path.trim());
        std::fs::read_to_string(&path)
            .map_err(|e| format!("the secret's file {} cannot be read: {e}", path.display()))?
    } else {
        text.to_owned()
    };
    match value.trim() {
        "" => Err(format!(
            "the secret is empty; give {} a value",
            if is_reference(text) { text } else { "it" }
        )),
        value => Ok(Secret::new(value)),
    }
}

/// Reads every reference inside a JSON value into `found`, and reports those that are not there.
pub(super) fn resolve_within(
    value: &serde_json::Value,
    env: &BTreeMap<String, String>,
    base: &Path,
    found: &mut BTreeMap<String, Secret>,
    problems: &mut Vec<String>,
) {
    match value {
        serde_json::Value::String(text) if is_reference(text) => match resolve(text, env, base) {
            Ok(secret) => drop(found.insert(text.clone(), secret)),
            Err(problem) => problems.push(problem),
        },
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| resolve_within(item, env, base, found, problems));
        }
        serde_json::Value::Object(map) => {
            map.values().for_each(|item| resolve_within(item, env, base, found, problems));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_reference_and_never_shown() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "s3cret\n".to_owned())]);
        let secret = resolve("env:TOKEN", &env, Path::new(".")).unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
        assert!(resolve("env:NOT_THERE", &env, Path::new(".")).unwrap_err().contains("NOT_THERE"));
        assert!(resolve("file:no/such", &env, Path::new(".")).unwrap_err().contains("no/such"));
        assert!(resolve("", &env, Path::new(".")).is_err());
    }
}
