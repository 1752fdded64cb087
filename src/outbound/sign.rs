//! Standard Webhooks signatures: `v1`, HMAC-SHA256 over `id.timestamp.body`.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::engine::{
    DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD,
};
use base64::{Engine, alphabet};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// People copy secrets with and without their padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// What follows `whsec_` is no base64.
    #[error("expected base64 after whsec_ in the signing secret; copy it again")]
    Encoding,
    /// There is none.
    #[error("expected a signing secret, found nothing")]
    Empty,
}

/// The value of `webhook-signature`: one signature for each of the secrets, which stand separated
/// by blanks, so that a receiver that knows either is content while they rotate.
///
/// A secret is `whsec_` and base64, or else the text itself; `timestamp` is in seconds since 1970.
///
/// # Errors
/// When a secret cannot be used.
pub fn signature(
    secrets: &str,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, SignError> {
    let mut signatures = Vec::new();
    for secret in secrets.split_whitespace() {
        let key = match secret.strip_prefix("whsec_") {
            Some(encoded) => LENIENT.decode(encoded).map_err(|_| SignError::Encoding)?,
            None => secret.as_bytes().to_vec(),
        };
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length (RFC 2104)");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    if signatures.is_empty() { Err(SignError::Empty) } else { Ok(signatures.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    /// From the test vectors of the libraries of Standard Webhooks.
    const EXPECTED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn a_known_message_has_its_known_signature() {
        assert_eq!(signature(SECRET, ID, 1_614_265_330, BODY).unwrap(), EXPECTED);
    }

    #[test]
    fn each_secret_signs_while_they_rotate() {
        let both = signature(&format!("plain {SECRET}"), ID, 1_614_265_330, BODY).unwrap();
        let all: Vec<&str> = both.split(' ').collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1], EXPECTED);
        assert_ne!(all[0], EXPECTED);
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_told() {
        assert_eq!(signature("whsec_???", ID, 1, BODY), Err(SignError::Encoding));
        assert_eq!(signature("  ", ID, 1, BODY), Err(SignError::Empty));
        assert!(!SignError::Encoding.to_string().contains('?'));
    }
}
