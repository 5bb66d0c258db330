//! What the command reads from files, for tests with hostile bytes.

use std::io::Cursor;

use flink_graph::Configuration;

use crate::cluster_directory::ClusterRecord;
use crate::settings;
use crate::yarn::artifacts;
use crate::yarn::logs::tfile::TFile;

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

/// Reads the logs that YARN has aggregated into one file; gives the number of bytes in each.
///
/// # Errors
/// It is not such a file, or is damaged.
pub fn aggregated_logs(bytes: &[u8]) -> Result<Vec<u64>, std::io::Error> {
    let mut lengths = Vec::new();
    TFile::open(Cursor::new(bytes))?.each(|_, log| {
        lengths.push(std::io::copy(log, &mut std::io::sink())?);
        Ok::<_, std::io::Error>(lengths.len() < 1000)
    })?;
    Ok(lengths)
}

/// How many bytes of a program containers need, where some can be left out.
#[must_use]
pub fn needed_of_program(bytes: &[u8]) -> Option<u64> {
    artifacts::needed(bytes)
}
