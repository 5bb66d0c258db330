//! What the command reads from files, for tests with hostile bytes.

use flink_graph::Configuration;

use crate::cluster_directory::ClusterRecord;
use crate::settings;

/// Reads the text of a configuration file, in the form of Flink 1 or of Flink 2, and checks it.
///
/// # Errors
/// It cannot be read.
pub fn configuration(text: &str, flink_1: bool) -> Result<Configuration, String> {
    let read = settings::parse(text, flink_1)?;
    // Whether its keys are known does not matter here; the check itself must stand all of them.
    let _ = settings::check(&mut read.clone());
    Ok(read)
}

/// Reads a `cluster.json`, and writes it again.
///
/// # Errors
/// It cannot be read.
pub fn cluster_record(bytes: &[u8]) -> Result<String, String> {
    let record: ClusterRecord = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    serde_json::to_string(&record).map_err(|error| error.to_string())
}
