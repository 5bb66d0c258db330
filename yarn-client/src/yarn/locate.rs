use flink_graph::Configuration;
use flink_graph::configuration::options;
use hadoop_rpc::yarn::{ApplicationId, ContainerId};

use super::application::Application;
use super::properties::PropertiesFile;
use crate::connection::Cluster;
use crate::error::{ClientError, Exit, Result};
use crate::run::block_on;
use crate::{output, settings};

/// An application's id on the command line.
pub(crate) fn application_id(text: &str) -> std::result::Result<ApplicationId, String> {
    text.trim().parse().map_err(|_| {
        format!("`{text}` is not an application's id: expected application_<time>_<number>, as `flink-yarn session` shows it")
    })
}

/// A container's id on the command line.
pub(crate) fn container_id(text: &str) -> std::result::Result<ContainerId, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a container's id: expected container_<time>_<number>_<attempt>_<number>"))
}

/// The application that the option or the configuration names.
pub(crate) fn named(option: Option<ApplicationId>, configuration: &Configuration) -> Result<Option<ApplicationId>> {
    if option.is_some() {
        return Ok(option);
    }
    let configured = settings::get(configuration, &options::YARN_APPLICATION_ID)?.filter(|text| !text.is_empty());
    let id = configured.map(|text| application_id(&text)).transpose();
    id.map_err(|error| ClientError::usage(format!("{}: {error}", options::YARN_APPLICATION_ID.key)))
}

/// The cluster of an application.
pub(crate) fn cluster(id: ApplicationId, configuration: &Configuration) -> Result<Cluster> {
    let application = Application::find(id, configuration)?;
    block_on(application.cluster(configuration))
}

/// When a session was remembered, if one is.
pub(crate) fn remembered_at(configuration: &Configuration) -> Result<Option<std::time::SystemTime>> {
    let file = PropertiesFile::of(configuration)?;
    if file.read()?.is_none() {
        return Ok(None);
    }
    Ok(file.path().metadata().and_then(|metadata| metadata.modified()).ok())
}

/// The cluster of the session that is remembered; none when none is, or when it has ended.
pub(crate) fn remembered(configuration: &Configuration) -> Result<Option<Cluster>> {
    let file = PropertiesFile::of(configuration)?;
    let Some(text) = file.read()? else { return Ok(None) };
    let origin = file.path().display();
    let id = application_id(&text).map_err(|error| ClientError::usage(format!("{origin}: {error}")))?;
    let application = Application::find(id, configuration).map_err(|error| {
        error.hint(format!("the session {id} is remembered in {origin}: remove that file if it is of no use any more"))
    })?;
    block_on(async {
        let (report, keys) = application.look().await?;
        match report {
            Some(report) if !report.state.is_terminal() => {
                let cluster = application.cluster_as(&report, keys, configuration)?;
                output::notice(format!("Using session {id} (from {origin}; -m or --application-id choose another)"));
                Ok(Some(cluster))
            }
            ended => {
                let how = ended.map_or_else(
                    || "is not known any more".to_owned(),
                    |report| format!("has ended ({})", report.state),
                );
                output::notice(format!("Session {id}, remembered in {origin}, {how}; it is forgotten now"));
                file.forget(&text);
                Ok(None)
            }
        }
    })
}

/// The cluster of the session that is remembered, for commands that need it.
pub(crate) fn require_session(configuration: &Configuration) -> Result<Cluster> {
    remembered(configuration)?.ok_or_else(|| {
        ClientError::new(Exit::Unreachable, "no session on YARN is known").hint(
            "start one with `flink-yarn session -d`, name one with --application-id ID (-id), or run the program in an \
             application of its own: flink-yarn run -t yarn-application PROGRAM",
        )
    })
}

/// Remembers a session for later commands.
pub(crate) fn remember(id: ApplicationId, configuration: &Configuration) -> Result<()> {
    PropertiesFile::of(configuration)?.write(&id.to_string())
}

/// Forgets a session that has ended.
pub(crate) fn forget(id: ApplicationId, configuration: &Configuration) {
    if let Ok(file) = PropertiesFile::of(configuration) {
        file.forget(&id.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_wins_over_the_configuration() {
        let mut configuration = Configuration::default();
        assert_eq!(named(None, &configuration).unwrap(), None);
        configuration.set("yarn.application.id", "application_1_0002");
        let id = |text: &str| text.parse::<ApplicationId>().unwrap();
        assert_eq!(named(None, &configuration).unwrap(), Some(id("application_1_0002")));
        let option = Some(id("application_1_0003"));
        assert_eq!(named(option, &configuration).unwrap(), option);
        configuration.set("yarn.application.id", "job_1");
        assert!(named(None, &configuration).unwrap_err().to_string().contains("yarn.application.id: `job_1` is not"));
    }

    #[test]
    fn nothing_is_remembered_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        configuration.set("yarn.properties-file.location", folder.path().to_str().unwrap());
        assert!(remembered(&configuration).unwrap().is_none());
        assert_eq!(remembered_at(&configuration).unwrap(), None);
        let id = "application_1_0002".parse().unwrap();
        remember(id, &configuration).unwrap();
        assert!(remembered_at(&configuration).unwrap().is_some());
        forget(id, &configuration);
        assert_eq!(remembered_at(&configuration).unwrap(), None);
        let error = require_session(&configuration).unwrap_err();
        assert!(error.to_string().contains("flink-yarn session -d"), "{error}");
    }
}
