use std::rc::Rc;

use flink_api::{Configuration, ExecuteError, Executor, StreamExecutionEnvironment};
use flink_protocol::program::{MODE_VARIABLE, PLAN_MODE, WORKER_MODE};

use crate::file_systems;
use crate::local::LocalExecutor;
use crate::plan::PlanExecutor;
use crate::worker::WorkerExecutor;

/// How a program gets its environment.
pub trait GetExecutionEnvironment: Sized {
    /// The environment for the mode that the program runs in: local, unless `flink-yarn` or a TaskManager started it. In local
    /// mode the configuration is that of `$FLINK_CONF_DIR/config.yaml`, where the variable is set.
    ///
    /// # Errors
    /// What started the program cannot be reached, or its configuration is wrong.
    fn get_execution_environment() -> Result<Self, ExecuteError>;

    /// The same, with settings of the program's, which win over the configuration file and the command line.
    /// `Configuration::from_args(std::env::args_os())` takes those that the program's user has given as `-D key=value`.
    ///
    /// # Errors
    /// What started the program cannot be reached, or its configuration is wrong.
    fn get_execution_environment_with(configuration: Configuration) -> Result<Self, ExecuteError>;

    /// An environment whose jobs run in this process, however it was started: for tests.
    ///
    /// # Errors
    /// The configuration is wrong.
    fn create_local_environment(configuration: Configuration) -> Result<Self, ExecuteError>;
}

impl GetExecutionEnvironment for StreamExecutionEnvironment {
    fn get_execution_environment() -> Result<Self, ExecuteError> {
        Self::get_execution_environment_with(Configuration::default())
    }

    fn get_execution_environment_with(configuration: Configuration) -> Result<Self, ExecuteError> {
        let mode = std::env::var(MODE_VARIABLE);
        let executor: Rc<dyn Executor> = match mode.as_deref() {
            Ok(PLAN_MODE) => Rc::new(PlanExecutor::from_environment()?),
            Ok(WORKER_MODE) => Rc::new(WorkerExecutor::connect()?),
            Ok(other) if !other.is_empty() => {
                let text = format!("{MODE_VARIABLE} is `{other}`; it is {PLAN_MODE}, {WORKER_MODE}, or not set");
                return Err(ExecuteError::Environment(text));
            }
            _ => Rc::new(LocalExecutor::from_environment()?),
        };
        let environment = Self::with_executor(executor);
        environment.configure(&configuration);
        file_systems::register(&environment.configuration(), mode.as_deref() == Ok(WORKER_MODE));
        Ok(environment)
    }

    fn create_local_environment(configuration: Configuration) -> Result<Self, ExecuteError> {
        file_systems::register(&configuration, false);
        Ok(Self::with_executor(Rc::new(LocalExecutor::new(configuration))))
    }
}
