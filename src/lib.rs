//! Selfsame: webhooks from any system become one customer profile per person.

pub mod config;
pub mod domain;

pub mod engine;
