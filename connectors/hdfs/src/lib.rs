//! HDFS: the file system behind `hdfs://` and `viewfs://` URIs, and the client [`Hdfs`] for staging files.
//!
//! The NameNode and the DataNodes are spoken to by the crate hdfs-native, on a small runtime of tokio that everything here
//! shares; block locations, which it does not offer, come through `hadoop-rpc`. Callers see plain
//! blocking calls for metadata, reads that never block, and errors in words.
//!
//! The Hadoop configuration is found as Hadoop's own clients find it (`HADOOP_CONF_DIR`).

/// What of the Hadoop configuration matters here.
mod settings;

/// Threads for everything that waits on the network.
mod runtime;

/// Errors: what HDFS said, in words, and whether trying again helps.
mod failure;

/// Who may do what, read from a refusal.
mod permission_denied;

/// Where the NameNodes of a URI are.
mod name_nodes;

/// What this process shows to NameNodes: a token, tickets, or a name.
mod authentication;

/// One name service: its clients, and calls that are tried again.
mod name_service;

/// What is done with paths, for the file system and for staging alike.
mod operations;

/// All name services that were used so far.
mod connections;

/// Where the blocks of a file are.
mod locations;

/// Reading ahead.
mod read;

/// Writing behind.
mod write;

/// The trait of the engine.
mod file_system;

/// viewfs: a tree of mounts over other file systems.
mod view;

/// The client for staging.
mod staging;

pub use file_system::{HdfsFileSystem, register};
pub use operations::{HdfsStatus, HdfsUsage};
pub use settings::HdfsOptions;
pub use staging::{Hdfs, Upload};
pub use view::ViewFileSystem;
