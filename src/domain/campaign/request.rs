//! The request that a webhook makes of a profile and an event, and its id.

use crate::domain::campaign::config::MissingConfig;
use crate::domain::campaign::model::{Method, NamedField, Webhook};
use crate::domain::campaign::{EventFacts, Person};
use crate::domain::json::{quote, unquote};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What of a request depends on profile and event; method, headers and signature are the webhook's
/// and are looked up when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// With the fields of a GET.
    pub url: String,
    /// The JSON of a POST.
    pub body: Option<String>,
}

/// Bytes of the longest body or URL; fields can name a large property many times.
const LONGEST: usize = 1024 * 1024;

/// Why nothing is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A field is absent, and `on_missing` is `abort`.
    #[error("the field {field} is absent: there is no {path}, and its on_missing is abort")]
    Missing {
        /// Its name in the request.
        field: Box<str>,
        /// Where it comes from.
        path: Box<str>,
    },
    /// All fields together are larger than a request may be.
    #[error("the fields are longer than 1 MiB")]
    TooLarge,
}

/// The id under which a webhook is sent, each time it is tried: a function of the event that
/// triggered the run, the campaign and the step.
pub fn webhook_id(event_id: &str, campaign: &str, step: u16) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [event_id.as_bytes(), campaign.as_bytes(), &step.to_le_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    format!("msg_{}", URL_SAFE_NO_PAD.encode(&hasher.finalize().as_bytes()[..16]))
}

impl Webhook {
    /// Puts the request together. Without the event (it is no longer kept), what comes from it is
    /// absent.
    ///
    /// # Errors
    /// The first absent field, where `on_missing` is `abort`; or that there is too much to send.
    pub fn render(
        &self,
        person: &Person<'_>,
        event: Option<&EventFacts<'_>>,
    ) -> Result<Rendered, Unsendable> {
        let values = self.paths.read(event.map_or("", |event| event.properties));
        let mut members: Vec<(&str, Cow<'_, str>)> = Vec::new();
        for NamedField { name, from, path, on_missing, default } in &self.fields {
            let found = from.json(person, event, &values);
            match found.or_else(|| default.as_deref().map(Cow::Borrowed)) {
                Some(json) => members.push((name, json)),
                None => match on_missing {
                    MissingConfig::Omit => {}
                    MissingConfig::Null => members.push((name, Cow::Borrowed("null"))),
                    MissingConfig::Abort => {
                        let (field, path) = (name.clone(), path.clone());
                        return Err(Unsendable::Missing { field, path });
                    }
                },
            }
        }
        members.extend(self.fixed.iter().map(|(name, json)| (&**name, Cow::Borrowed(&**json))));
        if members.iter().map(|(name, json)| name.len() + json.len()).sum::<usize>() > LONGEST {
            return Err(Unsendable::TooLarge);
        }
        Ok(match self.method {
            Method::Post => Rendered { url: self.url.to_string(), body: Some(object(&members)) },
            Method::Get => Rendered { url: self.query(&members), body: None },
        })
    }

    /// The URL with the members after its own query; texts without their quotes, null as nothing.
    fn query(&self, members: &[(&str, Cow<'_, str>)]) -> String {
        let mut url = self.url.clone();
        if !members.is_empty() {
            let mut query = url.query_pairs_mut();
            for (name, json) in members {
                let text = match json.as_ref() {
                    "null" => Cow::Borrowed(""),
                    spelling => unquote(spelling).unwrap_or(Cow::Borrowed(spelling)),
                };
                query.append_pair(name, &text);
            }
        }
        url.into()
    }
}

/// A JSON object of members whose values are JSON already.
fn object(members: &[(&str, Cow<'_, str>)]) -> String {
    let mut text = String::from("{");
    for (name, json) in members {
        if text.len() > 1 {
            text.push(',');
        }
        quote(name, &mut text);
        text.push(':');
        text.push_str(json);
    }
    text.push('}');
    text
}
