use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use flink_graph::{ExecutionState, JobGraph, JobStatus};
use flink_protocol::overview::{JobDetails, VertexDetails};

use super::remote::named;
use crate::human;

/// Vertices that are drawn; of a larger job the others are counted.
const MOST_VERTICES: usize = 20;

/// What the user sees of a running job on standard error: on a terminal a block of lines that is drawn again and again,
/// elsewhere one line when the job's state changes.
pub(super) struct Progress {
    title: String,
    started: Instant,
    terminal: bool,
    shown: RefCell<Shown>,
}

#[derive(Default)]
struct Shown {
    /// Lines on the terminal that the next picture replaces.
    lines: usize,
    status: Option<JobStatus>,
    waiting_for: Option<String>,
}

impl Progress {
    pub(super) fn new(graph: &JobGraph) -> Self {
        Self::of(named(graph))
    }

    /// Of a job that is only known by its name.
    pub(super) fn of(title: String) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { title, started: Instant::now(), terminal, shown: RefCell::default() }
    }

    /// Time between two pictures.
    pub(super) fn interval(&self) -> Duration {
        if self.terminal { Duration::from_millis(250) } else { Duration::from_secs(1) }
    }

    pub(super) fn show(&self, details: &JobDetails) {
        if self.terminal {
            self.draw(&picture(&self.title, self.started.elapsed(), details));
        } else {
            self.report(details);
        }
    }

    /// Takes the picture away, for what is written next.
    pub(super) fn clear(&self) {
        self.draw(&[]);
    }

    /// Names come from users; control characters in them would rewrite the terminal.
    pub(super) fn clean(name: &str) -> String {
        name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
    }

    fn draw(&self, lines: &[String]) {
        let mut shown = self.shown.borrow_mut();
        let mut text = match shown.lines {
            0 => String::new(),
            above => format!("\x1b[{above}A\r\x1b[J"),
        };
        let width = width();
        for line in lines {
            text.extend(line.chars().take(width));
            text.push('\n');
        }
        shown.lines = lines.len();
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn report(&self, details: &JobDetails) {
        let mut shown = self.shown.borrow_mut();
        let status = details.summary.status;
        if shown.status == Some(status) && shown.waiting_for == details.waiting_for {
            return;
        }
        let reason = details.waiting_for.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        crate::output::notice(format!("Job {} is {status}{reason}", self.title));
        *shown = Shown { lines: 0, status: Some(status), waiting_for: details.waiting_for.clone() };
    }
}

fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map(|size| usize::from(size.ws_col));
    columns.ok().filter(|columns| *columns > 0).unwrap_or(80)
}

fn picture(title: &str, elapsed: Duration, details: &JobDetails) -> Vec<String> {
    let mut head = format!("Job {title} {} {}", details.summary.status, human::duration(elapsed));
    if details.restarts > 0 {
        head.push_str(&format!(", restarted {} times", details.restarts));
    }
    if let Some(reason) = &details.waiting_for {
        head.push_str(&format!(", {}", Progress::clean(reason)));
    }
    let mut lines = vec![head];
    let shown = details.vertices.iter().take(MOST_VERTICES);
    let names = shown.clone().map(|vertex| vertex.name.chars().count()).max().unwrap_or(0).min(40);
    lines.extend(shown.map(|vertex| vertex_line(vertex, names)));
    if details.vertices.len() > MOST_VERTICES {
        lines.push(format!("  and {} more vertices", details.vertices.len() - MOST_VERTICES));
    }
    lines
}

fn vertex_line(vertex: &VertexDetails, name_width: usize) -> String {
    let count = |state| vertex.subtasks.iter().filter(|subtask| subtask.state == state).count();
    let (running, finished) = (count(ExecutionState::Running), count(ExecutionState::Finished));
    let received: u64 = vertex.subtasks.iter().map(|subtask| subtask.metrics.records_in).sum();
    let sent: u64 = vertex.subtasks.iter().map(|subtask| subtask.metrics.records_out).sum();
    let name: String = Progress::clean(&vertex.name).chars().take(40).collect();
    let mut line = format!("  {name:<name_width$}  {running} running, {finished} of {} finished", vertex.parallelism);
    line.push_str(&format!(", {} in, {} out", human::count(received), human::count(sent)));
    if let Some(splits) = vertex.splits {
        line.push_str(&format!(", {} of {} splits", splits.assigned, splits.total));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use flink_graph::{Accumulators, Configuration, JobId, JobVertexId, RuntimeMode};
    use flink_protocol::overview::{JobSummary, SplitCounts, StateCounts, SubtaskDetails, SubtaskMetrics};

    fn subtask(state: ExecutionState) -> SubtaskDetails {
        let metrics = SubtaskMetrics { records_in: 0, records_out: 1_500, ..SubtaskMetrics::default() };
        let accumulators = Accumulators::default();
        SubtaskDetails { subtask: 0, attempt: 0, state, location: None, timestamps: Vec::new(), metrics, accumulators }
    }

    fn details() -> JobDetails {
        JobDetails {
            summary: JobSummary {
                id: JobId::from_u128(1),
                name: "a".to_owned(),
                status: JobStatus::Running,
                mode: RuntimeMode::Batch,
                start_time: 0,
                end_time: -1,
                last_modification: 0,
                tasks: StateCounts::default(),
            },
            timestamps: Vec::new(),
            configuration: Configuration::default(),
            vertices: vec![VertexDetails {
                id: JobVertexId::from_u128(2),
                name: "Source: \x1b[2J".to_owned(),
                operators: Vec::new(),
                slot_sharing_group: "default".to_owned(),
                parallelism: 2,
                max_parallelism: 128,
                splits: Some(SplitCounts { total: 16, assigned: 3, ..SplitCounts::default() }),
                subtasks: vec![subtask(ExecutionState::Running), subtask(ExecutionState::Finished)],
                inputs: Vec::new(),
            }],
            exceptions: Vec::new(),
            exceptions_truncated: false,
            restarts: 1,
            accumulators: Accumulators::default(),
            waiting_for: Some("waits for 2 more slots".to_owned()),
        }
    }

    #[test]
    fn a_picture_shows_state_vertices_and_splits() {
        assert_eq!(
            picture("a (1)", Duration::from_millis(1_500), &details()),
            [
                "Job a (1) RUNNING 1.5 s, restarted 1 times, waits for 2 more slots",
                "  Source:  [2J  1 running, 1 of 2 finished, 0 in, 3.00 k out, 3 of 16 splits",
            ]
        );
    }
}
