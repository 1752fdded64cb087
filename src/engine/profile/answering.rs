//! How a profile answers what is asked on behalf of campaigns.

use crate::domain::fragment::Fragment;
use crate::domain::graph::FragmentIndex;
use crate::engine::fault::{Panicked, walled};
use crate::engine::profile::actor::ProfileActor;
use crate::engine::profile::message::Report;
use crate::engine::state::campaigns::question::{Question, Told};
use crate::engine::store::told::told;
use tokio::sync::oneshot;

impl ProfileActor {
    /// Answers what is asked on behalf of campaigns, by the identity actor or by a caller who tries one.
    pub(in crate::engine) fn answer(
        &self,
        question: Box<Question>,
        set_values: u32,
        reply: Option<oneshot::Sender<(Box<Question>, Told)>>,
    ) {
        let fragments: Vec<(FragmentIndex, &Fragment)> =
            self.fragments.iter().map(|(index, fragment)| (*index, fragment)).collect();
        let shared = &self.shared;
        let read =
            || told(&question, &fragments, set_values, (Some(&shared.rest), &mut shared.events()));
        let told = match walled(read) {
            Ok(told) => told,
            // Who tries one out hears it by the answer that is dropped.
            Err(Panicked) if reply.is_some() => return,
            // BOUND: one for each question.
            Err(Panicked) => return self.identity.do_send(Report::Unanswered(question)),
        };
        match told {
            Ok(told) => match reply {
                // The caller may have gone away.
                Some(reply) => drop(reply.send((question, told))),
                // BOUND: one for each question.
                None => self.identity.do_send(Report::Answered(question, told)),
            },
            Err(error) => shared.fail(format!("profile {}: {error}", question.profile())),
        }
    }
}
