//! Hadoop's messages on the wire, with the fields that are used here. Enumerations are plain numbers: which of them are
//! known is decided where they become Rust types, so that a newer server does not break an older client.

pub(crate) mod hdfs;
pub(crate) mod rpc;
pub(crate) mod security;
pub(crate) mod yarn;
pub(crate) mod yarn_service;
