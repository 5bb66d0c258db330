use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_mins(1);

/// Causes that are told.
const MAX_CAUSES: usize = 3;

/// Failures in a row that are borne at least, however slowly they come.
const MIN_FAILURES_IN_A_ROW: f64 = 10.0;

/// Failures of the last minute, with their causes, and those without any TaskManager that works.
#[derive(Debug, Default)]
pub(super) struct FailureRate {
    failures: VecDeque<(Duration, String)>,
    in_a_row: VecDeque<String>,
    row_length: usize,
}

impl FailureRate {
    /// Notes a failure, whatever it is charged to. When there were more than `limit` of them in a row (and more than ten),
    /// and none of the TaskManagers has worked for a while (`has_proved`), it gives their number and the different causes.
    pub(super) fn add_to_row(&mut self, cause: &str, has_proved: bool, limit: f64) -> Option<(usize, String)> {
        if has_proved {
            self.in_a_row.clear();
            self.row_length = 0;
            return None;
        }
        self.row_length += 1;
        self.in_a_row.push_back(cause.to_owned());
        if self.in_a_row.len() > MAX_CAUSES {
            self.in_a_row.pop_front();
        }
        #[allow(clippy::cast_precision_loss)] // a small number
        let exceeded = self.row_length as f64 > limit.max(MIN_FAILURES_IN_A_ROW);
        exceeded.then(|| (self.row_length, newest(self.in_a_row.iter())))
    }

    /// Notes a failure. When there were more than `limit` of them within a minute, it gives their number and the
    /// different causes.
    pub(super) fn add(&mut self, now: Duration, cause: String, limit: f64) -> Option<(usize, String)> {
        self.failures.push_back((now, cause));
        while self.failures.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.failures.pop_front();
        }
        #[allow(clippy::cast_precision_loss)] // a small number
        let exceeded = self.failures.len() as f64 > limit;
        exceeded.then(|| (self.failures.len(), newest(self.failures.iter().map(|(_, cause)| cause))))
    }
}

/// The newest causes, each once.
fn newest<'c>(causes: impl DoubleEndedIterator<Item = &'c String>) -> String {
    let mut newest: Vec<&str> = Vec::new();
    for cause in causes.rev() {
        if newest.len() < MAX_CAUSES && !newest.contains(&cause.as_str()) {
            newest.push(cause);
        }
    }
    newest.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_a_minute_count() {
        let mut rate = FailureRate::default();
        let at = Duration::from_secs;
        assert_eq!(rate.add(at(0), "a".into(), 2.0), None);
        assert_eq!(rate.add(at(30), "b".into(), 2.0), None);
        assert_eq!(rate.add(at(60), "b".into(), 2.0), None);
        assert_eq!(rate.add(at(61), "c".into(), 2.0), Some((3, "c\nb".into())));
    }

    #[test]
    fn failures_in_a_row_count_unless_something_has_worked() {
        let mut rate = FailureRate::default();
        let mut fail = |has_proved, limit| rate.add_to_row("a", has_proved, limit);
        (0..10).for_each(|_| assert_eq!(fail(false, 2.0), None));
        assert_eq!(fail(true, 2.0), None);
        (0..10).for_each(|_| assert_eq!(fail(false, 2.0), None));
        assert_eq!(fail(false, 20.0), None, "more are allowed");
        assert_eq!(fail(false, 2.0), Some((12, "a".into())));
    }
}
