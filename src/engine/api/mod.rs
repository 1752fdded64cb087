//! What callers ask of the engine, one file for each resource; each is an `impl Engine`.

pub(in crate::engine) mod campaigns;
pub(in crate::engine) mod deliveries;
pub(in crate::engine) mod digest;
pub(in crate::engine) mod exports;
pub(in crate::engine) mod identity;
pub(in crate::engine) mod links;
pub(in crate::engine) mod objects;
pub(in crate::engine) mod reading;
pub(in crate::engine) mod secrets;
pub(in crate::engine) mod stream;
pub(in crate::engine) mod trials;
