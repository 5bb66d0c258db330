//! Hadoop RPC, version 9: connections, authentication, calls and their retries.
//!
//! A `Client` stands for a service: one server, or several of which one is active. It connects when it is first
//! called, carries any number of calls at once on one connection, and connects again when that is lost. What may be
//! sent twice is decided by each method's `Idempotence`.

/// Time-outs, limits and what protection is accepted.
mod settings;

/// When a failed call is tried again.
mod retry;

/// Messages as frames.
pub(crate) mod frame;

/// Who calls, and what it shows for it.
mod identity;

/// The exchange that proves both sides to each other.
pub(crate) mod sasl;

/// From a TCP connection to one that takes calls.
mod handshake;

/// Frames in both directions, sealed where that was agreed.
mod stream;

/// A connection that carries several calls at once.
mod connection;

/// Calls with retries and failover.
mod client;

#[cfg(test)]
mod client_tests;

pub use client::{Client, Method, Protocol};
pub use identity::{Identity, ServerPrincipal};
pub use retry::{Idempotence, RetryPolicy};
pub use sasl::Protection;
pub use settings::Settings;
