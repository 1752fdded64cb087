//! Every problem code that the program shows to its callers, once: name, status, title and when to
//! try again. `http::problem` turns them into answers; nothing else makes one up.

/// A public problem code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The body of an unverified source cannot be read.
    MalformedBody,
    /// The event type, source or session in the path is not acceptable.
    MalformedPath,
    /// An admin request that makes no sense.
    InvalidRequest,
    /// The sender's signature is missing.
    SignatureMissing,
    /// The sender's signature does not fit.
    SignatureInvalid,
    /// The signed time is too far away.
    SignatureExpired,
    /// The token is missing or wrong.
    TokenInvalid,
    /// A web page of another origin asks.
    CrossOrigin,
    /// There is no such source.
    SourceNotFound,
    /// The source is switched off.
    SourceDisabled,
    /// There is no such thing.
    NotFound,
    /// The source does not take this method.
    MethodNotAllowed,
    /// The request took too long to arrive.
    TooSlow,
    /// It comes from a file and is read-only.
    Provisioned,
    /// Something refers to it.
    InUse,
    /// Nothing holds the profile together by what was named.
    NotMerged,
    /// It needs events that the journal no longer holds.
    JournalCut,
    /// The body is longer than `limits.body`.
    BodyTooLarge,
    /// The path and query are longer than `limits.url`.
    UrlTooLong,
    /// The body's encoding is not known.
    UnsupportedEncoding,
    /// The body's media type is not the one that is taken.
    UnsupportedMediaType,
    /// The name by which the program was asked is not its own.
    WrongHost,
    /// The source's rate is used up.
    RateLimited,
    /// The headers are longer than `limits.headers`.
    HeadersTooLarge,
    /// A fault of ours.
    Internal,
    /// A queue is full.
    Overloaded,
    /// The disk is nearly full.
    StorageFull,
    /// The journal failed.
    StorageFailed,
    /// Starting or stopping.
    Recovering,
}

/// Whether and when the same request may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not before something about the request, the source or the token has changed.
    Never,
    /// After so many seconds, as `Retry-After` says.
    After(u32),
}

impl Code {
    /// All of them, by status.
    pub const ALL: [Self; 29] = [
        Self::MalformedBody,
        Self::MalformedPath,
        Self::InvalidRequest,
        Self::SignatureMissing,
        Self::SignatureInvalid,
        Self::SignatureExpired,
        Self::TokenInvalid,
        Self::CrossOrigin,
        Self::SourceNotFound,
        Self::SourceDisabled,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Provisioned,
        Self::InUse,
        Self::NotMerged,
        Self::JournalCut,
        Self::BodyTooLarge,
        Self::UrlTooLong,
        Self::UnsupportedEncoding,
        Self::UnsupportedMediaType,
        Self::WrongHost,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Overloaded,
        Self::StorageFull,
        Self::StorageFailed,
        Self::Recovering,
    ];

    /// Name, HTTP status, title and retry advice.
    const fn row(self) -> (&'static str, u16, &'static str, Retry) {
        use Retry::{After, Never};
        match self {
            Self::MalformedBody => ("malformed_body", 400, "The body cannot be read", Never),
            Self::MalformedPath => ("malformed_path", 400, "The path cannot be used", Never),
            Self::InvalidRequest => ("invalid_request", 400, "The request makes no sense", Never),
            Self::SignatureMissing => ("signature_missing", 401, "A signature is missing", Never),
            Self::SignatureInvalid => ("signature_invalid", 401, "The signature is wrong", Never),
            Self::SignatureExpired => ("signature_expired", 401, "The signature is old", Never),
            Self::TokenInvalid => ("token_invalid", 401, "The token is missing or wrong", Never),
            Self::CrossOrigin => {
                ("cross_origin", 403, "A web page of another origin may not ask", Never)
            }
            Self::SourceNotFound => ("source_not_found", 404, "There is no such source", Never),
            Self::SourceDisabled => ("source_disabled", 404, "The source is switched off", Never),
            Self::NotFound => ("not_found", 404, "There is no such thing", Never),
            Self::MethodNotAllowed => {
                ("method_not_allowed", 405, "The method is not allowed here", Never)
            }
            Self::TooSlow => ("too_slow", 408, "The request took too long to arrive", Never),
            Self::Provisioned => {
                ("provisioned", 409, "It comes from a file: change it there", Never)
            }
            Self::InUse => ("in_use", 409, "Something refers to it", Never),
            Self::NotMerged => ("not_merged", 409, "Nothing holds together by it", Never),
            Self::JournalCut => ("journal_cut", 409, "The journal lost its beginning", Never),
            Self::BodyTooLarge => ("body_too_large", 413, "The body is too large", Never),
            Self::UrlTooLong => ("url_too_long", 414, "The URL is too long", Never),
            Self::UnsupportedEncoding => {
                ("unsupported_encoding", 415, "The body's encoding is not known", Never)
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", 415, "The body's media type is not taken", Never)
            }
            Self::WrongHost => ("wrong_host", 421, "It is not asked by its own name", Never),
            Self::RateLimited => ("rate_limited", 429, "The source's rate is used up", After(1)),
            Self::HeadersTooLarge => ("headers_too_large", 431, "The headers are too large", Never),
            Self::Internal => ("internal", 500, "A fault of the program", Never),
            Self::Overloaded => ("overloaded", 503, "Too much at once", After(1)),
            Self::StorageFull => ("storage_full", 503, "The disk is nearly full", After(60)),
            Self::StorageFailed => ("storage_failed", 503, "The storage failed", After(30)),
            Self::Recovering => ("recovering", 503, "Starting or stopping", After(2)),
        }
    }

    /// The stable name, as `code` in every answer.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// A short sentence for people, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// Whether and when to try again.
    pub const fn retry(self) -> Retry {
        self.row().3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_name_of_its_own_and_an_error_status() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
    }

    #[test]
    fn whatever_may_be_tried_again_says_when() {
        for code in Code::ALL {
            let says = matches!(code.retry(), Retry::After(seconds) if seconds > 0);
            assert_eq!(says, matches!(code.status(), 429 | 503), "{}", code.name());
        }
    }
}
