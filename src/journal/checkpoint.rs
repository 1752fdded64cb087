//! The state at a journal position.
