//! What a profile answers to a question, from its fragments.

use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::domain::id::Sequence;
use crate::domain::profile::Folded;
use crate::engine::state::campaigns::question::{Question, Told};
use crate::engine::store::events::Events;
use crate::engine::store::fragments::{Rest, RowError};

/// A profile's answer to a question, from its fragments. A draft has nothing at rest.
pub(in crate::engine) fn told(
    question: &Question,
    fragments: &[(FragmentIndex, &Fragment)],
    set_values: u32,
    (rest, journal): (Option<&Rest>, &mut Events),
) -> Result<Told, RowError> {
    let folded = Folded::new(fragments.iter().map(|(_, one)| *one), set_values);
    let mut recent = Vec::new();
    for (index, fragment) in fragments.iter().filter(|(one, _)| question.stale.contains(one)) {
        let timeline = &fragment.timeline;
        let mut sequences: Vec<Sequence> = timeline.newest_first().collect();
        if let Some(rest) = rest {
            for number in 0..timeline.saved {
                sequences.extend(rest.chunk(*index, number)?.iter());
            }
        }
        sequences.extend(timeline.late.iter().copied());
        let events = sequences.into_iter().filter_map(|sequence| journal.find(sequence));
        recent.push((*index, events.map(|event| (event.kind, event.occurred_at)).collect()));
    }
    Ok(Told { folded, recent })
}

impl Question {
    /// Fetches the event that triggered the run, as far as it is still kept.
    pub(in crate::engine) fn read_event(&mut self, events: &mut Events) {
        self.event = events.find(self.run);
    }
}
