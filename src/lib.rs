//! Selfsame: webhooks from any system become one customer profile per person.

pub mod clock;
pub mod domain;
pub mod engine;
pub mod rehearse;
