//! Selfsame: webhooks from any system become one customer profile per person.

pub mod app;
pub mod cli;
pub mod clock;
pub mod code;
pub mod config;
pub mod decode;
pub mod domain;
pub mod engine;
pub mod http;
pub mod inspect;
pub mod journal;
pub mod outbound;
pub mod records;
pub mod rehearse;
pub mod secrets;
pub mod snapshot;
pub mod telemetry;
