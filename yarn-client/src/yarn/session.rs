use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use flink_graph::Configuration;
use flink_graph::configuration::options as keys;
use flink_protocol::client::{ClientRequestBody, ClientResponseBody};
use hadoop_rpc::yarn::{ApplicationId, ApplicationReport};
use serde::Serialize;
use tokio::sync::mpsc;

use super::application::{Application, END_TIMEOUT, outcome};
use super::deployment::{Deployment, Timings, Work};
use super::options::DeploymentOptions;
use super::plan::{Kind, Plan};
use super::{diagnostics, locate, query, start};
use crate::connection::unexpected;
use crate::error::{ClientError, Result};
use crate::output::{self, Format};
use crate::run::{Signals, block_on, interrupted};
use crate::settings::{self, ConfigurationOptions};

/// Pause between two looks at a session that somebody is attached to.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

const HELP: &str = "\
Commands:
  stop    end the session: its jobs are canceled
  help    show this
Ctrl-C ends a session that was started here, and leaves one that was attached to with -id.";

const EXAMPLES: &str = "\
Examples:
  flink-yarn session -jm 512m -tm 2g -s 4         starts a session, and stops it with `stop` or Ctrl-C
  flink-yarn session -d -qu production            starts one and leaves it running
  flink-yarn session -id application_1_0001       looks after one that runs; echo stop | … ends it
  flink-yarn session -q                           nodes, queues, free memory and cores

The letters are those of yarn-session.sh: -jm, -tm, -s, -nm, -at, -qu, -t (files to ship), -j (the binary), -nl, -id.
The session is remembered in a file (yarn.properties-file.location): run, list, cancel and logs find it there.";

/// Options of `session`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SessionOptions {
    /// Start the session and leave
    #[arg(short, long)]
    detached: bool,

    /// Show the cluster's nodes and queues, and what is free
    #[arg(short, long)]
    query: bool,

    /// Attach to this session (-id)
    #[arg(long, value_name = "APPLICATION", value_parser = locate::application_id, conflicts_with = "query")]
    application_id: Option<ApplicationId>,

    /// How the result is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    deployment: DeploymentOptions,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonSession<'a> {
    application_id: String,
    name: &'a str,
    state: String,
    tracking_url: &'a str,
    jobmanager: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timings: Option<Timings>,
}

impl SessionOptions {
    /// How results and errors are told.
    pub(crate) fn format(&self) -> Format {
        self.output
    }
}

/// Runs the command.
pub(crate) fn execute(options: &SessionOptions) -> Result<()> {
    let configuration = options.configuration.load(|configuration| options.deployment.apply(configuration))?;
    if options.query {
        return query::execute(&configuration, options.output);
    }
    if let Some(id) = options.application_id {
        if let Some(given) = options.deployment.first_given() {
            return Err(ClientError::usage(format!("{given} cannot change a session that runs already"))
                .hint("leave it out, or leave --application-id out to start a new session"));
        }
        return attach(id, options, &configuration);
    }
    launch(options, &configuration)
}

fn launch(options: &SessionOptions, configuration: &Configuration) -> Result<()> {
    let attached = settings::get(configuration, &keys::EXECUTION_ATTACHED)? && !options.detached;
    let plan = Plan::new(Kind::Session, configuration, None)?;
    let mut deployment = Deployment::new(plan, configuration.clone())?;
    deployment.tell_rounding()?;
    block_on(async {
        let mut signals = Signals::new()?;
        let (application, report) = start::deploy(&mut deployment, Work::Session, &mut signals).await?;
        locate::remember(application.id(), configuration)?;
        tell(&application, &report, Some(deployment.timings()), options.output)?;
        if !attached {
            if options.output == Format::Text {
                output::notice(format!(
                    "it runs on; end it with: flink-yarn kill {0}, or echo stop | flink-yarn session -id {0}",
                    report.id
                ));
            }
            return Ok(());
        }
        look_after(&application, configuration, &mut signals, true).await
    })
}

fn attach(id: ApplicationId, options: &SessionOptions, configuration: &Configuration) -> Result<()> {
    let application = Application::find(id, configuration)?;
    block_on(async {
        let mut signals = Signals::new()?;
        // Whether it can be reached at all is told now, and not when it is to be stopped.
        application.clone().cluster(configuration).await?;
        let report = application.report().await?;
        locate::remember(id, configuration)?;
        tell(&application, &report, None, options.output)?;
        if options.detached {
            return Ok(());
        }
        look_after(&application, configuration, &mut signals, false).await
    })
}

