//! What is gathered while campaigns are compiled.

use crate::domain::campaign::counts::Counted;
use crate::domain::path::read::PathSet;
use crate::domain::problem::SettingsProblem;

/// Compiles campaigns and collects what is wrong with them.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) problems: Vec<SettingsProblem>,
    pub(super) paths: PathSet,
    pub(super) counted: Counted,
}

/// Whether a text would do harm in a request's head.
pub(super) fn breaks_lines(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}
