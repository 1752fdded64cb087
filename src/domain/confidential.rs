//! Secrets in configuration objects: where they may stand, how they are referred to, and what looks
//! like one.
//!
//! Promises: nothing here reads a secret; no sentence repeats a value; what is masked is masked by
//! its place, so that a value that no longer compiles is masked as well.

use serde_json::Value;

/// What stands in the place of a value that is not shown.
pub const MASK: &str = "***";

/// Names of secrets in the store, at most so long.
const NAME_MAX: usize = 128;

/// A reference to a secret, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'t> {
    /// `env:NAME`: a variable of the environment.
    Env(&'t str),
    /// `file:path`: a file below the config folder.
    File(&'t str),
    /// `secret:NAME`: one of the store.
    Stored(&'t str),
    /// `in-file:place`: what a config file holds in clear at that place; ours, nobody writes it.
    InFile(&'t str),
}

impl<'t> Reference<'t> {
    /// Reads one; none where the text is something else.
    pub fn parse(text: &'t str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let rest = rest.trim();
        match scheme {
            "env" => Some(Self::Env(rest)),
            "file" => Some(Self::File(rest)),
            "secret" => Some(Self::Stored(rest)),
            "in-file" => Some(Self::InFile(rest)),
            _ => None,
        }
    }

    /// The text that [`Reference::parse`] reads as [`Reference::InFile`].
    pub fn in_file(place: &str) -> String {
        format!("in-file:{place}")
    }
}

/// Whether a text may be the name of a secret in the store.
pub fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(is_inner)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What sort of object a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A `[[source]]`.
    Source,
    /// A `[[campaign]]`.
    Campaign,
}

/// A text at a place where a secret or a reference to one may stand.
pub struct Spot<'v> {
    /// Where it stands in the object, such as `step[0].webhook.sign`.
    pub place: String,
    /// Whether what stands there in clear would be a secret.
    pub is_secret: bool,
    /// The text.
    pub text: &'v mut String,
}

/// Goes to every place of an object where a secret or a reference to one may stand.
pub fn visit(kind: Kind, object: &mut Value, seen: &mut dyn FnMut(Spot<'_>)) {
    match kind {
        Kind::Campaign => {
            let steps = object.get_mut("step").and_then(Value::as_array_mut);
            for (number, step) in steps.into_iter().flatten().enumerate() {
                let Some(webhook) = step.get_mut("webhook") else { continue };
                visit_webhook(&format!("step[{number}].webhook"), webhook, seen);
            }
        }
        Kind::Source => {
            for key in ["verify", "handshake"] {
                if let Some(value) = object.get_mut(key) {
                    visit_checks(key, "", value, seen);
                }
            }
        }
    }
}

fn visit_webhook(at: &str, webhook: &mut Value, seen: &mut dyn FnMut(Spot<'_>)) {
    let headers = webhook.get_mut("headers").and_then(Value::as_object_mut);
    for (name, value) in headers.into_iter().flatten() {
        if let Value::String(text) = value {
            let is_secret = looks_like_key(name, text);
            seen(Spot { place: format!("{at}.headers.{name}"), is_secret, text });
        }
    }
    if let Some(Value::String(text)) = webhook.get_mut("sign") {
        seen(Spot { place: format!("{at}.sign"), is_secret: true, text });
    }
}

/// What a source is verified by, or answers handshakes with; `key` is the one that `value` is under.
pub fn visit_checks(at: &str, key: &str, value: &mut Value, seen: &mut dyn FnMut(Spot<'_>)) {
    match value {
        Value::String(text) => {
            let is_secret = matches!(key, "secret" | "secrets" | "token" | "password");
            seen(Spot { place: at.to_owned(), is_secret, text });
        }
        Value::Array(items) => {
            for (number, item) in items.iter_mut().enumerate() {
                visit_checks(&format!("{at}[{number}]"), key, item, seen);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                visit_checks(&format!("{at}.{key}"), key, member, seen);
            }
        }
        _ => {}
    }
}

/// What is wrong with the secrets of an object that is set by API; a sentence each.
pub fn problems(kind: Kind, object: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    visit(kind, &mut object.clone(), &mut |Spot { place, is_secret, text }| {
        let why = match Reference::parse(text) {
            Some(Reference::Stored(name)) if is_name(name) => return,
            Some(Reference::Stored(_)) => {
                "expected secret: and a name of 1 to 128 of A-Z, a-z, 0-9, _, . and -"
            }
            Some(_) => "expected secret:NAME, as an object set by API reads no variables and files",
            None if is_secret => "expected secret:NAME, found what looks like a secret in clear",
            None => return,
        };
        problems.push(format!(
            "{place}: {why}; PUT /api/v1/secrets/NAME with {{\"value\": \"…\"}} first, then name it here"
        ));
    });
    problems
}

/// The object as it may be shown: secrets in clear are masked, references stand as they are.
#[must_use]
pub fn masked(kind: Kind, mut object: Value) -> Value {
    visit(kind, &mut object, &mut |Spot { is_secret, text, .. }| {
        let is_hidden = match Reference::parse(text) {
            Some(Reference::InFile(_)) => true,
            Some(_) => false,
            None => is_secret,
        };
        if is_hidden {
            MASK.clone_into(text);
        }
    });
    object
}

/// The names of the store that an object refers to, each with its place.
pub fn stored(kind: Kind, object: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    visit(kind, &mut object.clone(), &mut |Spot { place, text, .. }| {
        if let Some(Reference::Stored(name)) = Reference::parse(text) {
            found.push((name.to_owned(), place));
        }
    });
    found
}

/// Words of header names whose values let somebody in.
const KEY_WORDS: [&str; 18] = [
    "auth",
    "authentication",
    "authorization",
    "apikey",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "hmac",
    "jwt",
    "key",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "signature",
    "token",
];
/// What such words may be a part of, as in `x-apitoken`.
const KEY_PARTS: [&str; 6] =
    ["accesskey", "apikey", "authorization", "password", "secret", "token"];
/// What a key is of where it lets nobody in.
const HARMLESS_KEYS: [&str; 6] = ["idempotency", "partition", "routing", "sort", "dedup", "cache"];
/// Headers whose values are words, however long.
const WORDY: [&str; 8] = [
    "accept",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "from",
    "referer",
    "user-agent",
];
/// How values begin that are keys, whatever the header is called.
const KEY_BEGINNINGS: [&str; 24] = [
    "bearer ",
    "basic ",
    "digest ",
    "token ",
    "apikey ",
    "api-key ",
    "key ",
    "whsec_",
    "sk_",
    "sk-",
    "rk_live_",
    "pk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "akia",
    "eyj",
    "shpat_",
    "-----begin",
];
/// A run of letters and digits of this length is nobody's word.
const RUN: usize = 20;

/// Whether a header's value lets somebody in, by its name or by its shape.
pub fn looks_like_key(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    names_key(&name)
        || (!WORDY.contains(&name.as_str()) && is_shaped_like_key(value))
        || begins_like_key(value)
}

fn names_key(name: &str) -> bool {
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let is_harmless = words.iter().any(|word| HARMLESS_KEYS.contains(word));
    words.iter().any(|word| KEY_WORDS.contains(word) && !(*word == "key" && is_harmless))
        || KEY_PARTS.iter().any(|part| name.contains(part))
}

fn begins_like_key(value: &str) -> bool {
    let value = value.trim_start().to_ascii_lowercase();
    KEY_BEGINNINGS.iter().any(|beginning| value.starts_with(beginning))
}

/// Whether there is a long run of letters and digits, both of them, as of base64 and hexadecimal.
fn is_shaped_like_key(value: &str) -> bool {
    // A slash parts the words of a path, so it ends a run, although base64 knows it.
    let is_of_run = |c: char| c.is_ascii_alphanumeric() || "+=".contains(c);
    value.split(|c: char| !is_of_run(c)).any(|run| {
        run.len() >= RUN
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn campaign(webhook: Value) -> Value {
        json!({ "step": [{ "wait": "1d" }, { "webhook": webhook }] })
    }

    #[test]
    fn references_are_told_from_values() {
        assert_eq!(Reference::parse("env: A "), Some(Reference::Env("A")));
        assert_eq!(Reference::parse("file:a/b"), Some(Reference::File("a/b")));
        assert_eq!(Reference::parse("secret:x"), Some(Reference::Stored("x")));
        let own = Reference::in_file("campaign.c.sign");
        assert_eq!(Reference::parse(&own), Some(Reference::InFile("campaign.c.sign")));
        for text in ["", "environment", "Env:X", " env:X", "https://x.example", "secrets:x"] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
        assert!(is_name("ESP_KEY") && is_name("esp-key.2") && is_name(&"a".repeat(128)));
        for name in ["", "-a", ".a", "a b", "a/b", "ä", "a:b", &"a".repeat(129)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn an_object_set_by_api_names_the_store_only_and_no_sentence_repeats_a_value() {
        for (webhook, place) in [
            (json!({"headers": {"Authorization": "zx-value"}}), "headers.Authorization"),
            (json!({"headers": {"X-Api-Key": "env:ZX_VALUE"}}), "headers.X-Api-Key"),
            (json!({"headers": {"X-Mode": "file:zx-value"}}), "headers.X-Mode"),
            (json!({"headers": {"X-Mode": "in-file:zx-value"}}), "headers.X-Mode"),
            (json!({"headers": {"X-Mode": "secret:zx value"}}), "headers.X-Mode"),
            (json!({"headers": {"X-Mode": "Bearer zx-value"}}), "headers.X-Mode"),
            (json!({"headers": {"Cookie": MASK}}), "headers.Cookie"),
            (json!({"sign": "zx-value"}), "sign"),
            (json!({"sign": "env:ZX_VALUE"}), "sign"),
        ] {
            let found = problems(Kind::Campaign, &campaign(webhook));
            assert_eq!(found.len(), 1, "{place}");
            assert!(found[0].starts_with(&format!("step[1].webhook.{place}: ")), "{found:?}");
            assert!(!found[0].to_lowercase().contains("zx"), "{found:?}");
        }
        let fine =
            json!({"sign": "secret:s", "headers": {"Authorization": "secret:a", "X-Mode": "fast"}});
        assert_eq!(problems(Kind::Campaign, &campaign(fine)), Vec::<String>::new());
        let verify = json!({"verify": [{"scheme": "token", "secret": ["secret:a", "zx-value"]},
            {"user": "ann", "secret": "env:X"}], "handshake": {"token": "zx-value"}});
        let places: Vec<String> = problems(Kind::Source, &verify)
            .iter()
            .map(|problem| problem.split(": ").next().unwrap().to_owned())
            .collect();
        assert_eq!(places, ["verify[0].secret[1]", "verify[1].secret", "handshake.token"]);
    }

    #[test]
    fn what_is_shown_holds_references_but_no_values() {
        let object = campaign(json!({"sign": "zx-value", "url": "https://x.example/",
            "headers": {"X-Key": "in-file:place", "X-Mode": "fast", "Authorization": "secret:a"}}));
        let expected = campaign(json!({"sign": MASK, "url": "https://x.example/",
            "headers": {"X-Key": MASK, "X-Mode": "fast", "Authorization": "secret:a"}}));
        assert_eq!(masked(Kind::Campaign, object.clone()), expected);
        let used = [("a".to_owned(), "step[1].webhook.headers.Authorization".to_owned())];
        assert_eq!(stored(Kind::Campaign, &object), used);
        let odd = json!({"step": [7, {"webhook": [1]}, {"webhook": {"headers": "x", "sign": 1}}]});
        assert_eq!(masked(Kind::Campaign, odd.clone()), odd);
    }

    #[test]
    fn keys_are_seen_by_name_and_by_shape() {
        for (name, value) in [
            ("Authorization", "x"),
            ("X-Api-Key", "k"),
            ("x-apikey", "k"),
            ("X-AuthToken", "k"),
            ("dd-application-key", "k"),
            ("Cookie", "a=b"),
            ("X-Hub-Signature", "k"),
            ("x-mode", "Bearer k"),
            ("user-agent", "whsec_k"),
            ("x-mode", "sk_live_51H"),
            ("x-mode", "9f86d081884c7d659a2feaa0c55ad015"),
            ("x-mode", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ] {
            assert!(looks_like_key(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("Accept", "application/vnd.example.v20260101000000+json"),
            ("User-Agent", "mine/1.0 (build20260101000000x)"),
            ("X-Campaign", "2026-autumn-welcome-back-everyone"),
            ("X-Mode", "fast"),
            ("X-Tenant", "0193e9a0-0000-7000-8000-000000000000"),
            ("Idempotency-Key", "one"),
            ("X-Routing-Key", "orders.created"),
            ("X-Origin", "https://shop.example/campaigns/2026/welcome"),
            ("X-Author", "monkey"),
            ("X-Number", "12345678901234567890123"),
        ] {
            assert!(!looks_like_key(name, value), "{name}: {value}");
        }
    }
}
