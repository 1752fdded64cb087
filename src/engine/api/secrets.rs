//! The store of secrets as operators see it: set and removed, told of by name, never read.

use crate::domain::confidential::is_name;
use crate::engine::handle::Engine;
use crate::engine::receipt::Refusal;
use crate::secrets::store::{Held, Store};
use crate::secrets::{Secret, StoreError};

/// Why a secret was not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum SecretRefusal {
    /// No name for one.
    #[error("expected a name of 1 to 128 of A-Z, a-z, 0-9, _, . and -")]
    Name,
    /// There is no such secret.
    #[error("there is no secret of that name")]
    NotFound,
    /// Something refers to it.
    #[error("it is used by {}; let them name another one first", .0.join(", "))]
    InUse(Vec<String>),
    /// It cannot be written, or there are too many.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine takes nothing at the moment.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What is told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    /// Its name, and since when it is there.
    pub held: Held,
    /// The places that refer to it, such as `campaign.welcome.step[0].webhook.sign`.
    pub used_by: Vec<String>,
}

impl Engine {
    /// Sets a secret, durably; returns whether it is new. `most` of them are held.
    ///
    /// # Errors
    /// When the name is none, there are too many, or it cannot be written.
    pub async fn set_secret(
        &self,
        name: String,
        value: Secret,
        most: usize,
    ) -> Result<bool, SecretRefusal> {
        if !is_name(&name) {
            return Err(SecretRefusal::Name);
        }
        let now = self.running()?.shared.clock.now();
        self.with_store(move |store| store.set(&name, value, now, most)).await
    }

    /// Removes a secret that nothing refers to; `token_name` is what the admin token refers to.
    ///
    /// # Errors
    /// When there is none, something refers to it, or the store cannot be written.
    pub async fn remove_secret(
        &self,
        name: String,
        token_name: Option<&str>,
    ) -> Result<(), SecretRefusal> {
        let Some(found) = self.secret(&name, token_name)? else {
            return Err(SecretRefusal::NotFound);
        };
        if !found.used_by.is_empty() {
            return Err(SecretRefusal::InUse(found.used_by));
        }
        match self.with_store(move |store| store.remove(&name)).await? {
            true => Ok(()),
            false => Err(SecretRefusal::NotFound),
        }
    }

    /// What is told of a secret.
    ///
    /// # Errors
    /// When the engine is not running.
    pub fn secret(
        &self,
        name: &str,
        token_name: Option<&str>,
    ) -> Result<Option<SecretView>, Refusal> {
        let all = self.secrets(token_name)?;
        Ok(all.into_iter().find(|one| one.held.name == name))
    }

    /// All secrets, by name.
    ///
    /// # Errors
    /// When the engine is not running.
    pub fn secrets(&self, token_name: Option<&str>) -> Result<Vec<SecretView>, Refusal> {
        let held = self.running()?.shared.secrets.store().map(Store::list).unwrap_or_default();
        let mut used = self.effective()?.secrets_used();
        if let Some(name) = token_name {
            used.entry(name.to_owned()).or_default().push("admin.token".to_owned());
        }
        let told = held.into_iter().map(|held| {
            let used_by = used.remove(&held.name).unwrap_or_default();
            SecretView { held, used_by }
        });
        Ok(told.collect())
    }

    /// Does something with the store that may block.
    async fn with_store<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, SecretRefusal> {
        let secrets = self.running()?.shared.secrets.clone();
        let acted = actix_rt::task::spawn_blocking(move || secrets.store().map(act));
        match acted.await {
            Ok(Some(outcome)) => Ok(outcome?),
            // A running engine has opened it; what was cut off may be tried again.
            Ok(None) | Err(_) => Err(Refusal::Recovering.into()),
        }
    }
}