fn tell(application: &Application, report: &ApplicationReport, timings: Option<Timings>, format: Format) -> Result<()> {
    let address = application.address(report).ok();
    match format {
        Format::Json => output::json(&JsonSession {
            application_id: report.id.to_string(),
            name: &report.name,
            state: report.state.to_string(),
            tracking_url: &report.tracking_url,
            jobmanager: address,
            timings,
        }),
        Format::Text => {
            let address = address.map(|address| format!(" at {address}")).unwrap_or_default();
            output::line(format!(
                "Session {} is {}: JobManager{address}, {}",
                report.id, report.state, report.tracking_url
            ))
        }
    }
}

/// What happened to somebody who looks after a session.
enum Event {
    Line(String),
    Signal,
    Look,
}

/// Reads commands until the session has ended. `own` is for a session that was started here.
async fn look_after(
    application: &Application,
    configuration: &Configuration,
    signals: &mut Signals,
    own: bool,
) -> Result<()> {
    let mut lines = lines_of_stdin();
    let terminal = std::io::stdin().is_terminal();
    let mut open = true;
    let mut prompt = true;
    loop {
        if terminal && open && prompt {
            let _ = write!(std::io::stderr().lock(), "> ");
        }
        prompt = false;
        let event = tokio::select! {
            line = lines.recv(), if open => match line {
                Some(line) => Event::Line(line),
                None => {
                    // Without anybody to give commands the session goes on until it is ended otherwise.
                    open = false;
                    continue;
                }
            },
            () = signals.next() => Event::Signal,
            () = tokio::time::sleep(POLL_INTERVAL) => Event::Look,
        };
        match event {
            Event::Line(line) => match line.trim() {
                "" => prompt = true,
                "stop" | "quit" | "exit" => return stop(application, configuration).await,
                "help" => {
                    output::notice(HELP);
                    prompt = true;
                }
                other => {
                    output::notice(format!("`{other}` is no command\n{HELP}"));
                    prompt = true;
                }
            },
            Event::Signal if own => {
                stop(application, configuration).await?;
                return Err(interrupted(&format!("session {} was ended", application.id())));
            }
            Event::Signal => {
                return Err(interrupted(&format!("left; session {} runs on", application.id())));
            }
            Event::Look => {
                let report = application.report().await?;
                if report.state.is_terminal() {
                    locate::forget(application.id(), configuration);
                    return ended(&report);
                }
            }
        }
    }
}

fn ended(report: &ApplicationReport) -> Result<()> {
    let text = format!("session {} has ended: {}", report.id, outcome(report));
    if report.final_status == hadoop_rpc::yarn::FinalStatus::Succeeded {
        output::notice(text);
        return Ok(());
    }
    Err(ClientError::failed(text)
        .because_text(diagnostics::cause(&report.diagnostics))
        .hint(format!("its logs: flink-yarn logs --application-id {}", report.id)))
}

/// Asks the JobManager to end; YARN is asked when that does not help.
async fn stop(application: &Application, configuration: &Configuration) -> Result<()> {
    let begun = Instant::now();
    output::notice(format!("Stopping session {}", application.id()));
    let asked = async {
        let mut connection = application.clone().cluster(configuration).await?.connect().await?;
        match connection.request(ClientRequestBody::ShutDownCluster).await? {
            ClientResponseBody::ShuttingDown => Ok(()),
            _ => Err(unexpected("ShutDownCluster")),
        }
    };
    let waited = match asked.await {
        Ok(()) => application.wait_for_end(END_TIMEOUT).await,
        Err(error) => Err(error),
    };
    let report = match waited {
        Ok(report) => report,
        Err(error) => {
            output::notice(format!("the session does not end by itself, YARN ends it now\n  {error}"));
            application.kill("ended with flink-yarn session").await?
        }
    };
    // An ApplicationMaster that was killed could not tidy up.
    application.staging().remove().await?;
    locate::forget(application.id(), configuration);
    let after = flink_console::human::duration(begun.elapsed());
    output::notice(format!("Session {} is {} after {after}", report.id, report.state));
    Ok(())
}

/// Standard input, line by line. Reading it cannot be interrupted, so that it is done by a thread that nobody waits for.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    let _ = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
