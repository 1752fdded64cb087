//! Selfsame: webhooks from any system become one customer profile per person.

pub mod decode;
pub mod domain;
pub mod engine;
pub mod inspect;
pub mod journal;
pub mod snapshot;
