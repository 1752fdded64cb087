//! The request of one attempt: what the campaign says, what was enqueued, and the headers that are
//! ours.

use super::client::Call;
use super::sign::{SignError, signature};
use crate::domain::campaign::{Rendered, Webhook};
use crate::domain::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;
use url::Url;

/// What is sent and as which attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What was enqueued.
    pub rendered: &'a Rendered,
    /// The id that receivers tell repetitions by.
    pub webhook_id: &'a str,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// When it is made; signed along.
    pub at: Timestamp,
    /// Whether somebody only tries it out.
    pub is_test: bool,
}

/// Why there is no request to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// A reference leads nowhere.
    #[error("the secret of {0} is not there; set it and reload")]
    Secret(Box<str>),
    /// The signing secret cannot be used.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The URL cannot be used, which was checked when it was configured.
    #[error("expected an https address that the campaign allows")]
    Url,
}

impl Attempt<'_> {
    /// Puts the request together. `secrets` finds what `env:…` and `file:…` stand for.
    ///
    /// # Errors
    /// When a secret is not there or cannot be used.
    pub fn prepare(
        &self,
        webhook: &Webhook,
        secrets: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Call, PrepareError> {
        let url = Url::parse(&self.rendered.url).map_err(|_| PrepareError::Url)?;
        if url.scheme() != "https" && !(url.scheme() == "http" && webhook.allow_http) {
            return Err(PrepareError::Url);
        }
        let mut headers: Vec<(String, String)> = Vec::with_capacity(webhook.headers.len() + 7);
        for (name, value) in &webhook.headers {
            let value = value.resolve(secrets).ok_or_else(|| PrepareError::Secret(name.clone()))?;
            headers.push((name.to_string(), value.into_owned()));
        }
        let body = Bytes::from(self.rendered.body.clone().unwrap_or_default());
        let seconds = self.at.0.div_euclid(1_000);
        headers.push(("webhook-id".to_owned(), self.webhook_id.to_owned()));
        headers.push(("webhook-timestamp".to_owned(), seconds.to_string()));
        if let Some(sign) = &webhook.sign {
            let secret =
                sign.resolve(secrets).ok_or_else(|| PrepareError::Secret("sign".into()))?;
            let signature = signature(&secret, self.webhook_id, seconds, &body)?;
            headers.push(("webhook-signature".to_owned(), signature));
        }
        if self.is_test {
            headers.push(("x-selfsame-test".to_owned(), "true".to_owned()));
        }
        let mut unless_set = |name: &str, value: String| {
            if !headers.iter().any(|(known, _)| known == name) {
                headers.push((name.to_owned(), value));
            }
        };
        if self.rendered.body.is_some() {
            unless_set("content-type", "application/json".to_owned());
        }
        unless_set("user-agent", concat!("selfsame/", env!("CARGO_PKG_VERSION")).to_owned());
        unless_set("traceparent", self.traceparent());
        let method = webhook.method.name();
        let timeout = Some(Duration::from_millis(webhook.calling.timeout_ms.unsigned_abs()));
        Ok(Call { method, url, headers, body, timeout })
    }

    /// W3C Trace Context: one trace per webhook, one span per attempt.
    fn traceparent(&self) -> String {
        let trace = blake3::hash(self.webhook_id.as_bytes());
        let span = blake3::hash(format!("{}/{}", self.webhook_id, self.number).as_bytes());
        let (trace, span) = (&trace.as_bytes()[..16], &span.as_bytes()[..8]);
        format!("00-{}-{}-01", hex::encode(trace), hex::encode(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::Campaigns;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn campaigns(webhook: serde_json::Value) -> Campaigns {
        let campaign = json!({"trigger": {"event_type": "a"}, "step": [{"webhook": webhook}]});
        Campaigns::compile(&BTreeMap::from([("c".to_owned(), campaign)])).unwrap()
    }

    fn prepare(webhook: serde_json::Value, body: Option<&str>) -> Result<Call, PrepareError> {
        let campaigns = campaigns(webhook);
        let webhook = campaigns.get("c").unwrap().webhook(0).unwrap();
        let url = webhook.url.to_string();
        let rendered = Rendered { url, body: body.map(str::to_owned) };
        let at = Timestamp(1_614_265_330_999);
        let attempt =
            Attempt { rendered: &rendered, webhook_id: "msg_1", number: 1, at, is_test: true };
        let secrets = |name: &str| (name == "env:KEY").then(|| "secret".to_owned());
        attempt.prepare(webhook, &secrets)
    }

    #[test]
    fn our_headers_are_there_and_secrets_are_put_in() {
        let webhook = json!({"url": "https://esp.example/x", "sign": "env:KEY",
            "headers": {"X-Key": "env:KEY", "Content-Type": "application/vnd.x+json"}});
        let call = prepare(webhook, Some("{}")).unwrap();
        let header = |name: &str| {
            let found: Vec<_> = call.headers.iter().filter(|(known, _)| known == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.clone()
        };
        assert_eq!(header("x-key"), "secret");
        assert_eq!(header("content-type"), "application/vnd.x+json");
        assert_eq!(header("webhook-id"), "msg_1");
        assert_eq!(header("webhook-timestamp"), "1614265330");
        assert!(header("webhook-signature").starts_with("v1,"));
        assert!(header("user-agent").starts_with("selfsame/"));
        assert_eq!(header("traceparent").len(), 55);
        assert_eq!(header("x-selfsame-test"), "true");
    }

    #[test]
    fn a_secret_that_is_not_there_is_named_by_its_header() {
        let webhook = json!({"url": "https://esp.example/x", "headers": {"X-Key": "env:GONE"}});
        assert_eq!(prepare(webhook, None).unwrap_err(), PrepareError::Secret("x-key".into()));
    }
}
