//! What runs in the containers of YARN: the ApplicationMaster with its JobManager, and TaskManagers.

/// What YARN tells a container by its environment.
mod environment;

/// The files in which the processes of a container find their tokens.
mod token_files;

/// New tokens, with the application's keytab.
mod token_keeper;

/// What in HDFS belongs to which attempt.
mod attempts;

/// The leader's address, in HDFS.
mod leader;

/// Jobs and results, in HDFS.
mod job_store;

/// YARN's web proxy.
mod proxy;

/// A program that runs beside the ApplicationMaster.
mod program;

/// What an application is for, and how it ends.
mod mode;

/// How the ResourceManager hears of the end.
mod farewell;

/// `flink-yarn appmaster`
mod application_master;

/// `flink-yarn taskmanager --yarn`
mod task_manager;

use std::ffi::OsString;

/// Runs what YARN has started this process for; none when it was not YARN.
pub(crate) fn execute(arguments: &[OsString]) -> Option<u8> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    match words[..] {
        ["appmaster"] => Some(application_master::execute()),
        ["taskmanager", "--yarn"] => Some(task_manager::execute()),
        _ => None,
    }
}
