use std::time::Duration;

use flink_graph::{Configuration, ConfigurationError, options};

/// Least pause before a new attempt.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// Attempts that fit into the rest of the tokens' life.
const ATTEMPTS_BEFORE_THE_END: u32 = 4;

/// When to obtain new tokens for file systems: well before the present ones end, and again soon when that fails.
///
/// ```text
///  obtained                               due            end
///     ├──────────── ratio ─────────────────┼──────────────┤
///                                          └ failed ─┴ … pauses of a quarter of what is left
/// ```
#[derive(Debug, Clone)]
pub struct TokenSchedule {
    ratio: f64,
    backoff: Duration,
    due: Duration,
    end: Option<Duration>,
}

impl TokenSchedule {
    /// Reads the configuration. The first tokens are due at once.
    ///
    /// # Errors
    /// A setting is wrong.
    pub fn new(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        let ratio = configuration.get(&options::TOKENS_RENEWAL_RATIO)?;
        if !(ratio > 0.0 && ratio < 1.0) {
            return Err(ConfigurationError {
                key: options::TOKENS_RENEWAL_RATIO.key.to_owned(),
                value: ratio.to_string(),
                expected: "a part of the tokens' life between 0 and 1, for example 0.75".to_owned(),
            });
        }
        let backoff = configuration.get(&options::TOKENS_RETRY_BACKOFF)?;
        Ok(Self { ratio, backoff, due: Duration::ZERO, end: None })
    }

    /// When new tokens are to be obtained.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Tokens were obtained that are good for so long.
    pub fn obtained(&mut self, now: Duration, life: Duration) {
        self.end = Some(now + life);
        self.due = now + life.mul_f64(self.ratio).max(MIN_PAUSE);
    }

    /// None were obtained.
    pub fn failed(&mut self, now: Duration) {
        let left = self.end.map_or(Duration::ZERO, |end| end.saturating_sub(now));
        let pause = (left / ATTEMPTS_BEFORE_THE_END).clamp(MIN_PAUSE, self.backoff.max(MIN_PAUSE));
        self.due = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn schedule(settings: &[(&str, &str)]) -> Result<TokenSchedule, ConfigurationError> {
        let mut configuration = Configuration::default();
        for (key, value) in settings {
            configuration.set(*key, *value);
        }
        TokenSchedule::new(&configuration)
    }

    #[test]
    fn new_tokens_are_due_before_the_old_ones_end() {
        let mut schedule = schedule(&[]).unwrap();
        assert_eq!(schedule.due(), Duration::ZERO);
        schedule.obtained(seconds(10), seconds(100));
        assert_eq!(schedule.due(), seconds(85));
        schedule.obtained(seconds(85), seconds(24 * 3600));
        assert_eq!(schedule.due(), seconds(85 + 18 * 3600));
        // Tokens that hardly live are no reason to ask without a pause.
        schedule.obtained(seconds(200), Duration::ZERO);
        assert_eq!(schedule.due(), seconds(201));
    }

    #[test]
    fn failures_leave_room_for_more_attempts() {
        let mut schedule = schedule(&[]).unwrap();
        schedule.failed(seconds(1));
        assert_eq!(schedule.due(), seconds(2), "there is nothing yet");
        schedule.obtained(seconds(0), seconds(60));
        schedule.failed(seconds(45));
        assert_eq!(schedule.due(), Duration::from_millis(48_750));
        schedule.failed(seconds(70));
        assert_eq!(schedule.due(), seconds(71), "they have ended");
        schedule.obtained(seconds(0), seconds(24 * 3600));
        schedule.failed(seconds(18 * 3600));
        assert_eq!(schedule.due(), seconds(19 * 3600), "never later than the configured pause");
    }

    #[test]
    fn a_ratio_is_a_part() {
        for bad in ["0", "1", "-0.5", "NaN"] {
            let error = schedule(&[("security.delegation.tokens.renewal.time-ratio", bad)]).unwrap_err().to_string();
            assert!(error.contains("between 0 and 1") || error.contains("number"), "{bad}: {error}");
        }
    }
}
