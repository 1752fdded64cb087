//! Calling other systems: what is sent, to whom it may go, when it is tried again, and the sending.
//!
//! [`guard`] judges addresses, [`sign`] signs, [`retry`], [`breaker`] and [`endpoint`] decide about
//! attempts; all of them are pure. [`attempt`] puts the request of a webhook together, and
//! [`client`] makes the call.
//! [`receiver`] is the other end, for trying things out.

pub mod attempt;
pub mod breaker;
pub mod client;
pub mod endpoint;
pub mod guard;
pub mod receiver;
pub mod resolve;
pub mod retry;
pub mod sign;
