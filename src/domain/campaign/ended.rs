//! How a run ended, and the words for it.

use crate::domain::campaign::request::Unsendable;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a run ended, or why what was enqueued is cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Its last webhook is enqueued.
    Done,
    /// Its exit was reached.
    Exit,
    /// The profile is no longer in the audience.
    Audience,
    /// A field is absent and `on_missing` is `abort`.
    Missing {
        /// Its name in the request.
        field: Box<str>,
        /// Where it comes from.
        path: Box<str>,
    },
    /// The fields together are longer than a request may be.
    TooLarge,
    /// The profile was merged with one that had its run, or its last one too lately.
    Merged,
    /// The campaign is not live any more.
    NotLive,
    /// The campaign, or its step, is not there any more.
    Gone,
    /// Older than `max_age`.
    TooOld,
    /// A newer one took its place (`order = "latest_wins"`).
    Superseded,
}

impl Ended {
    /// As a backtest counts it: an absent field by its name alone.
    pub fn counted(&self) -> String {
        match self {
            Self::Missing { field, .. } => format!("the field {field} is absent"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Ended {
    /// As the API shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "all webhooks are enqueued",
            Self::Exit => "the exit was reached",
            Self::Audience => "the audience no longer holds",
            Self::Missing { field, path } => {
                return Unsendable::Missing { field: field.clone(), path: path.clone() }.fmt(f);
            }
            Self::TooLarge => "the fields are longer than 1 MiB",
            Self::Merged => "the profile was merged with one that had its run already",
            Self::NotLive => "the campaign is not live",
            Self::Gone => "the campaign or its step is not there any more",
            Self::TooOld => "it became older than max_age",
            Self::Superseded => "a newer one took its place",
        })
    }
}
