//! Temporary until merged.
/// x
pub fn email_hash(mail: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(mail.as_bytes()))
}
