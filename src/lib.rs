//! Selfsame: webhooks from any system become one customer profile per person.

pub mod clock;
pub mod decode;
pub mod domain;
pub mod engine;
pub mod inspect;
pub mod journal;
pub mod records;
pub mod rehearse;
pub mod snapshot;
