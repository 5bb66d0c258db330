//! What of HDFS goes through its NameNode's RPC and is not reading or writing: where blocks are, and delegation tokens.

/// Where the NameNodes are.
mod addresses;

/// The client's protocol with the NameNode.
mod name_node;

pub use addresses::token_service;
pub use name_node::{Block, BlockLocations, NameNode, Replica, ServerDefaults};
