use std::collections::BTreeMap;

use flink_graph::configuration::options;
use flink_graph::{Artifact, Configuration};
use flink_protocol::deployment::{
    APPLICATION_FILE, ApplicationDescription, ApplicationMode, ClientCredentials, ContainerFile,
};
use flink_protocol::wire;
use hadoop_rpc::KerberosLogin;

use super::prepare::Prepared;
use super::{Deployment, Work};
use crate::error::{ClientError, Result};
use crate::settings;
use crate::yarn::artifacts::{Content, Program, Uploader};
use crate::yarn::launch::{self, Owner, Staged};
use crate::yarn::staging::Staging;

/// File with the JobGraph of an application for one job.
const JOB_GRAPH_FILE: &str = "job.graph";

/// The keytab in the application's folder.
const KEYTAB_FILE: &str = "krb5.keytab";

/// A file beyond this is no keytab.
const MAX_KEYTAB_BYTES: u64 = 1 << 20;

/// Keys that hold for this host, and for none of the cluster's.
const OF_THIS_HOST: &[&str] = &[
    "security.directory",
    "yarn.properties-file.location",
    "jobmanager.rpc.address",
    "jobmanager.bind-host",
    "taskmanager.host",
    "taskmanager.bind-host",
    "rest.address",
    "execution.target",
    "execution.attached",
    "yarn.application.id",
];

impl Deployment {
    /// Uploads files, then writes the application's folder: a client that dies during the upload leaves none behind.
    pub(super) async fn stage(
        &mut self,
        prepared: &Prepared,
        work: &Work,
        owner: &Owner,
        client: &ClientCredentials,
    ) -> Result<Staged> {
        let id = prepared.new.id;
        let staging = self.root.of(id);
        let uploader = Uploader::new(self.root.hdfs().clone(), self.root.uri(), self.plan.replication);
        self.uploading = Some((uploader.clone(), prepared.contents.clone()));
        let uploaded = uploader.bring(&prepared.items, &prepared.contents).await?;
        self.uploading = None;
        // The folder comes before what is in it: it keeps others out.
        self.staging = Some(staging.clone());
        staging.create().await?;
        self.timings.uploaded_bytes = uploaded.bytes;
        let mut staged = Staged {
            folder: staging.uri().to_owned(),
            shared: uploaded.files,
            master: Vec::new(),
            name_nodes: self.name_nodes()?,
        };
        let mode = mode(work, &prepared.contents)?;
        let description = launch::description(&self.plan, id, owner, mode, self.effective_configuration(), &staged);
        let (written, described, graph, keytab) = tokio::join!(
            staging.write_credentials(client),
            describe(&staging, &description),
            job_graph(&staging, work, &prepared.contents),
            self.keytab(&staging),
        );
        written?;
        staged.master.push(described?);
        staged.master.extend(graph?);
        staged.master.extend(keytab?);
        Ok(staged)
    }

    /// Puts the keytab into the application's folder, for the ApplicationMaster alone.
    async fn keytab(&self, staging: &Staging) -> Result<Option<ContainerFile>> {
        let Some(KerberosLogin::Keytab { file, .. }) = &self.hadoop.login else { return Ok(None) };
        if !settings::get(&self.configuration, &options::YARN_SHIP_KEYTAB)? {
            return Ok(None);
        }
        let path = file.display();
        let unreadable = |error: &std::io::Error| {
            ClientError::usage(format!("the keytab {path} cannot be read ({})", options::KERBEROS_KEYTAB.key))
                .because(error)
        };
        let size = std::fs::metadata(file).map_err(|error| unreadable(&error))?.len();
        if size > MAX_KEYTAB_BYTES {
            return Err(ClientError::usage(format!("{path} has {size} bytes: that is no keytab")));
        }
        let bytes = std::fs::read(file).map_err(|error| unreadable(&error))?;
        let status = staging.write(KEYTAB_FILE, bytes).await?;
        let name = settings::get(&self.configuration, &options::YARN_LOCALIZED_KEYTAB)?;
        Ok(Some(launch::application_file(&name, status.uri.to_string(), status.length, timestamp(&status))))
    }

    /// Ours, and what of Hadoop's the processes need; what this host alone has stays here.
    fn effective_configuration(&self) -> Configuration {
        let mut configuration = Configuration(self.hadoop.handed_on());
        configuration.overlay(&self.configuration);
        if let (Some(_), Ok(there)) = (
            self.configuration.raw(options::KERBEROS_KEYTAB.key),
            settings::get(&self.configuration, &options::YARN_LOCALIZED_KEYTAB),
        ) {
            configuration.set(options::KERBEROS_KEYTAB.key, there);
        }
        OF_THIS_HOST.iter().for_each(|key| {
            configuration.0.remove(*key);
        });
        configuration.0.retain(|key, _| !key.starts_with("containerized."));
        configuration
    }
}

fn timestamp(status: &flink_hdfs::HdfsStatus) -> i64 {
    i64::try_from(status.modified_millis).unwrap_or(i64::MAX)
}

fn artifact(program: &Program, contents: &BTreeMap<String, Content>) -> Result<Artifact> {
    let content = contents.get(&program.name);
    let content = content.ok_or_else(|| ClientError::failed(format!("the program {} was not hashed", program.name)))?;
    Ok(Artifact { name: program.name.clone(), sha256: content.sha256.clone(), size: content.size })
}

fn mode(work: &Work, contents: &BTreeMap<String, Content>) -> Result<ApplicationMode> {
    Ok(match work {
        Work::Session => ApplicationMode::Session,
        Work::Main { program, arguments } => {
            ApplicationMode::Application { program: artifact(program, contents)?, arguments: arguments.clone() }
        }
        Work::Job { .. } => ApplicationMode::PerJob { job_graph: JOB_GRAPH_FILE.to_owned() },
    })
}

/// Writes what the ApplicationMaster reads first.
async fn describe(staging: &Staging, description: &ApplicationDescription) -> Result<ContainerFile> {
    let bytes = serde_json::to_vec(description)
        .map_err(|error| ClientError::failed("the application's description has no JSON form").because(&error))?;
    let status = staging.write(APPLICATION_FILE, bytes).await?;
    Ok(launch::description_file(status.uri.to_string(), status.length, timestamp(&status)))
}

/// Writes the job's graph, where there is one, and gives it as a file of the ApplicationMaster.
async fn job_graph(
    staging: &Staging,
    work: &Work,
    contents: &BTreeMap<String, Content>,
) -> Result<Option<ContainerFile>> {
    let Work::Job { program, graph } = work else { return Ok(None) };
    let mut graph = graph.clone();
    graph.program = Some(artifact(program, contents)?);
    let bytes =
        wire::encode(&graph).map_err(|error| ClientError::failed("cannot encode the job's graph").because(&error))?;
    let status = staging.write(JOB_GRAPH_FILE, bytes).await?;
    Ok(Some(launch::application_file(JOB_GRAPH_FILE, status.uri.to_string(), status.length, timestamp(&status))))
}
