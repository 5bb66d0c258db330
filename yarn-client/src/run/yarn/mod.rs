//! `run -t yarn-application` and `run -t yarn-per-job`: a program in applications of its own.

/// `main` runs in the cluster, in an application that is looked after from here.
mod application;

/// `main` runs here, and each of its jobs in an application of its own.
mod per_job;

use std::time::Duration;

use flink_graph::Configuration;
use hadoop_rpc::yarn::ApplicationReport;
use serde::Serialize;

use crate::error::Result;
use crate::output::{self, Format};
use crate::program::Program;
use crate::yarn::artifacts;
use crate::yarn::deployment::{Deployment, Timings};
use crate::yarn::plan::{Kind, Plan};

/// A run in applications of its own.
pub(super) struct YarnRun {
    pub(super) kind: Kind,
    pub(super) attached: bool,
    pub(super) format: Format,
    pub(super) plan_timeout: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JsonApplication<'a> {
    application_id: String,
    state: String,
    final_status: String,
    tracking_url: &'a str,
    timings: Timings,
    detached: bool,
}

impl YarnRun {
    pub(super) async fn run(&self, program: Program, configuration: Configuration) -> Result<()> {
        match self.kind {
            Kind::PerJob if self.attached => per_job::drive(self, &program, configuration).await,
            Kind::PerJob => per_job::first_job(self, &program, configuration).await,
            Kind::Application | Kind::Session => application::run(self, &program, configuration).await,
        }
    }

    fn deployment(&self, program: &Program, configuration: &Configuration) -> Result<Deployment> {
        let plan = Plan::new(self.kind, configuration, Some(&program.name()))?;
        let deployment = Deployment::new(plan, configuration.clone())?;
        deployment.tell_rounding()?;
        Ok(deployment)
    }

    fn tell_started(&self, report: &ApplicationReport, timings: Timings) -> Result<()> {
        let started = format!("Application {} is {}: {}", report.id, report.state, report.tracking_url);
        match self.format {
            Format::Text if self.attached => {
                output::notice(started);
                Ok(())
            }
            Format::Text => {
                output::line(started)?;
                output::notice(format!(
                    "it runs on; look at it with flink-yarn list --application-id {0}, end it with flink-yarn kill {0}",
                    report.id
                ));
                Ok(())
            }
            Format::Json if self.attached => Ok(()),
            Format::Json => output::json(&json(report, timings, true)),
        }
    }
}

fn json(report: &ApplicationReport, timings: Timings, detached: bool) -> JsonApplication<'_> {
    JsonApplication {
        application_id: report.id.to_string(),
        state: report.state.to_string(),
        final_status: report.final_status.to_string(),
        tracking_url: &report.tracking_url,
        timings,
        detached,
    }
}

fn staged(program: &Program) -> artifacts::Program {
    artifacts::Program { path: program.path.clone(), name: program.name() }
}
