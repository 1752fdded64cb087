//! Why a call failed.

use super::guard::Refused;
use crate::domain::campaign::retry::Verdict;
use std::io;
use std::time::Duration;

/// Why no answer came back.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no request to send.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
    /// The address may not be dialled.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Name(io::Error),
    /// Nobody is there.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// There is no trust.
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("{0} took longer than {1:?}")]
    Timeout(&'static str, Duration),
    /// The connection broke before anything of the request was written.
    #[error("the connection broke before the request was written: {0}")]
    Unwritten(String),
    /// The connection broke, or what came is not HTTP.
    #[error(
        "the exchange failed after the request was written, so it was not written again in this \
         attempt: {0}"
    )]
    Exchange(String),
    /// There was no end of informational answers.
    #[error("expected an answer, found more than {EARLY} informational ones (1xx) before it")]
    Informational,
}

impl CallError {
    /// What it means for the delivery: an address that may not be dialled is final, as is a request
    /// that cannot be sent.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Invalid(_) | Self::Refused(_) => Verdict::Final,
            _ => Verdict::Again,
        }
    }
}

/// Informational answers (1xx) before the answer; one more and the exchange has failed.
pub(super) const EARLY: usize = 8;
