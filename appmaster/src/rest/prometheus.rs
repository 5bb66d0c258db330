use std::fmt::{Display, Write as _};

use flink_graph::JobStatus;
use flink_protocol::TimestampMillis;
use flink_protocol::overview::{ClusterOverview, JobDetails, JobSummary, TaskManagerSummary};

use super::jobs::status_name;
use super::metrics::{self, Kind, Metric};
use super::process::Process;

/// Content type of the text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Size after which no more families are written. At some 300 bytes a sample this is ten thousand subtasks.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// What the page shows.
pub(super) struct Scrape<'a> {
    pub(super) cluster: &'a ClusterOverview,
    pub(super) process: Process,
    pub(super) jobs: &'a [JobSummary],
    /// Jobs that have not ended.
    pub(super) details: &'a [JobDetails],
    pub(super) task_managers: &'a [TaskManagerSummary],
    pub(super) now: TimestampMillis,
}

/// `/metrics`
pub(super) fn page(scrape: &Scrape<'_>) -> String {
    let mut page = Page { text: String::new(), limit: MAX_PAGE_BYTES, left_out: 0 };
    page.scope("flink_jobmanager", &[(String::new(), metrics::of_job_manager(scrape.cluster, scrape.process))]);
    jobs_by_status(&mut page, scrape.jobs);
    page.scope("flink_jobmanager_job", &job_rows(scrape));
    page.scope("flink_jobmanager_job_source", &source_rows(scrape));
    let task_managers = scrape.task_managers.iter().map(|task_manager| {
        let labels = labels(&[("host", &task_manager.host), ("tm_id", &task_manager.id)]);
        (labels, metrics::of_task_manager(task_manager))
    });
    page.scope("flink_taskmanager", &task_managers.collect::<Vec<_>>());
    heartbeats(&mut page, scrape);
    page.scope("flink_taskmanager_job_task", &task_rows(scrape));
    page.finish()
}

fn jobs_by_status(page: &mut Page, jobs: &[JobSummary]) {
    let rows = JobStatus::ALL.map(|status| {
        let count = jobs.iter().filter(|job| job.status == status).count();
        (labels(&[("status", &status_name(status))]), count)
    });
    page.family("flink_jobmanager_numJobs", Kind::Gauge, "Jobs that are known, by state.", rows.iter());
}

fn heartbeats(page: &mut Page, scrape: &Scrape<'_>) {
    let rows: Vec<(String, i64)> = scrape
        .task_managers
        .iter()
        .map(|task_manager| {
            let silence = (scrape.now - task_manager.last_heartbeat).max(0);
            (labels(&[("host", &task_manager.host), ("tm_id", &task_manager.id)]), silence)
        })
        .collect();
    let help = "Time since the last heartbeat, milliseconds.";
    page.family("flink_taskmanager_timeSinceLastHeartbeatMs", Kind::Gauge, help, rows.iter());
}

fn job_rows(scrape: &Scrape<'_>) -> Vec<(String, Vec<Metric>)> {
    let row = |job: &JobDetails| {
        let labels = labels(&[("job_id", &job.summary.id), ("job_name", &job.summary.name)]);
        (labels, metrics::of_job(job, scrape.now))
    };
    scrape.details.iter().map(row).collect()
}

fn source_rows(scrape: &Scrape<'_>) -> Vec<(String, Vec<Metric>)> {
    let mut rows = Vec::new();
    for job in scrape.details {
        for vertex in &job.vertices {
            let labels = labels(&[
                ("job_id", &job.summary.id),
                ("job_name", &job.summary.name),
                ("task_id", &vertex.id),
                ("task_name", &vertex.name),
            ]);
            rows.extend(vertex.splits.as_ref().map(|splits| (labels, metrics::of_splits(splits))));
        }
    }
    rows
}

fn task_rows(scrape: &Scrape<'_>) -> Vec<(String, Vec<Metric>)> {
    let mut rows = Vec::new();
    for job in scrape.details {
        for vertex in &job.vertices {
            for subtask in &vertex.subtasks {
                let (task_manager, host) = subtask.location.clone().unwrap_or_default();
                let labels = labels(&[
                    ("host", &host),
                    ("job_id", &job.summary.id),
                    ("job_name", &job.summary.name),
                    ("subtask_index", &subtask.subtask),
                    ("task_attempt_num", &subtask.attempt),
                    ("task_id", &vertex.id),
                    ("task_name", &vertex.name),
                    ("tm_id", &task_manager),
                ]);
                rows.push((labels, metrics::of_task(&subtask.metrics)));
            }
        }
    }
    rows
}

/// The text, family by family: all samples of one name stand together, as the format demands.
struct Page {
    text: String,
    limit: usize,
    left_out: u32,
}

impl Page {
    /// All metrics of one kind of thing. Each row has the same metrics in the same order.
    fn scope(&mut self, prefix: &str, rows: &[(String, Vec<Metric>)]) {
        let Some((_, first)) = rows.first() else { return };
        for (place, metric) in first.iter().enumerate() {
            let name = format!("{prefix}_{}", metric.id.replace('.', "_"));
            let samples = rows.iter().filter_map(|(labels, metrics)| Some((labels, metrics.get(place)?.value)));
            self.write_family(&name, metric.kind, metric.help, samples);
        }
    }

    fn family<'a, V: Display + 'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        rows: impl Iterator<Item = &'a (String, V)>,
    ) {
        self.write_family(name, kind, help, rows.map(|(labels, value)| (labels, value)));
    }

    fn write_family<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl Iterator<Item = (&'a String, impl Display)>,
    ) {
        let before = self.text.len();
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.text, "{name}{labels} {value}");
            if self.text.len() > self.limit {
                // Half a family would look like tasks that ended.
                self.text.truncate(before);
                self.left_out += 1;
                return;
            }
        }
    }

    fn finish(mut self) -> String {
        self.limit = usize::MAX;
        let rows = [(String::new(), self.left_out)];
        let help = "Metrics that this page had no room for.";
        self.family("flink_jobmanager_metricsLeftOut", Kind::Gauge, help, rows.iter());
        self.text
    }
}

fn labels(pairs: &[(&str, &dyn Display)]) -> String {
    let mut out = String::from("{");
    for (place, (name, value)) in pairs.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{name}=\"{}\"", escaped(&value.to_string()));
    }
    out.push('}');
    out
}

/// A label's value: backslash, quote and line feed are escaped, all else stands for itself.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let name: &dyn Display = &"a \"b\"\\c\nd ä";
        assert_eq!(labels(&[("job_name", name)]), "{job_name=\"a \\\"b\\\"\\\\c\\nd ä\"}");
    }

    #[test]
    fn a_page_without_room_says_so() {
        let mut page = Page { text: String::new(), limit: 100, left_out: 0 };
        let rows = [(String::new(), 1)];
        page.family("small", Kind::Gauge, "Fits.", rows.iter());
        page.family(&"large".repeat(20), Kind::Gauge, "Does not.", rows.iter());
        page.family("other", Kind::Counter, "Fits.", rows.iter());
        let text = page.finish();
        assert!(text.starts_with("# HELP small Fits.\n# TYPE small gauge\nsmall 1\n# HELP other Fits.\n"), "{text}");
        assert!(!text.contains("large") && text.ends_with("flink_jobmanager_metricsLeftOut 1\n"), "{text}");
    }
}
