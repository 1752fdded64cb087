//! The wiring of HTTP, against a stand-in.
