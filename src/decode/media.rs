//! What a `Content-Type` says, its parameters ignored but for those without which a body cannot be
//! read.

use crate::decode::charset;
use encoding_rs::Encoding;

/// How a body is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    /// A JSON value per line.
    Lines,
    Form,
    Multipart {
        boundary: Option<String>,
    },
    Text,
    /// No type, or one that says nothing about the content: the first byte decides.
    Unknown,
}

impl Media {
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or_default();
        // A header that was sent twice comes as a list.
        let essence = content_type.split([';', ',']).next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonl"
            | "application/json-lines"
            | "application/x-json-lines"
            | "application/jsonlines" => Self::Lines,
            "application/json" | "text/json" | "application/x-json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => {
                Self::Multipart { boundary: multer::parse_boundary(content_type).ok() }
            }
            "application/xml" => Self::Text,
            text if text.starts_with("text/") || text.ends_with("+xml") => Self::Text,
            json if json.ends_with("+json") => Self::Json,
            _ => Self::Unknown,
        }
    }

    /// Whether the type may lie: senders put JSON into texts (SNS), and tools send it as a form
    /// unless told otherwise (curl).
    pub(super) fn is_sniffed(&self) -> bool {
        matches!(self, Self::Text | Self::Form)
    }
}

/// The encoding that a media type's `charset` names.
pub(super) fn encoding(content_type: Option<&str>) -> Option<&'static Encoding> {
    content_type?.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| charset::named(value)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        assert_eq!(Media::of(Some("Application/JSON; charset=utf-8")), Media::Json);
        assert_eq!(Media::of(Some("application/cloudevents-batch+json")), Media::Json);
        assert_eq!(
            encoding(Some("text/xml; charset=\"ISO-8859-1\"")),
            Some(encoding_rs::WINDOWS_1252)
        );
        assert_eq!(Media::of(Some("image/svg+xml")), Media::Text);
        let twice = "application/x-www-form-urlencoded, application/x-www-form-urlencoded";
        assert_eq!(Media::of(Some(twice)), Media::Form);
        assert_eq!(Media::of(Some("application/octet-stream")), Media::Unknown);
        assert_eq!(Media::of(None), Media::Unknown);
        let boundary = Some("x".to_owned());
        assert_eq!(
            Media::of(Some("multipart/form-data; boundary=x")),
            Media::Multipart { boundary }
        );
    }
}
