//! The pure core: functions from state and event to state and effects.
//!
//! Nothing in this folder knows an actor, a disk, a socket, a clock or chance. Time comes in as a
//! [`time::Timestamp`], limits as arguments, and the same input always gives the same output; that
//! is what makes replay, rehearsal and property tests possible.

pub mod blocked;
pub mod campaign;
mod choice;
pub mod compiled;
pub mod confidential;
pub mod event;
pub mod extract;
pub mod facts;
pub mod fold;
pub mod fragment;
pub mod graph;
pub mod id;
pub mod json;
pub mod lookup;
pub mod names;
pub mod normalise;
pub mod occurred;
pub mod path;
pub mod point;
pub mod problem;
pub mod profile;
pub mod rate;
pub mod rules;
pub mod settings;
pub mod shape;
pub mod source;
pub mod spelling;
pub mod time;
pub mod timeline;
pub mod unseen;
pub mod view;
