//! Configuration that changes while the engine runs: objects by API, and files read again.

use crate::domain::compiled::reserved;
use crate::domain::confidential;
use crate::domain::problem::SettingsProblem;
use crate::domain::settings::Settings;
use crate::engine::handle::Engine;
use crate::engine::intake::entry::{Append, Then};
use crate::engine::receipt::Refusal;
use crate::engine::state::acted::Answer;
use crate::engine::state::configuration::{Effective, confidential_kind, section};
use crate::records::{ActRecord, ObjectKind, kind};
use crate::secrets::Secret;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Why an object was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectRefusal {
    /// It comes from a file.
    #[error("it comes from a configuration file and is read-only here; change the file and reload")]
    Provisioned,
    /// It would need events to be read again that the journal no longer holds.
    #[error("it needs every event to be read again, and journal.retain has let the oldest go: {0}")]
    JournalCut(&'static str),
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// It does not hold together with the rest; each sentence is one problem.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The engine takes nothing at the moment.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<Vec<SettingsProblem>> for ObjectRefusal {
    fn from(problems: Vec<SettingsProblem>) -> Self {
        Self::Invalid(problems.iter().map(ToString::to_string).collect())
    }
}

impl Engine {
    /// Creates or replaces an object; returns whether it is new, and the object as it now counts.
    ///
    /// # Errors
    /// When it comes from a file, does not hold together, or the engine takes nothing.
    pub async fn put_object(
        &self,
        object: ObjectKind,
        id: String,
        body: Value,
    ) -> Result<(bool, Value), ObjectRefusal> {
        let before = self.effective()?;
        if before.is_provisioned(object, &id) {
            return Err(ObjectRefusal::Provisioned);
        }
        let body = with_id(object, &id, body)?;
        let found = confidential_kind(object).map(|kind| confidential::problems(kind, &body));
        if let Some(problems) = found.filter(|found| !found.is_empty()) {
            let at = section(object);
            let named = problems.iter().map(|problem| format!("{at}.{id}.{problem}"));
            return Err(ObjectRefusal::Invalid(named.collect()));
        }
        let is_new = before.object(object, &id).is_none();
        let json = body.to_string();
        self.try_on(&before, object, &id, &json).await?;
        self.may_change(object).await?;
        let act = ActRecord::PutObject {
            at: self.running()?.shared.clock.now(),
            kind: object,
            id: id.clone(),
            json,
        };
        self.act(act).await?;
        let now = self.effective()?.object(object, &id).ok_or(ObjectRefusal::NotFound)?;
        Ok((is_new, now))
    }

    /// Refuses what could have no effect: values of a trait cannot be folded again without events.
    async fn may_change(&self, object: ObjectKind) -> Result<(), ObjectRefusal> {
        if object == ObjectKind::Trait && self.look(|identity| identity.is_cut()).await? {
            return Err(ObjectRefusal::JournalCut("folds of traits stay as they are"));
        }
        Ok(())
    }

    /// Reads secrets again that come from outside, and takes over what the files hold in clear.
    pub fn renew_secrets(&self, in_clear: BTreeMap<String, Secret>) {
        // One that is not running yet has read none.
        if let Ok(running) = self.running() {
            running.shared.secrets.renew(in_clear);
        }
    }

    /// Whether the whole would still hold together with this object in it.
    async fn try_on(
        &self,
        before: &Effective,
        object: ObjectKind,
        id: &str,
        json: &str,
    ) -> Result<(), ObjectRefusal> {
        let key = (object, id.to_owned());
        let hash_key = before.hash_key;
        let (files, mut objects) = self
            .look(|identity| (identity.core.files.clone(), identity.core.objects.clone()))
            .await?;
        objects.insert(key, json.to_owned());
        let whole = Effective::new(&files, &objects, hash_key)?;
        // What others hold was accepted once.
        let own = format!("{}.{id}.", section(object));
        let mut wrong = reserved(&whole.compiled.settings);
        wrong.retain(|problem| problem.at.starts_with(&own));
        if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
    }

    /// Removes an object.
    ///
    /// # Errors
    /// When it comes from a file, is not there, or the engine takes nothing.
    pub async fn delete_object(&self, object: ObjectKind, id: String) -> Result<(), ObjectRefusal> {
        if self.effective()?.is_provisioned(object, &id) {
            return Err(ObjectRefusal::Provisioned);
        }
        let wanted = id.clone();
        if !self.look(move |identity| identity.core.has_object(object, &wanted)).await? {
            return Err(ObjectRefusal::NotFound);
        }
        self.may_change(object).await?;
        self.act(ActRecord::DeleteObject {
            at: self.running()?.shared.clock.now(),
            kind: object,
            id,
        })
        .await
        .map(drop)
    }

    /// Puts what the configuration files say now in force; all of it or nothing.
    ///
    /// # Errors
    /// When it does not hold together, or the engine takes nothing.
    pub async fn reload(&self, files: Settings) -> Result<(), ObjectRefusal> {
        let (present, objects) = self
            .look(|identity| (identity.core.files.clone(), identity.core.objects.clone()))
            .await?;
        if present == files {
            return Ok(());
        }
        Effective::new(&files, &objects, self.effective()?.hash_key)?;
        let bytes = serde_json::to_vec(&files)
            .map_err(|cause| ObjectRefusal::Invalid(vec![cause.to_string()]))?;
        let (reply, answer) = oneshot::channel();
        let then = Then::Configuration { files: Box::new(files), reply };
        self.append(kind::CONFIGURATION, bytes, then)?;
        accepted(self.heard(answer).await?).map(drop)
    }

    /// Journals an act and returns what it came to.
    pub(in crate::engine) async fn act(&self, act: ActRecord) -> Result<Answer, ObjectRefusal> {
        let bytes =
            act.encode().map_err(|cause| ObjectRefusal::Invalid(vec![cause.to_string()]))?;
        let (reply, answer) = oneshot::channel();
        self.append(kind::ACT, bytes, Then::Act { act, reply: Some(reply) })?;
        accepted(self.heard(answer).await?)
    }

    fn append(&self, kind: u8, bytes: Vec<u8>, then: Then) -> Result<(), Refusal> {
        self.running()?
            .router
            .try_send(Append { kind, bytes, then })
            .map_err(|_| Refusal::Overloaded)
    }
}

fn accepted(answer: Answer) -> Result<Answer, ObjectRefusal> {
    match answer {
        Answer::Invalid(problems) => Err(ObjectRefusal::Invalid(problems)),
        Answer::Unknown => Err(ObjectRefusal::NotFound),
        Answer::Failed => Err(ObjectRefusal::Refused(Refusal::Panicked)),
        answer => Ok(answer),
    }
}

/// Puts the id that the path names into an object's body.
fn with_id(object: ObjectKind, id: &str, body: Value) -> Result<Value, ObjectRefusal> {
    let Value::Object(mut fields) = body else {
        return Err(ObjectRefusal::Invalid(vec!["expected a JSON object".to_owned()]));
    };
    let has_id = matches!(
        object,
        ObjectKind::Source | ObjectKind::IdentificationPoint | ObjectKind::Campaign
    );
    if has_id {
        match fields.insert("id".to_owned(), Value::String(id.to_owned())) {
            None => {}
            Some(Value::String(same)) if same == id || same.is_empty() => {}
            Some(other) => {
                let why = format!("id: expected {id:?} as in the path, found {other}");
                return Err(ObjectRefusal::Invalid(vec![why]));
            }
        }
    }
    Ok(Value::Object(fields))
}
