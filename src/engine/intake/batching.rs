//! One message per turn instead of one per event, between the threads of callers and of actors.
//!
//! Waking a thread costs more than what most events make it do, and on few cores it also pushes the
//! waker aside, so that the next group is of one event. So what a thread has for another one gathers
//! until its run queue has gone round once, and goes together: requests to the router, answers back
//! to the thread that asked. Order is kept.

use crate::engine::context::Outcome;
use crate::engine::intake::router::{Incoming, Ingest, RouterActor};
use crate::engine::receipt::Refusal;
use actix::Addr;
use actix::prelude::SendError;
use smallvec::SmallVec;
use std::cell::RefCell;
use tokio::sync::{mpsc, oneshot};

/// The events of one request.
pub(in crate::engine) type Request = SmallVec<[Incoming; 1]>;

/// An answer, and who waits for it.
type Answer = (oneshot::Sender<Outcome>, Outcome);

/// Where the answers to requests of one thread go. Unbounded, as whoever asks is bounded.
pub(in crate::engine) type Home = mpsc::UnboundedSender<Vec<Answer>>;

thread_local! {
    /// This thread's own home.
    static HOME: RefCell<Option<Home>> = const { RefCell::new(None) };
    /// What this turn has gathered, by where it goes: a handful of places at most.
    static REQUESTS: RefCell<Vec<(Addr<RouterActor>, Vec<Request>)>> = const { RefCell::new(Vec::new()) };
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

/// Sends a request to the router at the end of this turn.
pub(in crate::engine) fn submit(router: &Addr<RouterActor>, request: Request) {
    let is_first = REQUESTS.with_borrow_mut(|all| {
        let is_first = all.is_empty();
        match all.iter_mut().find(|(to, _)| to == router) {
            Some((_, requests)) => requests.push(request),
            None => all.push((router.clone(), vec![request])),
        }
        is_first
    });
    if is_first {
        let turn = Turn(send_requests);
        actix_rt::spawn(async move { drop(turn) });
    }
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
        let turn = Turn(send_answers);
        actix_rt::spawn(async move { drop(turn) });
    }
}

/// The end of a turn: also when the run queue is dropped instead of going round.
struct Turn(fn());

impl Drop for Turn {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn send_requests() {
    for (router, requests) in REQUESTS.take() {
        let (SendError::Full(Ingest(refused)) | SendError::Closed(Ingest(refused))) =
            match router.try_send(Ingest(requests)) {
                Ok(()) => continue,
                Err(error) => error,
            };
        for incoming in refused.into_iter().flatten() {
            incoming.reply.send_now(Err(Refusal::Overloaded));
        }
    }
}

fn send_answers() {
    for (home, answers) in ANSWERS.take() {
        let _ = home.send(answers); // nobody is there any more who could wait
    }
}
