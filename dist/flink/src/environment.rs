use std::rc::Rc;

use flink_api::{BoxError, Configuration, Executor, StreamExecutionEnvironment};
use flink_protocol::program::{MODE_VARIABLE, PLAN_MODE, WORKER_MODE};

use crate::local::LocalExecutor;
use crate::plan::PlanExecutor;
use crate::worker::WorkerExecutor;

/// How a program gets its environment.
pub trait GetExecutionEnvironment: Sized {
    /// The environment for the mode that the program runs in: local, unless `flink-yarn` or a TaskManager started it.
    ///
    /// # Errors
    /// What started the program cannot be reached, or its configuration is wrong.
    fn get_execution_environment() -> Result<Self, BoxError>;

    /// An environment whose jobs run in this process, however it was started: for tests.
    ///
    /// # Errors
    /// The configuration is wrong.
    fn create_local_environment(configuration: Configuration) -> Result<Self, BoxError>;
}

impl GetExecutionEnvironment for StreamExecutionEnvironment {
    fn get_execution_environment() -> Result<Self, BoxError> {
        let executor: Rc<dyn Executor> = match std::env::var(MODE_VARIABLE).as_deref() {
            Ok(PLAN_MODE) => Rc::new(PlanExecutor::from_environment()?),
            Ok(WORKER_MODE) => Rc::new(WorkerExecutor::connect()?),
            Ok(other) if !other.is_empty() => {
                let text = format!("{MODE_VARIABLE} is `{other}`; it is {PLAN_MODE}, {WORKER_MODE}, or not set");
                return Err(text.into());
            }
            _ => Rc::new(LocalExecutor::from_environment()?),
        };
        Ok(Self::with_executor(executor))
    }

    fn create_local_environment(configuration: Configuration) -> Result<Self, BoxError> {
        Ok(Self::with_executor(Rc::new(LocalExecutor::new(configuration))))
    }
}
