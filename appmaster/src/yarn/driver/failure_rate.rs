use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_mins(1);

/// Failures of the last minute, with their causes.
#[derive(Debug, Default)]
pub(super) struct FailureRate {
    failures: VecDeque<(Duration, String)>,
}

impl FailureRate {
    /// Notes a failure. When there were more than `limit` of them within a minute, it gives their number and the
    /// different causes.
    pub(super) fn add(&mut self, now: Duration, cause: String, limit: f64) -> Option<(usize, String)> {
        self.failures.push_back((now, cause));
        while self.failures.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.failures.pop_front();
        }
        #[allow(clippy::cast_precision_loss)] // a small number
        let exceeded = self.failures.len() as f64 > limit;
        exceeded.then(|| (self.failures.len(), self.causes()))
    }

    /// The newest causes, each once.
    fn causes(&self) -> String {
        let mut causes: Vec<&str> = Vec::new();
        for (_, cause) in self.failures.iter().rev() {
            if causes.len() < 3 && !causes.contains(&cause.as_str()) {
                causes.push(cause);
            }
        }
        causes.join("\n")
    }
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
}
