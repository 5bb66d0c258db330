//! `flink-yarn doctor`: looks at everything that a deployment needs, and says what to do where something is wrong.

/// Configuration, user, tokens, the binary.
mod local;

/// Names, ports, the ResourceManager, queue, nodes.
mod cluster;

/// Whether what is asked for would get its containers.
mod resources;

/// HDFS: permissions, quota, clock, logs, what is left over.
mod storage;

use clap::Args;
use serde::Serialize;

use super::hadoop::Hadoop;
use super::options::DeploymentOptions;
use super::plan::{Kind, Plan};
use super::resource_manager::ResourceManager;
use super::staging::StagingRoot;
use crate::error::{ClientError, Result};
use crate::output::{self, Format};
use crate::run::block_on;
use crate::settings::ConfigurationOptions;

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flink-yarn doctor
  flink-yarn doctor -jm 1g -tm 4g -s 4 -qu production    would such a session start, and now?

Nothing is started. The exit code is 1 when there is a problem; warnings do not count.")]
pub(crate) struct DoctorOptions {
    /// How the findings are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    #[command(flatten)]
    deployment: DeploymentOptions,

    #[command(flatten)]
    configuration: ConfigurationOptions,
}

impl DoctorOptions {
    /// How results and errors are told.
    pub(crate) fn format(&self) -> Format {
        self.output
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// As it should be.
    Good,
    /// Works, but may not for long, or not well.
    Warning,
    /// Keeps applications from running.
    Problem,
}

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    grade: Severity,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct JsonFindings<'a> {
    findings: &'a [Finding],
    problems: usize,
}

impl Finding {
    fn good(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, grade: Severity::Good, finding: finding.into(), advice: None }
    }

    fn warning(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, grade: Severity::Warning, finding: finding.into(), advice: Some(advice.into()) }
    }

    fn problem(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, grade: Severity::Problem, finding: finding.into(), advice: Some(advice.into()) }
    }

    /// What went wrong, as it is told elsewhere.
    fn failed(check: &'static str, error: &ClientError, advice: impl Into<String>) -> Self {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let without_hint = text.split("\nhint: ").next().unwrap_or(text);
        Self::problem(check, without_hint.replace("\n  caused by: ", ": "), advice)
    }

    fn text(&self) -> String {
        let mark = match self.grade {
            Severity::Good => "ok     ",
            Severity::Warning => "warning",
            Severity::Problem => "PROBLEM",
        };
        let indented = |text: &str| text.replace('\n', "\n                           ");
        let advice = self.advice.as_ref().map(|advice| format!("\n                        -> {}", indented(advice)));
        format!("{mark} {:<15} {}{}", self.check, indented(&self.finding), advice.unwrap_or_default())
    }
}

/// What the checks look at.
struct CheckContext {
    plan: Plan,
    hadoop: Hadoop,
    manager: ResourceManager,
    root: StagingRoot,
}

/// Runs the command.
pub(crate) fn execute(options: &DoctorOptions) -> Result<()> {
    let configuration = options.configuration.load(|configuration| options.deployment.apply(configuration))?;
    let plan = Plan::new(Kind::Session, &configuration, None)?;
    let findings = block_on(async { Ok(examine(plan, &configuration).await) })?;
    let problems = findings.iter().filter(|finding| finding.grade == Severity::Problem).count();
    match options.output {
        Format::Json => output::json(&JsonFindings { findings: &findings, problems })?,
        Format::Text => findings.iter().try_for_each(|finding| output::line(finding.text()))?,
    }
    match problems {
        0 => Ok(()),
        1 => Err(ClientError::failed("one problem was found")),
        more => Err(ClientError::failed(format!("{more} problems were found"))),
    }
}

async fn examine(plan: Plan, configuration: &flink_graph::Configuration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hadoop = match Hadoop::load(configuration) {
        Ok(hadoop) => hadoop,
        Err(error) => {
            let advice = "set HADOOP_CONF_DIR to the folder with core-site.xml, hdfs-site.xml and yarn-site.xml";
            findings.push(Finding::failed("configuration", &error, advice));
            return findings;
        }
    };
    findings.extend(local::configuration(&hadoop));
    findings.extend(local::binary(&plan));
    findings.extend(local::identity(&hadoop));
    let manager = match ResourceManager::new(&hadoop) {
        Ok(manager) => manager,
        Err(error) => {
            findings.push(Finding::failed("user", &error, "with Kerberos, run kinit; check yarn-site.xml otherwise"));
            return findings;
        }
    };
    let root = match StagingRoot::new(&hadoop, manager.user(), plan.staging.as_deref()) {
        Ok(root) => root,
        Err(error) => {
            let advice = "set fs.defaultFS to hdfs://NAMENODE:PORT in core-site.xml, or yarn.staging-directory";
            findings.push(Finding::failed("hdfs", &error, advice));
            return findings;
        }
    };
    findings.push(local::user(manager.identity(), &hadoop));
    let context = CheckContext { plan, hadoop, manager, root };
    let (names, cluster, storage) =
        tokio::join!(cluster::names(&context), cluster::examine(&context), storage::examine(&context));
    findings.extend(names);
    findings.extend(cluster);
    findings.extend(storage);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_to_do() {
        let finding = Finding::problem("queue", "there is no queue `x`", "choose one of: default");
        assert_eq!(
            finding.text(),
            "PROBLEM queue           there is no queue `x`\n                        -> choose one of: default"
        );
        let error = ClientError::failed("a").because_text("b").hint("c");
        assert_eq!(Finding::failed("x", &error, "d").finding, "a: b");
    }
}
