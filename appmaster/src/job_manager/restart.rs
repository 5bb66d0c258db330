use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use flink_graph::{Configuration, ConfigurationError, options};

/// Restarts within [`CLUSTER_INTERVAL`] for which the cluster was to blame, without a strategy that says more.
const CLUSTER_RESTARTS: usize = 10;

/// See [`CLUSTER_RESTARTS`].
const CLUSTER_INTERVAL: Duration = Duration::from_hours(1);

/// Pause before such a restart.
const CLUSTER_DELAY: Duration = Duration::from_secs(1);

/// Whether and when a job restarts after a failure; `restart-strategy.type`.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartStrategy {
    /// Never.
    None,
    /// After what the cluster is to blame for, as long as that is not too often: what holds when no strategy is set where
    /// containers come and go, since a shared cluster takes some back as a matter of course.
    ForTheCluster {
        /// When it was restarted, within the last hour.
        restarts: VecDeque<Duration>,
    },
    /// A number of times, after the same pause each time.
    FixedDelay {
        /// Restarts that are left.
        left: u32,
        /// Restarts that were allowed.
        attempts: u32,
        /// The pause.
        delay: Duration,
    },
    /// After a pause that grows with each failure and starts afresh when all has been well for a while.
    ExponentialDelay(ExponentialDelay),
    /// As long as failures are rare.
    FailureRate {
        /// Failures within the interval that are still borne.
        max: u32,
        /// The interval.
        interval: Duration,
        /// The pause.
        delay: Duration,
        /// When it failed, within the interval.
        failures: VecDeque<Duration>,
    },
}

/// See [`RestartStrategy::ExponentialDelay`].
#[derive(Debug, Clone, PartialEq)]
pub struct ExponentialDelay {
    initial: Duration,
    longest: Duration,
    multiplier: f64,
    jitter: f64,
    reset_after: Duration,
    attempts: Option<u32>,
    next: Duration,
    failures: u32,
    /// When the last restart was to begin: from then on all may have been well.
    last_restart: Option<Duration>,
}

impl RestartStrategy {
    /// Reads the strategy of a job, on a cluster whose TaskManagers come and go or not.
    ///
    /// # Errors
    /// A value is not of its option's type, or names no strategy.
    pub fn from_configuration(
        configuration: &Configuration,
        task_managers_on_demand: bool,
    ) -> Result<Self, ConfigurationError> {
        if task_managers_on_demand && configuration.raw(options::RESTART_STRATEGY.key).is_none() {
            return Ok(Self::ForTheCluster { restarts: VecDeque::new() });
        }
        let name = configuration.get(&options::RESTART_STRATEGY)?;
        match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "none" | "off" | "disable" => Ok(Self::None),
            "fixeddelay" => Self::fixed_delay(configuration),
            "exponentialdelay" => ExponentialDelay::read(configuration).map(Self::ExponentialDelay),
            "failurerate" => Self::failure_rate(configuration),
            _ => Err(ConfigurationError {
                key: options::RESTART_STRATEGY.key.to_owned(),
                value: name,
                expected: "none, fixed-delay, exponential-delay or failure-rate".to_owned(),
            }),
        }
    }

    fn fixed_delay(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        let attempts = configuration.get(&options::FIXED_DELAY_ATTEMPTS)?;
        Ok(Self::FixedDelay { left: attempts, attempts, delay: configuration.get(&options::FIXED_DELAY_DELAY)? })
    }

    fn failure_rate(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        Ok(Self::FailureRate {
            max: configuration.get(&options::FAILURE_RATE_MAX)?,
            interval: configuration.get(&options::FAILURE_RATE_INTERVAL)?,
            delay: configuration.get(&options::FAILURE_RATE_DELAY)?,
            failures: VecDeque::new(),
        })
    }

    /// Whether it answers to the cluster's failures alone.
    #[must_use]
    pub fn is_for_the_cluster(&self) -> bool {
        matches!(self, Self::ForTheCluster { .. })
    }

    /// What a user can do about losses after which the job is not restarted.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        matches!(self, Self::None | Self::ForTheCluster { .. }).then_some(
            "With a restart strategy the job would be run again, for example -D restart-strategy.type=fixed-delay",
        )
    }

    /// A failure happened, for which the cluster may be to blame: the pause before the restart, or in words why there is none.
    ///
    /// # Errors
    /// The job is not restarted.
    pub fn on_failure(&mut self, now: Duration, by_cluster: bool, random: &mut Rng) -> Result<Duration, String> {
        match self {
            Self::ForTheCluster { restarts } if by_cluster => {
                restarts.push_back(now);
                while restarts.front().is_some_and(|at| now.saturating_sub(*at) > CLUSTER_INTERVAL) {
                    restarts.pop_front();
                }
                if restarts.len() <= CLUSTER_RESTARTS {
                    return Ok(CLUSTER_DELAY);
                }
                Err(format!(
                    "it was restarted {CLUSTER_RESTARTS} times within {CLUSTER_INTERVAL:?} for what the cluster had done; \
                     restart-strategy.type allows more"
                ))
            }
            Self::None | Self::ForTheCluster { .. } => {
                Err("no restart strategy is set (restart-strategy.type)".to_owned())
            }
            Self::FixedDelay { left: 0, attempts, .. } => {
                Err(format!("it was restarted {attempts} times already (restart-strategy.fixed-delay.attempts)"))
            }
            Self::FixedDelay { left, delay, .. } => {
                *left -= 1;
                Ok(*delay)
            }
            Self::ExponentialDelay(state) => state.on_failure(now, random),
            Self::FailureRate { max, interval, delay, failures } => {
                failures.push_back(now);
                while failures.front().is_some_and(|at| now.saturating_sub(*at) > *interval) {
                    failures.pop_front();
                }
                if failures.len() <= *max as usize {
                    return Ok(*delay);
                }
                Err(format!(
                    "it failed {} times within {interval:?} (restart-strategy.failure-rate.max-failures-per-interval is \
                     {max})",
                    failures.len()
                ))
            }
        }
    }
}

