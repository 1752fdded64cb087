//! How the answer to an event finds its way back to the caller.

use crate::engine::context::InFlight;
use crate::engine::intake::answers;
use crate::engine::intake::answers::{Home, Outcome};
use crate::engine::receipt::Refusal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// A place among the events in flight; given back when it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Ticket(Arc<InFlight>, usize);

impl Ticket {
    /// For an event whose record has so many bytes.
    pub(in crate::engine) fn take(counter: &Arc<InFlight>, bytes: usize) -> Self {
        counter.events.fetch_add(1, Ordering::AcqRel);
        counter.bytes.fetch_add(bytes, Ordering::AcqRel);
        Self(Arc::clone(counter), bytes)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.bytes.fetch_sub(self.1, Ordering::AcqRel);
        self.0.events.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where an event's outcome goes.
#[derive(Debug)]
pub(in crate::engine) struct Reply {
    to: ReplyTo,
    /// Held until the outcome is known.
    pub(in crate::engine) ticket: Option<Ticket>,
}

#[derive(Debug)]
pub(in crate::engine) enum ReplyTo {
    One(oneshot::Sender<Outcome>, Home),
    Part(Arc<Parts>, usize),
}

/// The outcomes of a batch, answered together.
#[derive(Debug)]
pub(in crate::engine) struct Parts {
    outcomes: Mutex<Vec<Option<Outcome>>>,
    left: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<Vec<Outcome>>>>,
}

impl Reply {
    /// An answer to a single event, for the calling thread.
    pub(in crate::engine) fn one() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self { to: ReplyTo::One(sender, answers::home()), ticket: None }, receiver)
    }

    /// Answers to the events of a batch.
    pub(in crate::engine) fn batch(count: usize) -> (Vec<Self>, oneshot::Receiver<Vec<Outcome>>) {
        let (sender, receiver) = oneshot::channel();
        let parts = Arc::new(Parts {
            outcomes: Mutex::new(vec![None; count]),
            left: AtomicUsize::new(count),
            done: Mutex::new(Some(sender)),
        });
        let part = |at| Self { to: ReplyTo::Part(Arc::clone(&parts), at), ticket: None };
        ((0..count).map(part).collect(), receiver)
    }

    /// Gives the outcome, at the end of the calling actor's turn.
    pub(in crate::engine) fn send(self, outcome: Outcome) {
        match self.to {
            ReplyTo::One(sender, home) => answers::answer(home, sender, outcome),
            ReplyTo::Part(parts, at) => parts.set(at, outcome),
        }
    }

    /// Gives the outcome at once, from a thread without actors.
    pub(in crate::engine) fn send_now(self, outcome: Outcome) {
        match self.to {
            // The sender may have hung up; the event is durable all the same.
            ReplyTo::One(sender, _) => drop(sender.send(outcome)),
            ReplyTo::Part(parts, at) => parts.set(at, outcome),
        }
    }
}

impl Parts {
    fn set(&self, at: usize, outcome: Outcome) {
        if let Ok(mut outcomes) = self.outcomes.lock() {
            outcomes[at] = Some(outcome);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let all = self.outcomes.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default();
        let sender = self.done.lock().ok().and_then(|mut done| done.take());
        if let Some(sender) = sender {
            let outcome = |one: Option<Outcome>| one.unwrap_or(Err(Refusal::Overloaded));
            let _ = sender.send(all.into_iter().map(outcome).collect());
        }
    }
}
