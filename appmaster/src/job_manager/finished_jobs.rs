use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flink_graph::{AccumulatorValue, Accumulators, JobGraph, JobId, JobStatus};
use flink_protocol::client::JobResult;
use flink_protocol::overview::JobDetails;

/// Ids of forgotten jobs that are kept, so that a late copy of their submission does not run them once more.
const FORGOTTEN_IDS: usize = 4096;

/// Bytes of collected records that are kept for clients that ask for a result again.
const RESULT_BYTES: usize = 256 << 20;

/// Jobs that have ended, as long as they are remembered (`jobstore.max-capacity`).
#[derive(Debug)]
pub(crate) struct FinishedJobs {
    capacity: usize,
    jobs: BTreeMap<JobId, FinishedJob>,
    oldest_first: VecDeque<JobId>,
    forgotten: BTreeSet<JobId>,
    forgotten_oldest_first: VecDeque<JobId>,
    result_bytes: usize,
}

/// What is kept of a job.
#[derive(Debug)]
pub(crate) struct FinishedJob {
    pub(crate) details: JobDetails,
    pub(crate) graph: JobGraph,
    /// `None` when the records that it collected were too many to be kept any longer.
    pub(crate) result: Option<JobResult>,
    result_bytes: usize,
}

impl FinishedJobs {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            jobs: BTreeMap::new(),
            oldest_first: VecDeque::new(),
            forgotten: BTreeSet::new(),
            forgotten_oldest_first: VecDeque::new(),
            result_bytes: 0,
        }
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&FinishedJob> {
        self.jobs.get(&job)
    }

    /// All jobs, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &FinishedJob> {
        self.oldest_first.iter().rev().filter_map(|job| self.jobs.get(job))
    }

    pub(crate) fn is_forgotten(&self, job: JobId) -> bool {
        self.forgotten.contains(&job)
    }

    pub(crate) fn count(&self, status: JobStatus) -> u32 {
        let of_status = self.jobs.values().filter(|job| job.details.summary.status == status).count();
        u32::try_from(of_status).unwrap_or(u32::MAX)
    }

    /// Keeps a job that has ended, and forgets the oldest beyond the capacity. The replayed results of earlier actions
    /// are of no use any more and may be large.
    pub(crate) fn add(&mut self, details: JobDetails, mut graph: JobGraph, result: JobResult) {
        let job = result.job;
        graph.earlier_results = Vec::new();
        let result_bytes = collected_bytes(&result.accumulators);
        self.result_bytes += result_bytes;
        self.jobs.insert(job, FinishedJob { details, graph, result: Some(result), result_bytes });
        self.oldest_first.push_back(job);
        while self.oldest_first.len() > self.capacity {
            self.forget_oldest();
        }
        self.drop_oldest_results();
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.oldest_first.pop_front() else { return };
        let bytes = self.jobs.remove(&oldest).map_or(0, |job| job.result_bytes);
        self.result_bytes -= bytes;
        self.forgotten.insert(oldest);
        self.forgotten_oldest_first.push_back(oldest);
        if self.forgotten_oldest_first.len() > FORGOTTEN_IDS
            && let Some(id) = self.forgotten_oldest_first.pop_front()
        {
            self.forgotten.remove(&id);
        }
    }

    fn drop_oldest_results(&mut self) {
        for job in &self.oldest_first {
            if self.result_bytes <= RESULT_BYTES {
                return;
            }
            if let Some(job) = self.jobs.get_mut(job).filter(|job| job.result_bytes > 0) {
                self.result_bytes -= job.result_bytes;
                job.result_bytes = 0;
                job.result = None;
            }
        }
    }
}

fn collected_bytes(accumulators: &Accumulators) -> usize {
    let bytes = |value: &AccumulatorValue| match value {
        AccumulatorValue::List(records) => records.iter().map(|record| record.len() + size_of::<Vec<u8>>()).sum(),
        _ => 0,
    };
    accumulators.0.values().map(bytes).sum()
}
