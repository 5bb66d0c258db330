use std::cell::RefCell;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use flink_api::executor::finished;
use flink_api::{ExecuteError, JobClient, JobId, JobResult, JobStatus};
use flink_graph::JobGraph;
use flink_protocol::program::{DRIVER_DESCRIPTOR_VARIABLE, DRIVER_FRAME_LIMIT, DriverRequest, DriverResponse};
use flink_transport::frame::{read_blocking, write_blocking};

/// Whether the inherited descriptor has an owner.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The client beside the program, which runs the program's jobs on a cluster.
pub(crate) struct Driver(RefCell<UnixStream>);

impl Driver {
    /// The client, if it left a connection to itself.
    pub(crate) fn from_environment() -> Result<Option<Self>, ExecuteError> {
        let Some(number) = std::env::var_os(DRIVER_DESCRIPTOR_VARIABLE) else { return Ok(None) };
        let number: Option<RawFd> = number.to_str().and_then(|number| number.parse().ok());
        let wrong = |reason: &str| ExecuteError::Environment(format!("{DRIVER_DESCRIPTOR_VARIABLE}: {reason}"));
        let number = number.filter(|number| *number > 2).ok_or_else(|| wrong("it is not a descriptor"))?;
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(wrong("get_execution_environment was called before; clone what it gave back"));
        }
        // SAFETY: flink-yarn made this descriptor for this process alone, and it is taken only once.
        let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(number) });
        // Processes that the program starts have nothing to say to the client.
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).map_err(|error| wrong(&error.to_string()))?;
        Ok(Some(Self(RefCell::new(socket))))
    }

    /// Waits as long as the client takes, a whole job for example; the client's end is noticed at once.
    fn ask(&self, request: &DriverRequest) -> Result<DriverResponse, ExecuteError> {
        let broken = |reason: &dyn std::fmt::Display| {
            ExecuteError::Cluster(format!("flink-yarn, which runs this program's jobs, does not answer: {reason}"))
        };
        let mut socket = self.0.borrow_mut();
        write_blocking(&mut *socket, request, DRIVER_FRAME_LIMIT).map_err(|error| broken(&error))?;
        match read_blocking(&mut *socket, DRIVER_FRAME_LIMIT) {
            Ok(Some(DriverResponse::Refused(reason))) => Err(ExecuteError::Cluster(reason)),
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(broken(&"it has ended")),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Whether an earlier run of this program has submitted this action. Where that cannot be found out it is taken for new.
    pub(crate) fn knows(&self, action: u32) -> bool {
        matches!(self.ask(&DriverRequest::FindJob(action)), Ok(DriverResponse::Found(true)))
    }

    /// Has a job run.
    pub(crate) fn submit(self: &Rc<Self>, graph: JobGraph) -> Result<Box<dyn JobClient>, ExecuteError> {
        let action = graph.action;
        match self.ask(&DriverRequest::SubmitJob(Box::new(graph)))? {
            DriverResponse::Submitted(job) => Ok(Box::new(DrivenJob { driver: self.clone(), action, job })),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(response: &DriverResponse) -> ExecuteError {
    ExecuteError::Cluster(format!("flink-yarn gave an answer to another question: {response:?}"))
}

/// A job that the client runs.
struct DrivenJob {
    driver: Rc<Driver>,
    action: u32,
    job: JobId,
}

impl JobClient for DrivenJob {
    fn job_id(&self) -> JobId {
        self.job
    }

    fn status(&self) -> Result<JobStatus, ExecuteError> {
        match self.driver.ask(&DriverRequest::RequestJobStatus(self.action))? {
            DriverResponse::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    fn cancel(&self) -> Result<(), ExecuteError> {
        match self.driver.ask(&DriverRequest::CancelJob(self.action))? {
            DriverResponse::Canceling => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn wait(&self) -> Result<JobResult, ExecuteError> {
        match self.driver.ask(&DriverRequest::RequestJobResult(self.action))? {
            DriverResponse::Result(result) => finished(*result),
            other => Err(unexpected(&other)),
        }
    }
}
