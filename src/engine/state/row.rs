//! A row of a snapshot, as the parts of the state that keep their own rows encoded hand it over.

/// A row's key, and its bytes; none where it goes.
pub(in crate::engine) type Row = (Vec<u8>, Option<Vec<u8>>);
