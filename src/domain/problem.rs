//! What is wrong in settings.

use std::fmt;

/// Something in the settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    /// Where, such as `source.slack.profile_id`.
    pub at: String,
    /// What was expected, what was found, what to do.
    pub sentence: String,
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.sentence)
    }
}

/// Problems found while compiling: the place below the object, such as `profile_id`, and a sentence.
pub(super) type Problems = Vec<(String, String)>;
