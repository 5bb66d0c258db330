//! The example programs as functions that build their graphs; each binary in `src/bin` parses arguments and calls one.

/// Counts words in text files.
pub mod wordcount;

/// Counts events by key, and measures how fast and how late.
pub mod keyed_count;

/// The worked example of slot sharing: a source and a map four wide, a reduce three wide.
pub mod cluster_tour;

/// A source of the user's own, with splits of its own.
pub mod custom_source;
