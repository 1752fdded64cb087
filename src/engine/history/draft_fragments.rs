//! The fragments of a draft: those that it works on, and those that it has laid down as rows, so that
//! nobody has to write a million of them when the draft becomes the state.

use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::engine::store::fragments::{FragmentRows, NewerRows, RowError, lay_down};
use crate::records::{RecordError, decode_fragment};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::ops::Range;

/// The fragments of a draft.
#[derive(Default)]
pub(in crate::engine) struct DraftFragments {
    /// Those that it works on.
    pub(in crate::engine) open: HashMap<FragmentIndex, Fragment>,
    /// Rows of the others. One that is open again is newer than its row.
    pub(in crate::engine) laid: NewerRows,
}

impl DraftFragments {
    /// A fragment to work on; an empty one where there was none.
    ///
    /// # Errors
    /// When its row does not decode.
    pub(in crate::engine) fn open(
        &mut self,
        fragment: FragmentIndex,
    ) -> Result<&mut Fragment, RowError> {
        match self.open.entry(fragment) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(match self.laid.get(&fragment) {
                Some(rows) => entry.insert(decode_fragment(&rows.row)?),
                None => entry.insert(Fragment::default()),
            }),
        }
    }

    /// Lays down all that are open.
    ///
    /// # Errors
    /// When one is larger than a row may be.
    pub(in crate::engine) fn lay_down(&mut self) -> Result<(), RecordError> {
        for (fragment, mut state) in self.open.drain() {
            lay_down(&self.laid, fragment, FragmentRows::take(&mut state)?);
        }
        Ok(())
    }

    /// Renumbers these by `count` places, from the last to the first.
    pub(in crate::engine) fn renumber(
        &mut self,
        these: Range<FragmentIndex>,
        count: FragmentIndex,
    ) {
        for fragment in these.rev() {
            if let Some(state) = self.open.remove(&fragment) {
                self.open.insert(fragment + count, state);
            }
            if let Some((_, rows)) = self.laid.remove(&fragment) {
                self.laid.insert(fragment + count, rows);
            }
        }
    }
}