impl ExponentialDelay {
    fn read(configuration: &Configuration) -> Result<Self, ConfigurationError> {
        let initial = configuration.get(&options::EXPONENTIAL_DELAY_INITIAL_BACKOFF)?;
        Ok(Self {
            initial,
            longest: configuration.get(&options::EXPONENTIAL_DELAY_MAX_BACKOFF)?.max(initial),
            multiplier: within(configuration, &options::EXPONENTIAL_DELAY_MULTIPLIER, 1.0, 1000.0)?,
            jitter: within(configuration, &options::EXPONENTIAL_DELAY_JITTER, 0.0, 1.0)?,
            reset_after: configuration.get(&options::EXPONENTIAL_DELAY_RESET)?,
            attempts: configuration.get(&options::EXPONENTIAL_DELAY_ATTEMPTS)?,
            next: initial,
            failures: 0,
            last_restart: None,
        })
    }

    fn on_failure(&mut self, now: Duration, random: &mut Rng) -> Result<Duration, String> {
        if self.last_restart.is_some_and(|at| now.saturating_sub(at) >= self.reset_after) {
            self.next = self.initial;
            self.failures = 0;
        }
        self.failures += 1;
        if self.attempts.is_some_and(|attempts| self.failures > attempts) {
            let restarts = self.failures - 1;
            return Err(format!(
                "it was restarted {restarts} times without a calm of {:?} in between \
                 (restart-strategy.exponential-delay.attempts-before-reset-backoff)",
                self.reset_after
            ));
        }
        let jitter = 1.0 + self.jitter * (2.0 * random.f64() - 1.0);
        let delay = self.next.mul_f64(jitter.max(0.0)).min(self.longest);
        self.next = self.next.mul_f64(self.multiplier).min(self.longest);
        self.last_restart = Some(now + delay);
        Ok(delay)
    }
}

