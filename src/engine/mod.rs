//! The engine: who owns which state, and in which order things happen.
//!
//! `http` sees only [`Engine`] and the types below. An event goes router → committer → identity →
//! profile, and its answer comes back from the profile; `ARCHITECTURE.md` tells the whole way.

mod api;
mod background;
mod context;
mod delivery;
pub mod fault;
mod handle;
mod history;
mod identity;
mod intake;
pub mod offline;
mod options;
mod profile;
mod readers;
mod receipt;
mod start;
mod state;
mod store;

pub use crate::records::{Attempt, DeliveryState, ObjectKind};
pub use api::deliveries::DeliveryFilter;
pub use api::exports::{Export, ExportError};
pub use api::identity::{Again, Explained, Part, Preview, Redecode, Unmerged};
pub use api::objects::ObjectRefusal;
pub use api::secrets::{SecretRefusal, SecretView};
pub use api::trials::{Trial, TrialEvent};
pub use fault::{Failure, Fault, Faults, Stage};
pub use handle::Engine;
pub use identity::resolution::Resolution;
pub use options::{EngineError, Options, Recovered, arbiters_for};
pub use receipt::{Readiness, Receipt, Refusal, Status, Submission};
pub use state::Core;
pub use state::acted::Answer;
pub use state::campaigns::outbox::{Delivery, Outbox};
pub use state::campaigns::question::Question;
pub use state::campaigns::runs::CampaignState;
pub use state::configuration::{Effective, section};
pub use state::query::{EventFilter, PageRequest, Paged, ProfileRef};
pub use state::stored::Stored;
pub use store::fragments::RowError;
pub use store::retention::Retain;
pub use store::rows::error::LoadError;

#[cfg(test)]
mod tests;
