use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use flink_graph::{ExecutionState, JobId, JobStatus};
use flink_protocol::overview::{JobDetails, VertexDetails};

use crate::{human, question};

/// Vertices that are drawn; of a larger job the others are counted.
const MAX_VERTICES: usize = 20;

/// Characters of a vertex's name that are drawn.
const MAX_NAME_LENGTH: usize = 28;

/// What the user sees of a running job on standard error: on a terminal a block of lines that is drawn again and again,
/// elsewhere one line when the job's state changes.
#[derive(Debug)]
pub struct Progress {
    title: String,
    started: Instant,
    drawn: bool,
    shown: RefCell<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// Lines on the terminal that the next picture replaces.
    lines: usize,
    /// Questions that had been asked when they were drawn.
    asked: usize,
    status: Option<JobStatus>,
    waiting_for: Option<String>,
}

impl Progress {
    /// Of the job that the title names: a picture if standard error is a terminal.
    #[must_use]
    pub fn new(title: String) -> Self {
        Self { title, started: Instant::now(), drawn: std::io::stderr().is_terminal(), shown: RefCell::default() }
    }

    /// In plain lines, on a terminal too: where something else is written there meanwhile.
    #[must_use]
    pub fn in_lines(title: String) -> Self {
        Self { drawn: false, ..Self::new(title) }
    }

    /// Time between two pictures.
    #[must_use]
    pub fn interval(&self) -> Duration {
        if self.drawn { Duration::from_millis(250) } else { Duration::from_secs(1) }
    }

    /// Shows the job as it is now.
    pub fn show(&self, details: &JobDetails) {
        if question::stands() {
            return;
        }
        if self.drawn {
            self.draw(&picture(&self.title, self.started.elapsed(), details));
        } else {
            self.report(details);
        }
    }

    /// Takes the picture away, for what is written next.
    pub fn clear(&self) {
        self.draw(&[]);
    }

    fn draw(&self, lines: &[String]) {
        let mut shown = self.shown.borrow_mut();
        let asked = question::asked();
        let above = if asked == shown.asked { shown.lines } else { 0 };
        let mut text = match above {
            0 => String::new(),
            above => format!("\x1b[{above}A\r\x1b[J"),
        };
        let width = width();
        for line in lines {
            text.extend(line.chars().take(width));
            text.push('\n');
        }
        (shown.lines, shown.asked) = (lines.len(), asked);
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn report(&self, details: &JobDetails) {
        let mut shown = self.shown.borrow_mut();
        let status = details.summary.status;
        if shown.status == Some(status) && shown.waiting_for == details.waiting_for {
            return;
        }
        let reason = details.waiting_for.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let _ = writeln!(std::io::stderr().lock(), "Job {} is {status}{reason}", self.title);
        (shown.status, shown.waiting_for) = (Some(status), details.waiting_for.clone());
    }
}

/// A job by name and id, for people.
#[must_use]
pub fn named(name: &str, id: JobId) -> String {
    format!("{} ({id})", clean(name))
}

/// Names come from users; control characters in them would rewrite the terminal.
#[must_use]
pub fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map(|size| usize::from(size.ws_col));
    columns.ok().filter(|columns| *columns > 0).unwrap_or(80)
}

fn picture(title: &str, elapsed: Duration, details: &JobDetails) -> Vec<String> {
    let mut head = format!("Job {title} {} {}", details.summary.status, human::duration(elapsed));
    match details.restarts {
        0 => {}
        1 => head.push_str(", restarted once"),
        times => head.push_str(&format!(", restarted {times} times")),
    }
    if let Some(reason) = &details.waiting_for {
        head.push_str(&format!(", {}", clean(reason)));
    }
    let mut lines = vec![head];
    let shown = details.vertices.iter().take(MAX_VERTICES);
    let names = shown.clone().map(|vertex| vertex.name.chars().count()).max().unwrap_or(0).min(MAX_NAME_LENGTH);
    lines.extend(shown.map(|vertex| vertex_line(vertex, names)));
    if details.vertices.len() > MAX_VERTICES {
        lines.push(format!("  and {} more vertices", details.vertices.len() - MAX_VERTICES));
    }
    lines
}

/// In order of importance: a narrow terminal cuts the end.
fn vertex_line(vertex: &VertexDetails, name_width: usize) -> String {
    let count = |state| vertex.subtasks.iter().filter(|subtask| subtask.state == state).count();
    let (running, finished) = (count(ExecutionState::Running), count(ExecutionState::Finished));
    let received: u64 = vertex.subtasks.iter().map(|subtask| subtask.metrics.records_in).sum();
    let sent: u64 = vertex.subtasks.iter().map(|subtask| subtask.metrics.records_out).sum();
    let name: String = clean(&vertex.name).chars().take(MAX_NAME_LENGTH).collect();
    let mut line = format!("  {name:<name_width$}  ");
    if let Some(splits) = vertex.splits {
        line.push_str(&format!("{}/{} splits, ", splits.assigned, splits.total));
    }
    line.push_str(&format!("{running} running, {finished}/{} done", vertex.parallelism));
    if received > 0 || vertex.splits.is_none() {
        line.push_str(&format!(", {} in", human::count(received)));
    }
    line.push_str(&format!(", {} out", human::count(sent)));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use flink_graph::{Accumulators, Configuration, JobVertexId, RuntimeMode};
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
                "Job a (1) RUNNING 1.5 s, restarted once, waits for 2 more slots",
                "  Source:  [2J  3/16 splits, 1 running, 1/2 done, 3.00 k out",
            ]
        );
        let mut again = details();
        again.restarts = 2;
        assert!(picture("a", Duration::ZERO, &again)[0].contains(", restarted 2 times"));
    }

    #[test]
    fn the_longest_line_fits_an_ordinary_terminal() {
        let mut wide = details();
        let vertex = &mut wide.vertices[0];
        vertex.name = "Source: Text File -> Tokenizer -> Local Aggregate".to_owned();
        vertex.splits = Some(SplitCounts { total: 1000, assigned: 999, ..SplitCounts::default() });
        vertex.subtasks[0].metrics.records_out = 175_000_000_000;
        let line = &picture("a", Duration::ZERO, &wide)[1];
        assert!(line.chars().count() <= 80, "{} characters: {line}", line.chars().count());
        assert!(line.contains("999/1000 splits"), "{line}");
    }
}
