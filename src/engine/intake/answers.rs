//! Answers on their way back to the thread that asked, all of one turn together.

use crate::engine::intake::turn;
use crate::engine::receipt::{Receipt, Refusal};
use std::cell::RefCell;
use tokio::sync::{mpsc, oneshot};

/// The outcome of one event on its way in.
pub(in crate::engine) type Outcome = Result<Receipt, Refusal>;

/// An answer, and who waits for it.
type Answer = (oneshot::Sender<Outcome>, Outcome);

/// Where the answers to requests of one thread go. Unbounded, as each caller who asks is bounded.
pub(in crate::engine) type Home = mpsc::UnboundedSender<Vec<Answer>>;

thread_local! {
    /// This thread's own home.
    static HOME: RefCell<Option<Home>> = const { RefCell::new(None) };
    /// What this turn has gathered, by where it goes: a handful of places at most.
    static ANSWERS: RefCell<Vec<(Home, Vec<Answer>)>> = const { RefCell::new(Vec::new()) };
}

/// The home of the calling thread, which must run an actix system or arbiter.
pub(in crate::engine) fn home() -> Home {
    HOME.with_borrow_mut(|place| {
        if let Some(home) = place.as_ref().filter(|home| !home.is_closed()) {
            return home.clone();
        }
        // None yet, or that of a system that is over.
        let (home, mut answers) = mpsc::unbounded_channel::<Vec<Answer>>();
        actix_rt::spawn(async move {
            while let Some(all) = answers.recv().await {
                for (to, outcome) in all {
                    // The sender may have hung up; the event is durable all the same.
                    let _ = to.send(outcome);
                }
            }
        });
        *place = Some(home.clone());
        home
    })
}

/// Sends an answer home at the end of this turn.
pub(in crate::engine) fn answer(home: Home, to: oneshot::Sender<Outcome>, outcome: Outcome) {
    let is_first = ANSWERS.with_borrow_mut(|all| {
        let is_first = all.is_empty();
        match all.iter_mut().find(|(known, _)| known.same_channel(&home)) {
            Some((_, answers)) => answers.push((to, outcome)),
            None => all.push((home, vec![(to, outcome)])),
        }
        is_first
    });
    if is_first {
        turn::at_its_end(send_answers);
    }
}

fn send_answers() {
    for (home, answers) in ANSWERS.take() {
        let _ = home.send(answers); // nobody is there any more who could wait
    }
}
