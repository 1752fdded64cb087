//! One message per turn instead of one per event, between the threads of callers and of actors.
//!
//! Waking a thread costs more than what most events make it do, and on few cores it also pushes the
//! waker aside, so that the next group is of one event. So what a thread has for another one gathers
//! until its run queue has gone round once, and goes together: requests to the router here, answers back
//! to the thread that asked in [`answers`](crate::engine::intake::answers). Order is kept.

use crate::engine::intake::entry::{Ingest, Request};
use crate::engine::intake::turn;
use crate::engine::receipt::Refusal;
use actix::Recipient;
use actix::prelude::SendError;
use std::cell::RefCell;

thread_local! {
    /// What this turn has gathered, by where it goes: a handful of places at most.
    static REQUESTS: RefCell<Vec<(Recipient<Ingest>, Vec<Request>)>> = const { RefCell::new(Vec::new()) };
}

/// Sends a request to the router at the end of this turn.
pub(in crate::engine) fn submit(router: &Recipient<Ingest>, request: Request) {
    let is_first = REQUESTS.with_borrow_mut(|all| {
        let is_first = all.is_empty();
        match all.iter_mut().find(|(to, _)| to == router) {
            Some((_, requests)) => requests.push(request),
            None => all.push((router.clone(), vec![request])),
        }
        is_first
    });
    if is_first {
        turn::at_its_end(send_requests);
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
