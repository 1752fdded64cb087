//! Numbers of rows, and the reserved types.

/// An index that points nowhere.
pub const NONE: u32 = u32::MAX;

/// A row of the node table.
pub type NodeIndex = u32;

/// A row of the edge table.
pub type EdgeIndex = u32;

/// A row of the cluster table.
pub type ClusterIndex = u32;

/// A row of the fragment table, which is what the engine calls a fragment by.
pub type FragmentIndex = u32;

/// The reserved type of sessions; no configured type can have this name.
pub const SESSION: u16 = 0;

/// The reserved type of the origins of anonymous events.
pub const ANONYMOUS: u16 = 1;

/// A row of the table of raw components.
pub(in crate::domain::graph) type RawIndex = u32;
