//! The identity graph: identifiers, the evidence between them, and the clusters that follow.
//!
//! Owns every identifier that was ever seen, every distinct edge of evidence, and the partition of
//! the identifiers into clusters. A cluster with a fragment is a profile. Clusters are derived:
//! they are a function of the set of evidence and of the rules, never of the order of arrival
//! (`rebuild`), and the quick path (`link`) is only taken where it gives the same answer.
//!
//! Laid out for millions: nodes, edges and clusters are rows in three tables, joined by 32-bit
//! indexes, and texts lie in one arena (`table`, `row`).

mod change;
mod effects;
mod ids;
mod read;
mod resolve;
mod tables;
#[cfg(test)]
mod tests;

pub use change::cut::Cut;
pub use change::erase::Erased;
pub use change::operators::{Link, Pair, Parting, Separation, Unmerged};
pub use effects::{Change, ChangeKind, Effects, Move, Observed, Obstacle, UnknownChange};
pub use ids::{ANONYMOUS, ClusterIndex, EdgeIndex, FragmentIndex, NONE, NodeIndex, SESSION};
pub use read::explain::{Apart as Reason, Explanation, Step};
pub use read::pages::Page;
pub use read::view::{ClusterView, IdentifierStatus, Shown};
pub use tables::graph::Graph;
pub use tables::heirs::{Ancestry, Heirs};
pub use tables::names::Names;
pub use tables::row::Birth;
pub use tables::watched::Touched;
