//! Hostile bytes for every decoder of bytes that come from outside.
//!
//! Each target is a function of bytes that panics when a promise is broken. `fuzz/` runs them under libFuzzer for as long
//! as one likes; the test of this crate runs each on seeds, on random bytes and on mutated seeds, so that none can rot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a target tells

// The derives name the crate that programs depend on; its part that they need is enough here.
extern crate flink_api as flink;

/// Connections: greetings, frames, certificates, tokens.
pub mod transport;

/// Bodies of control messages, and the files and frames between a program and its client.
pub mod messages;

/// Data connections and blocking partitions.
pub mod data_plane;

/// Records as programs define them.
pub mod records;

/// Text files: lines in splits, archives, URIs and patterns.
pub mod files;

/// Archives that several read, each a part.
pub mod archive_splits;

/// What the command reads: configuration, the record of a cluster, logs that YARN has aggregated, programs.
pub mod client;

/// Requests to the REST API.
pub mod rest;

/// Hadoop's configuration and token files, and what its servers send.
pub mod hadoop;

/// A target with its name and with inputs to begin from.
pub struct Target {
    /// The name, which the fuzz target has too.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
    /// Well-formed inputs, or nearly.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them. A test holds the list against the files of `fuzz/fuzz_targets`.
pub const TARGETS: &[Target] = &[
    Target { name: "transport_frames", run: transport::frames, seeds: transport::frame_seeds },
    Target { name: "transport_greeting", run: transport::greeting, seeds: transport::greeting_seeds },
    Target { name: "certificates", run: transport::certificates, seeds: transport::certificate_seeds },
    Target { name: "tokens", run: transport::tokens, seeds: transport::token_seeds },
    Target { name: "control_messages", run: messages::control, seeds: messages::control_seeds },
    Target { name: "plan_files", run: messages::plans, seeds: messages::plan_seeds },
    Target { name: "network_frames", run: data_plane::frames, seeds: data_plane::frame_seeds },
    Target { name: "blocking_blocks", run: data_plane::blocks, seeds: data_plane::block_seeds },
    Target { name: "records", run: records::records, seeds: records::seeds },
    Target { name: "input_splits", run: files::splits, seeds: files::split_seeds },
    Target { name: "lines", run: files::lines, seeds: files::line_seeds },
    Target { name: "archives", run: files::archives, seeds: files::archive_seeds },
    Target { name: "archive_splits", run: archive_splits::archive_splits, seeds: archive_splits::seeds },
    Target { name: "inputs", run: files::inputs, seeds: files::input_seeds },
    Target { name: "configuration_file", run: client::configuration, seeds: client::configuration_seeds },
    Target { name: "cluster_record", run: client::cluster_record, seeds: client::cluster_record_seeds },
    Target { name: "aggregated_logs", run: client::aggregated_logs, seeds: client::aggregated_log_seeds },
    Target { name: "programs", run: client::programs, seeds: client::program_seeds },
    Target { name: "rest_requests", run: rest::requests, seeds: rest::seeds },
    Target { name: "hadoop_configuration", run: hadoop::configuration, seeds: hadoop::configuration_seeds },
    Target { name: "hadoop_credentials", run: hadoop::credentials, seeds: hadoop::credential_seeds },
    Target { name: "hadoop_frames", run: hadoop::frames, seeds: hadoop::frame_seeds },
    Target { name: "hadoop_sasl", run: hadoop::sasl, seeds: hadoop::sasl_seeds },
    Target { name: "hadoop_answers", run: hadoop::answers, seeds: hadoop::answer_seeds },
];

#[cfg(test)]
mod tests;
