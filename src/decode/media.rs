//! What a `Content-Type` says, its parameters ignored but for those without which a body cannot be
//! read.

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
    Text {
        latin1: bool,
    },
    /// No type, or one that says nothing about the content: the first byte decides.
    Unknown,
}

impl Media {
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or_default();
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
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
            "application/xml" => Self::text(parameters),
            text if text.starts_with("text/") || text.ends_with("+xml") => Self::text(parameters),
            json if json.ends_with("+json") => Self::Json,
            _ => Self::Unknown,
        }
    }

    /// Whether the type may lie: senders put JSON into texts (SNS), and tools send it as a form
    /// unless told otherwise (curl).
    pub(super) fn is_sniffed(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Form)
    }

    fn text(parameters: &str) -> Self {
        let charset = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then_some(value)
        });
        let charset = charset.unwrap_or_default().trim().trim_matches('"').to_ascii_lowercase();
        Self::Text { latin1: matches!(charset.as_str(), "iso-8859-1" | "latin1" | "windows-1252") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        assert_eq!(Media::of(Some("Application/JSON; charset=utf-8")), Media::Json);
        assert_eq!(Media::of(Some("application/cloudevents-batch+json")), Media::Json);
        assert_eq!(
            Media::of(Some("text/xml; charset=\"ISO-8859-1\"")),
            Media::Text { latin1: true }
        );
        assert_eq!(Media::of(Some("image/svg+xml")), Media::Text { latin1: false });
        assert_eq!(Media::of(Some("application/octet-stream")), Media::Unknown);
        assert_eq!(Media::of(None), Media::Unknown);
        let boundary = Some("x".to_owned());
        assert_eq!(
            Media::of(Some("multipart/form-data; boundary=x")),
            Media::Multipart { boundary }
        );
    }
}
