//! What sinks do when their job has finished.

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
    /// A client of the job which has its sinks settle once it has finished.
    pub(crate) fn settling(self, client: Box<dyn JobClient>) -> Box<dyn JobClient> {
        if self.0.is_empty() { client } else { Box::new(SettlingClient { client, sinks: RefCell::new(self) }) }
    }

    fn settle(&mut self, job: JobId) {
        for (sink, context) in self.0.drain(..) {
            sink.settle(&SinkContext { job, ..context });
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
        let result = self.client.wait()?;
        self.sinks.borrow_mut().settle(result.job);
        Ok(result)
    }
}
