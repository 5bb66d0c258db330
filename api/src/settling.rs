//! What sinks do where their job was submitted when it has ended.

use std::cell::RefCell;
use std::sync::Arc;

use flink_graph::{JobId, JobStatus};
use flink_protocol::client::JobResult;

use crate::executor::{ExecuteError, JobClient};
use crate::sink::SinkContext;
use crate::stream_graph::SinkOnClient;

/// The sinks of a job that is submitted here.
pub(crate) struct Sinks(pub(crate) Vec<(Arc<dyn SinkOnClient>, SinkContext)>);

impl Sinks {
    /// A client of the job which has its sinks settle once it has finished, and abort once it has not.
    pub(crate) fn settling(self, client: Box<dyn JobClient>) -> Box<dyn JobClient> {
        if self.0.is_empty() { client } else { Box::new(SettlingClient { client, sinks: RefCell::new(self) }) }
    }

    fn settle(&mut self, job: JobId) {
        for (sink, context) in self.0.drain(..) {
            sink.settle(&SinkContext { job, ..context });
        }
    }

    /// Of every attempt: a process that was killed could not remove what it had written.
    fn abort(&mut self, job: JobId) {
        for (sink, context) in self.0.drain(..) {
            sink.abort(&SinkContext { job, attempt: u32::MAX, ..context });
        }
    }
}

struct SettlingClient {
    client: Box<dyn JobClient>,
    sinks: RefCell<Sinks>,
}

impl JobClient for SettlingClient {
    fn job_id(&self) -> JobId {
        self.client.job_id()
    }

    fn status(&self) -> Result<JobStatus, ExecuteError> {
        self.client.status()
    }

    fn cancel(&self) -> Result<(), ExecuteError> {
        self.client.cancel()
    }

    fn wait(&self) -> Result<JobResult, ExecuteError> {
        let result = self.client.wait();
        let mut sinks = self.sinks.borrow_mut();
        match &result {
            Ok(result) => sinks.settle(result.job),
            Err(ExecuteError::Failed { job, .. } | ExecuteError::Canceled(job)) => sinks.abort(*job),
            // The job may still run.
            Err(_) => {}
        }
        result
    }
}
