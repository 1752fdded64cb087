//! The end of a turn of a thread's run queue.

/// Does something at the end of this turn, also when the run queue is dropped instead of going round.
pub(in crate::engine) fn at_its_end(work: fn()) {
    let turn = Turn(work);
    actix_rt::spawn(async move { drop(turn) });
}

struct Turn(fn());

impl Drop for Turn {
    fn drop(&mut self) {
        (self.0)();
    }
}
