use std::io;

use flink_protocol::program::LOG_VARIABLE;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

/// Has the engine log in a worker, as much as its TaskManager logs: to standard error, which the TaskManager keeps.
pub(crate) fn start_in_worker(filter: Option<&str>) {
    start(filter.unwrap_or_default());
}

/// Has the engine log in a program that runs its jobs itself, where the variable asks for it: what such a program writes is
/// its own affair otherwise.
pub(crate) fn start_in_program() {
    if let Ok(filter) = std::env::var(LOG_VARIABLE) {
        start(&filter);
    }
}

/// A program that has set a subscriber of its own keeps it: this is called at its first action, not before.
fn start(filter: &str) {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    let _ = tracing::subscriber::set_global_default(registry().with(targets(filter)).with(lines));
}

/// What a daemon reads of the same text, as far as levels of targets go; what is more (fields, spans) is left to daemons.
fn targets(filter: &str) -> Targets {
    match filter.trim() {
        "" => Targets::new().with_default(LevelFilter::INFO),
        filter => filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_names_levels_of_targets() {
        let check = |filter: &str, target: &str, level: Level, expect: bool| {
            assert_eq!(targets(filter).would_enable(target, &level), expect, "{filter}: {target} {level}");
        };
        check("", "flink_taskmanager::network", Level::INFO, true);
        check("", "flink_taskmanager::network", Level::DEBUG, false);
        check("flink_taskmanager=debug,warn", "flink_taskmanager::network", Level::DEBUG, true);
        check("flink_taskmanager=debug,warn", "hyper", Level::INFO, false);
        check("flink_appmaster[span{field=1}]=trace", "flink_taskmanager", Level::INFO, true);
        check("off", "flink_taskmanager", Level::ERROR, false);
    }
}