fn within(
    configuration: &Configuration,
    option: &flink_graph::ConfigOption<f64>,
    least: f64,
    most: f64,
) -> Result<f64, ConfigurationError> {
    let value = configuration.get(option)?;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(ConfigurationError {
        key: option.key.to_owned(),
        value: value.to_string(),
        expected: format!("a number from {least} to {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures at the given seconds, each with the milliseconds until the restart, or `-` for the end.
    fn check(settings: &[(&str, &str)], failures: &[u64], expected: &str) {
        check_on(false, settings, failures, false, expected);
    }

    fn check_on(on_demand: bool, settings: &[(&str, &str)], failures: &[u64], by_cluster: bool, expected: &str) {
        let mut configuration = Configuration::default();
        for (key, value) in settings {
            configuration.set(format!("restart-strategy.{key}"), *value);
        }
        let mut strategy = RestartStrategy::from_configuration(&configuration, on_demand).unwrap();
        let mut random = Rng::with_seed(1);
        let answers: Vec<String> = failures
            .iter()
            .map(|at| strategy.on_failure(Duration::from_secs(*at), by_cluster, &mut random))
            .map(|answer| answer.map_or("-".to_owned(), |delay| delay.as_millis().to_string()))
            .collect();
        assert_eq!(answers.join(" "), expected, "{settings:?}");
    }

    #[test]
    fn strategies_decide_as_configured() {
        check(&[], &[1], "-");
        check(
            &[("type", "fixed-delay"), ("fixed-delay.attempts", "2"), ("fixed-delay.delay", "3 s")],
            &[1, 2, 3],
            "3000 3000 -",
        );
        check(
            &[
                ("type", "failure-rate"),
                ("failure-rate.max-failures-per-interval", "2"),
                ("failure-rate.failure-rate-interval", "10 s"),
                ("failure-rate.delay", "1 s"),
            ],
            &[1, 2, 20, 21, 22],
            "1000 1000 1000 1000 -",
        );
        let exponential = [
            ("type", "exponential-delay"),
            ("exponential-delay.initial-backoff", "1 s"),
            ("exponential-delay.max-backoff", "3 s"),
            ("exponential-delay.backoff-multiplier", "2"),
            ("exponential-delay.jitter-factor", "0"),
            ("exponential-delay.reset-backoff-threshold", "1 min"),
        ];
        check(&exponential, &[1, 5, 10, 20, 100, 105], "1000 2000 3000 3000 1000 2000");
        let mut bounded = exponential.to_vec();
        bounded.push(("exponential-delay.attempts-before-reset-backoff", "2"));
        check(&bounded, &[1, 5, 10], "1000 2000 -");
    }

    #[test]
    fn without_a_strategy_the_clusters_failures_are_borne_where_containers_come_and_go() {
        let failures: Vec<u64> = (1..=11).collect();
        let ten = ["1000"; 10].join(" ");
        check_on(true, &[], &failures, true, &format!("{ten} -"));
        let spread: Vec<u64> = (1..=20).map(|n| n * 400).collect();
        check_on(true, &[], &spread, true, &["1000"; 20].join(" "));
        check_on(true, &[], &[1], false, "-");
        check_on(true, &[("type", "none")], &[1], true, "-");
        check_on(false, &[], &[1], true, "-");
    }

    #[test]
    fn jitter_stays_within_its_share_and_comes_from_the_seed() {
        let mut configuration = Configuration::default();
        configuration.set("restart-strategy.type", "exponential-delay");
        configuration.set("restart-strategy.exponential-delay.jitter-factor", "0.5");
        let run = |seed: u64| -> Vec<Duration> {
            let mut strategy = RestartStrategy::from_configuration(&configuration, false).unwrap();
            let mut random = Rng::with_seed(seed);
            (0..8).map(|n| strategy.on_failure(Duration::from_secs(n), false, &mut random).unwrap()).collect()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        assert!(run(3)[0] >= Duration::from_millis(500) && run(3)[0] <= Duration::from_millis(1500));
    }

    #[test]
    fn an_unknown_strategy_is_refused() {
        let mut configuration = Configuration::default();
        configuration.set("restart-strategy.type", "sometimes");
        let error = RestartStrategy::from_configuration(&configuration, false).unwrap_err().to_string();
        assert!(error.contains("`sometimes` is not none, fixed-delay"), "{error}");
    }
}
