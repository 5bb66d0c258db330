use clap::Args;
use flink_console::human;
use flink_graph::{ExecutionState, JobId, JobStatus, RuntimeMode};
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use flink_protocol::overview::JobSummary;
use serde::Serialize;

use crate::connection::{ClusterOptions, unexpected};
use crate::error::Result;
use crate::output::{self, Format};
use crate::run::block_on;
use crate::settings::ConfigurationOptions;

const EXAMPLES: &str = "\
Examples:
  flink-yarn list             jobs that run or wait
  flink-yarn list -a          also those that have ended
  flink-yarn list --output json | jq -r '.jobs[].jid'";

/// Options of `list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListOptions {
    /// Only jobs that run or restart
    #[arg(short, long)]
    running: bool,

    /// Only jobs that wait for slots
    #[arg(short, long)]
    scheduled: bool,

    /// All jobs, also those that have ended
    #[arg(short, long)]
    all: bool,

    /// How the list is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    cluster: ClusterOptions,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

/// The shape of Flink's `/v1/jobs/overview`.
#[derive(Serialize)]
struct JsonJobs<'a> {
    jobs: Vec<JsonJob<'a>>,
}

#[derive(Serialize)]
struct JsonJob<'a> {
    jid: JobId,
    name: &'a str,
    state: JobStatus,
    #[serde(rename = "job-type")]
    mode: RuntimeMode,
    #[serde(rename = "start-time")]
    start_time: i64,
    #[serde(rename = "end-time")]
    end_time: i64,
    duration: i64,
    #[serde(rename = "last-modification")]
    last_modification: i64,
    tasks: std::collections::BTreeMap<String, u32>,
}

impl ListOptions {
    /// How result and errors are told.
    pub(crate) fn format(&self) -> Format {
        self.output
    }
}

/// Runs the command.
pub(crate) fn execute(options: &ListOptions) -> Result<()> {
    let configuration = options.configuration.load(|_| {})?;
    let cluster = options.cluster.require(&configuration)?;
    let answer = block_on(async { cluster.connect().await?.request(ClientRequestBody::RequestJobs).await })?;
    let ClientResponseBody::Jobs(mut jobs) = answer else { return Err(unexpected("RequestJobs")) };
    jobs.retain(|job| options.wants(job.status));
    jobs.sort_by_key(|job| (job.start_time, job.id));
    match options.output {
        Format::Text => output::line(text(&jobs, options.all)),
        Format::Json => output::json(&JsonJobs { jobs: jobs.iter().map(json_job).collect() }),
    }
}

impl ListOptions {
    /// As in Flink: without an option what runs and what waits.
    fn wants(&self, status: JobStatus) -> bool {
        let scheduled = status == JobStatus::Created;
        match (self.running, self.scheduled) {
            _ if self.all => true,
            (false, false) => !status.is_globally_terminal(),
            (running, wanted) => (scheduled && wanted) || (running && !scheduled && !status.is_globally_terminal()),
        }
    }
}

fn text(jobs: &[JobSummary], all: bool) -> String {
    if jobs.is_empty() {
        let hint = if all { "" } else { " (-a shows those that have ended)" };
        return format!("No jobs{hint}");
    }
    let titles = ["JOB ID", "STARTED", "DURATION", "STATE", "TASKS", "NAME"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(jobs.iter().map(row));
    output::table(&rows)
}

fn row(job: &JobSummary) -> Vec<String> {
    let ended = job.tasks.of(ExecutionState::Finished);
    vec![
        job.id.to_string(),
        human::timestamp(job.start_time),
        human::duration(std::time::Duration::from_millis(u64::try_from(duration(job)).unwrap_or(0))),
        job.status.to_string(),
        format!("{} running, {ended}/{} finished", job.tasks.of(ExecutionState::Running), job.tasks.total()),
        job.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    ]
}

fn duration(job: &JobSummary) -> i64 {
    let end = if job.end_time < 0 { human::now_millis() } else { job.end_time };
    end.saturating_sub(job.start_time).max(0)
}

fn json_job(job: &JobSummary) -> JsonJob<'_> {
    let mut tasks: std::collections::BTreeMap<String, u32> =
        ExecutionState::ALL.iter().map(|state| (state.to_string().to_lowercase(), job.tasks.of(*state))).collect();
    tasks.insert("total".to_owned(), job.tasks.total());
    JsonJob {
        jid: job.id,
        name: &job.name,
        state: job.status,
        mode: job.mode,
        start_time: job.start_time,
        end_time: job.end_time,
        duration: duration(job),
        last_modification: job.last_modification,
        tasks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flink_protocol::overview::StateCounts;

    fn options(running: bool, scheduled: bool, all: bool) -> ListOptions {
        let (cluster, configuration) = (ClusterOptions::default(), ConfigurationOptions::default());
        ListOptions { running, scheduled, all, output: Format::Text, cluster, configuration }
    }

    #[test]
    fn the_letters_choose_as_in_flink() {
        let states = [JobStatus::Created, JobStatus::Running, JobStatus::Restarting, JobStatus::Failed];
        let check = |options: ListOptions, expect: [bool; 4]| assert_eq!(states.map(|s| options.wants(s)), expect);
        check(options(false, false, false), [true, true, true, false]);
        check(options(true, false, false), [false, true, true, false]);
        check(options(false, true, false), [true, false, false, false]);
        check(options(true, true, false), [true, true, true, false]);
        check(options(false, false, true), [true; 4]);
    }

    #[test]
    fn a_job_is_one_line() {
        let mut tasks = StateCounts::default();
        tasks.add(ExecutionState::Finished);
        let job = JobSummary {
            id: JobId::from_u128(7),
            name: "word\ncount".to_owned(),
            status: JobStatus::Finished,
            mode: RuntimeMode::Batch,
            start_time: 0,
            end_time: 1_500,
            last_modification: 1_500,
            tasks,
        };
        let text = text(std::slice::from_ref(&job), true);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.contains("1970-01-01 00:00:00Z  1.5 s     FINISHED  0 running, 1/1 finished  word count"),
            "{text}"
        );
        let json = output::json_text(&json_job(&job)).unwrap();
        assert!(json.contains("\"state\":\"FINISHED\"") && json.contains("\"total\":1"), "{json}");
    }
}
