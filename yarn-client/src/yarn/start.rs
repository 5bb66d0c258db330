//! Following an application until its ApplicationMaster runs.

use std::time::{Duration, Instant};

use hadoop_rpc::yarn::{ApplicationReport, ApplicationState};

use super::application::{Application, outcome, pause};
use super::deployment::{Deployment, Work};
use super::plan::{Plan, Size};
use super::resource_manager::reasons;
use super::{diagnostics, last_lines};
use crate::error::{ClientError, Result};
use crate::output;
use crate::run::{Signals, interrupted};

/// Time after which the reasons are looked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What is done about a report.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Tell the user.
    Say(String),
    /// Find out why it does not start, and tell it.
    Explain,
    /// It runs.
    Runs,
    /// It has ended.
    Ended,
}

/// What was told of an application so far.
#[derive(Debug, Default)]
struct Watcher {
    state: Option<ApplicationState>,
    explained: Option<Duration>,
}

impl Watcher {
    /// `elapsed` is the time since the application was submitted, `patience` the time before reasons are told.
    fn on_report(&mut self, elapsed: Duration, patience: Duration, report: &ApplicationReport) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.state != Some(report.state) {
            self.state = Some(report.state);
            // The states before are over in no time.
            if matches!(report.state, ApplicationState::Accepted) && elapsed > Duration::from_millis(500) {
                steps.push(Step::Say(format!("Application {} is {}", report.id, report.state)));
            }
        }
        if report.state == ApplicationState::Running {
            steps.push(Step::Runs);
        } else if report.state.is_terminal() {
            steps.push(Step::Ended);
        } else if elapsed >= self.explained.map_or(patience, |last| last + AGAIN_AFTER) {
            self.explained = Some(elapsed);
            steps.push(Step::Explain);
        }
        steps
    }
}

/// Submits an application and waits until it runs. What it has left behind is taken away when that fails, or when the user
/// interrupts it.
pub(crate) async fn deploy(
    deployment: &mut Deployment,
    work: Work,
    signals: &mut Signals,
) -> Result<(Application, ApplicationReport)> {
    let started = tokio::select! {
        started = submit_and_wait(deployment, work) => started,
        () = signals.next() => Err(interrupted("interrupted before the application ran")),
    };
    if started.is_err() {
        deployment.abandon().await;
    }
    started
}

async fn submit_and_wait(deployment: &mut Deployment, work: Work) -> Result<(Application, ApplicationReport)> {
    let application = deployment.submit(work).await?;
    let submitted = Instant::now();
    output::notice(format!("Submitted application {}", application.id()));
    let report =
        until_running(&application, deployment.plan(), deployment.rounded_master()?, deployment.patience()?).await?;
    deployment.is_running(submitted.elapsed());
    output::notice(deployment.timings().text());
    Ok((application, report))
}

/// Waits until the application runs. Says what it waits for when that takes long.
async fn until_running(
    application: &Application,
    plan: &Plan,
    container: Size,
    patience: Duration,
) -> Result<ApplicationReport> {
    let begun = Instant::now();
    let mut watcher = Watcher::default();
    loop {
        let report = application.report().await?;
        for step in watcher.on_report(begun.elapsed(), patience, &report) {
            match step {
                Step::Say(text) => output::notice(text),
                Step::Explain => output::notice(why(application, plan, container, &report).await),
                Step::Runs => return Ok(report),
                Step::Ended => return Err(failed_to_start(application, &report).await),
            }
        }
        tokio::time::sleep(pause(begun.elapsed())).await;
    }
}

/// The reasons for waiting, as lines.
async fn why(application: &Application, plan: &Plan, container: Size, report: &ApplicationReport) -> String {
    let head = format!("Application {} has not started yet ({})", report.id, report.state);
    if report.usage.used_containers > 0 {
        return format!(
            "{head}: it has its container; the node copies its files, or the ApplicationMaster is starting\n  see: flink-yarn \
             logs --application-id {}",
            report.id
        );
    }
    let manager = application.resource_manager();
    let (nodes, queue) = tokio::join!(manager.nodes(), manager.queue(&plan.queue));
    // What cannot be asked is left out: the report's own words remain.
    let (nodes, queue) = (nodes.unwrap_or_default(), queue.ok().flatten());
    let reasons = reasons(container, plan.node_label.as_deref(), &nodes, queue.as_ref(), &report.diagnostics);
    format!("{head}:\n  {reasons}\n  more: flink-yarn doctor; Ctrl-C ends the application")
}

/// The cause first, then what the container has written.
async fn failed_to_start(application: &Application, report: &ApplicationReport) -> ClientError {
    let message = format!("application {} ended before it ran: {}", report.id, outcome(report));
    let error = ClientError::failed(message).because_text(diagnostics::cause(&report.diagnostics));
    last_lines::of_ended(application, None, error).await
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use hadoop_rpc::yarn::{FinalStatus, ResourceUsage};

    pub(in crate::yarn) fn report(state: ApplicationState) -> ApplicationReport {
        ApplicationReport {
            id: "application_1_0001".parse().unwrap(),
            current_attempt: None,
            user: "alice".to_owned(),
            queue: "default".to_owned(),
            name: "x".to_owned(),
            application_type: "flink-yarn".to_owned(),
            tags: Vec::new(),
            priority: None,
            state,
            final_status: FinalStatus::Undefined,
            progress: 0.0,
            diagnostics: String::new(),
            host: "N/A".to_owned(),
            rpc_port: -1,
            tracking_url: String::new(),
            original_tracking_url: String::new(),
            started_ms: 0,
            finished_ms: 0,
            usage: ResourceUsage::default(),
            log_aggregation: None,
        }
    }

    #[test]
    fn reasons_are_told_once_in_a_while() {
        let mut watcher = Watcher::default();
        let patience = Duration::from_secs(5);
        let mut at = |seconds: u64, state| watcher.on_report(Duration::from_secs(seconds), patience, &report(state));
        assert_eq!(at(0, ApplicationState::Submitted), []);
        assert_eq!(at(0, ApplicationState::Accepted), []);
        assert_eq!(at(4, ApplicationState::Accepted), []);
        assert_eq!(at(5, ApplicationState::Accepted), [Step::Explain]);
        assert_eq!(at(30, ApplicationState::Accepted), []);
        assert_eq!(at(65, ApplicationState::Accepted), [Step::Explain]);
        assert_eq!(at(66, ApplicationState::Running), [Step::Runs]);
        assert_eq!(at(67, ApplicationState::Killed), [Step::Ended]);
    }

    #[test]
    fn a_late_state_is_told() {
        let mut watcher = Watcher::default();
        let steps =
            watcher.on_report(Duration::from_secs(1), Duration::from_secs(5), &report(ApplicationState::Accepted));
        assert_eq!(steps, [Step::Say("Application application_1_0001 is ACCEPTED".to_owned())]);
    }
}
