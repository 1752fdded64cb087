//! Calling other systems: what is sent, to whom it may go, when it is tried again, and the sending.
//!
//! [`guard`] judges addresses, [`sign`] signs, [`breaker`] and [`admission`] decide about
//! attempts; all of them are pure. [`attempt`] puts the request of a webhook together, and
//! [`client`] makes the call.

pub mod admission;
pub mod attempt;
pub mod breaker;
pub mod client;
pub mod error;
pub mod guard;
pub mod resolve;
pub mod sign;
