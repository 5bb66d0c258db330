use std::cell::RefCell;

use flink_api::{Configuration, ExecuteError, Executor, JobClient, Program};
use flink_taskmanager::worker::process::{WorkerProcess, configuration};

use crate::logging;
use crate::replay::replay;

/// Replays the actions before the one that is wanted, and runs that one's tasks until the TaskManager says stop.
pub(crate) struct WorkerExecutor {
    process: RefCell<Option<WorkerProcess>>,
    configuration: Configuration,
    action: u32,
    earlier_results: Vec<Vec<u8>>,
}

impl WorkerExecutor {
    pub(crate) fn connect() -> Result<Self, ExecuteError> {
        let process = WorkerProcess::connect().map_err(|error| ExecuteError::Environment(error.to_string()))?;
        let start = process.start();
        // What the program sets itself is in the graph's configuration, too, and is set again to the same.
        let configuration = configuration(start);
        let (action, earlier_results) = (start.job.graph.action, start.job.graph.earlier_results.clone());
        Ok(Self { process: RefCell::new(Some(process)), configuration, action, earlier_results })
    }
}

impl Executor for WorkerExecutor {
    fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }

    fn plans(&self, _: u32) -> bool {
        false
    }

    fn submit(&self, program: Program) -> Result<Box<dyn JobClient>, ExecuteError> {
        let action = program.graph.action;
        if action < self.action {
            let replayed = self.earlier_results.get(action as usize).map(|earlier| replay(earlier));
            return replayed.unwrap_or_else(|| Err(ExecuteError::Cluster("an earlier result is missing".to_owned())));
        }
        let Some(process) = self.process.borrow_mut().take() else {
            return Err(ExecuteError::Cluster("the worker has run its action already".to_owned()));
        };
        logging::start_in_worker(process.start().log_filter.as_deref());
        let ended = process.run(program.runtime);
        if let Err(error) = &ended {
            eprintln!("{error}");
        }
        std::process::exit(i32::from(ended.is_err()));
    }
}

impl Drop for WorkerExecutor {
    // The program's `main` came to its end without the action that it was started for.
    fn drop(&mut self) {
        if let Some(process) = self.process.borrow_mut().take() {
            process.refuse(&format!(
                "the program ended on the worker before its action number {}, which it had on the client: it must do the \
                 same in every process, depending on its arguments alone",
                self.action
            ));
        }
    }
}
