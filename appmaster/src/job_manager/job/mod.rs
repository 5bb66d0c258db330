/// From a region that is ready to one that runs.
mod schedule;

/// What TaskManagers say about the executions of the job.
mod updates;

/// Which task gets which input split, and when.
mod input;

/// Failures: restart, or the end.
mod failure;

/// Cancellation and the end of the job.
mod termination;

/// What users see of the job.
mod details;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flink_graph::{ExecutionState, JobGraph, JobId, JobStatus, ResultPartitionType};
use flink_protocol::TimestampMillis;
use flink_protocol::overview::ExceptionEntry;
use flink_protocol::task_manager::JobInformation;

use super::config::{JobManagerConfig, JobSettings};
use super::context::Context;
use super::event::{Action, Now};
use super::execution_graph::ExecutionGraph;
use super::regions::Regions;
use super::restart::RestartStrategy;
use super::slot_sharing::SlotSharing;
pub(crate) use failure::{Failure, lost, taken};
use input::LocalityDelay;
pub(crate) use input::SplitAnswer;

/// Everything about one job. After each event that concerns it, [`JobMaster::advance`] does what is due next.
#[derive(Debug)]
pub(crate) struct JobMaster {
    /// Place among all jobs, by submission.
    pub(crate) sequence: u64,
    pub(crate) information: JobInformation,
    pub(crate) settings: JobSettings,
    pub(crate) graph: ExecutionGraph,
    pub(crate) sharing: SlotSharing,
    /// Bytes of the input by the host that has them.
    input_hosts: Arc<BTreeMap<String, u64>>,
    /// Subtasks that find no split on their own host.
    locality_delays: BTreeMap<usize, LocalityDelay>,
    regions: Regions,
    region_states: Vec<RegionState>,
    status: JobStatus,
    status_times: Vec<(JobStatus, TimestampMillis)>,
    submitted: Now,
    ended: Option<Now>,
    restart: RestartStrategy,
    pending_restart: Option<PendingRestart>,
    restarts: u32,
    failure: Option<JobFailure>,
    exceptions: VecDeque<ExceptionEntry>,
    exceptions_truncated: bool,
}

/// How far a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RegionState {
    /// Not all of its blocking inputs are there, or it waits for a restart.
    Waiting,
    /// Waits for slots.
    Queued,
    /// Has slots, waits for its workers.
    Starting,
    /// Its tasks were sent out.
    Deployed,
}

/// Subtasks that start again when the delay is over and all of them have ended.
#[derive(Debug)]
struct PendingRestart {
    due: Duration,
    subtasks: BTreeSet<usize>,
}

/// Why the job fails.
#[derive(Debug)]
struct JobFailure {
    message: String,
    /// True when it may be no more than the echo of another failure, which then replaces it.
    is_consequence: bool,
}

impl JobMaster {
    /// Takes a job on.
    ///
    /// # Errors
    /// The graph or its configuration cannot be used, in the user's words.
    pub(crate) fn new(mut job: JobGraph, sequence: u64, cx: &Context) -> Result<Self, String> {
        let mut merged = cx.config.cluster.clone();
        merged.overlay(&job.configuration);
        let settings =
            JobSettings::read(&merged, cx.config.task_managers_on_demand).map_err(|error| error.to_string())?;
        let restart = RestartStrategy::from_configuration(&merged, cx.config.task_managers_on_demand)
            .map_err(|error| error.to_string())?;
        let graph = ExecutionGraph::build(&mut job, cx.epoch, cx.now.timestamp)?;
        let regions = Regions::of_graph(&graph);
        Ok(Self {
            sequence,
            settings,
            sharing: SlotSharing::of_graph(&graph),
            input_hosts: Arc::new(input::bytes_by_host(&graph)),
            locality_delays: BTreeMap::new(),
            region_states: vec![RegionState::Waiting; regions.len()],
            regions,
            graph,
            information: information(job, &cx.config),
            status: JobStatus::Created,
            status_times: vec![(JobStatus::Created, cx.now.timestamp)],
            submitted: cx.now,
            ended: None,
            restart,
            pending_restart: None,
            restarts: 0,
            failure: None,
            exceptions: VecDeque::new(),
            exceptions_truncated: false,
        })
    }

    pub(crate) fn id(&self) -> JobId {
        self.graph.job
    }

    /// Does what is due next, going by what is, not by what just happened.
    pub(crate) fn advance(&mut self, cx: &mut Context) {
        match self.status {
            status if status.is_globally_terminal() => return,
            JobStatus::Canceling | JobStatus::Failing => {}
            _ => {
                self.restart_when_due(cx);
                self.queue_ready_regions(cx);
                self.deploy_started_regions(cx);
            }
        }
        cx.rested.insert(self.id());
        self.end_when_over(cx);
    }

    fn set_status(&mut self, cx: &mut Context, status: JobStatus, reason: Option<String>) {
        if !self.status.can_become(status) {
            return;
        }
        self.status = status;
        // Only the last time in each state is shown, so a job that restarts for ever does not grow.
        self.status_times.retain(|(other, _)| *other != status);
        self.status_times.push((status, cx.now.timestamp));
        let (job, name) = (self.id(), self.information.graph.name.clone());
        cx.actions.push(Action::JobStatusChanged { job, name, status, reason });
    }

    fn state(&self, subtask: usize) -> ExecutionState {
        self.graph.subtasks[subtask].current.state
    }

    fn is_blocking(&self, result: usize) -> bool {
        self.graph.results[result].result_type == ResultPartitionType::Blocking
    }
}

fn information(graph: JobGraph, config: &JobManagerConfig) -> JobInformation {
    let program = graph.program.clone();
    JobInformation { graph, program, cluster_configuration: config.cluster.clone() }
}
