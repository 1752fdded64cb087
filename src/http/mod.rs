//! HTTP: translates requests for the engine and its answers for callers, and never decides.
//!
//! Two faces: `/collect` for senders, `/api/v1` for operators, on one address or two. The whole
//! route table is in [`routes`].

pub mod admin;
pub mod auth;
pub mod body;
pub mod collect;
mod connection;
pub mod cors;
mod frame;
pub mod guard;
pub mod health;
pub mod openapi;
mod pace;
pub mod page;
pub mod problem;
pub mod query;
pub mod rate;
pub mod reply;
pub mod request_id;
pub mod room;
pub mod routes;
mod server;
mod shared;
mod target;
pub mod tracker;
pub mod unread;
mod uri;
pub mod wall;
mod wire;

#[cfg(test)]
mod tests;

pub use body::cores;
pub use server::{listen, serve};
pub use shared::{Faces, Http, Parts};
