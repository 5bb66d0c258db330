use std::time::Duration;

use flink_graph::{AccumulatorValue, Accumulators};
use flink_protocol::client::JobResult;

use crate::{clean, human};

/// What is told of a job that has finished: how long it ran, and a line for each accumulator.
#[must_use]
pub fn finished(title: &str, result: &JobResult) -> String {
    let after = human::duration(Duration::from_millis(result.net_runtime_ms));
    let mut text = format!("Job {title} finished in {after}");
    for (name, value) in accumulators_of_user(&result.accumulators) {
        text.push_str(&format!("\n  {}: {}", clean(name), shortened(&value.to_string())));
    }
    text
}

/// Without those that the API itself uses, to collect results for example.
pub fn accumulators_of_user(all: &Accumulators) -> impl Iterator<Item = (&String, &AccumulatorValue)> {
    all.0.iter().filter(|(name, _)| !name.starts_with("__"))
}

/// A histogram of many values would fill the terminal.
fn shortened(value: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 120;
    match value.char_indices().nth(MAX_SHOWN_CHARS) {
        None => value.to_owned(),
        Some((end, _)) => format!("{} … ({} characters)", &value[..end], value.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use flink_graph::{JobId, JobStatus};

    use super::*;

    #[test]
    fn accumulators_of_the_user_are_told() {
        let accumulators = [
            ("__collected", AccumulatorValue::Long(1)),
            ("skipped\x1blines", AccumulatorValue::Long(2)),
            ("lengths", AccumulatorValue::Histogram((0..500).map(|length| (length, 1)).collect())),
        ];
        let result = JobResult {
            job: JobId::from_u128(1),
            status: JobStatus::Finished,
            failure: None,
            net_runtime_ms: 1_500,
            accumulators: Accumulators(accumulators.map(|(name, value)| (name.to_owned(), value)).into()),
        };
        let told = finished("a (1)", &result);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "Job a (1) finished in 1.5 s", "  skipped lines: 2"));
        assert!(lines[1].starts_with("  lengths: {0: 1, ") && lines[1].ends_with(" characters)"), "{}", lines[1]);
        assert!(lines[1].chars().count() < 170);
    }

    #[test]
    fn long_values_are_shortened_at_a_character() {
        assert_eq!(shortened("42"), "42");
        let long = "ä".repeat(500);
        assert_eq!(shortened(&long), format!("{} … (500 characters)", "ä".repeat(120)));
    }
}
