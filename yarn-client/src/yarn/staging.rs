use std::time::Duration;

use flink_files::FileError;
use flink_hdfs::{Hdfs, HdfsOptions, HdfsStatus};
use flink_protocol::deployment::{
    APPLICATION_FILE, ApplicationDescription, CLIENT_CREDENTIALS_FILE, ClientCredentials, DEPLOYMENT_VERSION,
};
use flink_protocol::worker::TlsMaterial;
use flink_transport::RestToken;
use hadoop_rpc::yarn::ApplicationId;

use super::artifacts::failed;
use super::hadoop::Hadoop;
use crate::error::{ClientError, Result};

/// Folder of everything of ours, in the user's home.
pub(crate) const FOLDER: &str = ".flink-yarn";

/// Nobody but the user may look into the folder of an application, and read its credentials.
const FOLDER_MODE: u32 = 0o700;
const SECRET_MODE: u32 = 0o600;

/// Credentials or a leader's address beyond this are none.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Where the user's applications have their files.
#[derive(Clone)]
pub(crate) struct StagingRoot {
    hdfs: Hdfs,
    root: String,
}

/// The folder of one application.
#[derive(Clone)]
pub(crate) struct Staging {
    hdfs: Hdfs,
    folder: String,
}

/// A folder of an application as it is found in HDFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApplicationFolder {
    /// Whose it is.
    pub(crate) id: ApplicationId,
    /// When something was last put into it, since 1970 and by the NameNode's clock.
    pub(crate) changed: Duration,
}

impl ApplicationFolder {
    fn of(status: &HdfsStatus) -> Option<Self> {
        let id = status.uri.path().rsplit('/').next()?.parse().ok()?;
        Some(Self { id, changed: Duration::from_millis(status.modified_millis) })
    }
}

impl StagingRoot {
    /// Below the folder that the configuration names, or the user's home.
    pub(crate) fn new(hadoop: &Hadoop, user: &str, folder: Option<&str>) -> Result<Self> {
        let options = HdfsOptions {
            overrides: hadoop.overrides.clone(),
            login: hadoop.login.clone(),
            first_contact: hadoop.first_contact,
            ..HdfsOptions::default()
        };
        let hdfs = Hdfs::new(&hadoop.configuration, user, options).map_err(|error| unusable(&error))?;
        let home = match folder {
            Some(folder) => hdfs.uri(folder),
            None => hdfs.home(),
        };
        let home = home.map_err(|error| unusable(&error))?.to_string();
        Ok(Self { hdfs, root: format!("{}/{FOLDER}", home.trim_end_matches('/')) })
    }

    /// HDFS itself.
    pub(crate) fn hdfs(&self) -> &Hdfs {
        &self.hdfs
    }

    /// Its URI, without a slash at the end.
    pub(crate) fn uri(&self) -> &str {
        &self.root
    }

    /// The folder of an application.
    pub(crate) fn of(&self, id: ApplicationId) -> Staging {
        Staging { hdfs: self.hdfs.clone(), folder: format!("{}/{id}", self.root) }
    }

    /// Where files of all applications are, by content.
    pub(crate) fn artifacts_uri(&self) -> String {
        format!("{}/artifacts", self.root)
    }

    /// The folders of those files.
    pub(crate) async fn artifacts(&self) -> Result<Vec<HdfsStatus>> {
        match self.hdfs.list(&self.artifacts_uri()).await {
            Ok(listed) => Ok(listed),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// The folders of applications that there are.
    pub(crate) async fn applications(&self) -> Result<Vec<ApplicationFolder>> {
        let listed = match self.hdfs.list(&self.root).await {
            Ok(listed) => listed,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&error)),
        };
        Ok(listed.iter().filter_map(ApplicationFolder::of).collect())
    }
}

impl Staging {
    /// Its URI, without a slash at the end.
    pub(crate) fn uri(&self) -> &str {
        &self.folder
    }

    /// The folder as it is; none when there is none.
    pub(crate) async fn found(&self) -> Result<Option<ApplicationFolder>> {
        match self.hdfs.status(&self.folder).await {
            Ok(status) => Ok(ApplicationFolder::of(&status)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Makes the folder.
    pub(crate) async fn create(&self) -> Result<()> {
        self.hdfs.create_folder(&self.folder, FOLDER_MODE).await.map_err(|error| failed(&error))
    }

    /// Writes a file of the application.
    pub(crate) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<HdfsStatus> {
        let path = format!("{}/{name}", self.folder);
        self.hdfs.write(&path, bytes, SECRET_MODE).await.map_err(|error| failed(&error))
    }

    /// Writes what later commands of this user need to reach the application.
    pub(crate) async fn write_credentials(&self, credentials: &ClientCredentials) -> Result<()> {
        let bytes = serde_json::to_vec(credentials);
        let bytes = bytes.map_err(|_| ClientError::failed("the application's credentials have no JSON form"))?;
        self.write(CLIENT_CREDENTIALS_FILE, bytes).await.map(|_| ())
    }

    /// What the application was submitted with; none when that is not there (yet, or any more).
    pub(crate) async fn description(&self) -> Result<Option<ApplicationDescription>> {
        let Some(bytes) = self.read(APPLICATION_FILE).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some)
            .map_err(|_| ClientError::failed(format!("{}/{APPLICATION_FILE} is of another version", self.folder)))
    }

    /// What is needed to reach the application; none when it has no folder (any more).
    pub(crate) async fn credentials(&self) -> Result<Option<ClientCredentials>> {
        let Some(bytes) = self.read(CLIENT_CREDENTIALS_FILE).await? else { return Ok(None) };
        // The cause could show a piece of the file.
        let read: ClientCredentials = serde_json::from_slice(&bytes)
            .map_err(|_| ClientError::failed(format!("{}/{CLIENT_CREDENTIALS_FILE} cannot be read", self.folder)))?;
        if read.version != DEPLOYMENT_VERSION {
            return Err(ClientError::usage("the application was started by another version of flink-yarn")
                .hint("use the version that started it"));
        }
        Ok(Some(read))
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.hdfs.read(&format!("{}/{name}", self.folder), MAX_FILE_BYTES).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Removes the folder. Tells whether there was one.
    pub(crate) async fn remove(&self) -> Result<bool> {
        self.hdfs.delete(&self.folder).await.map_err(|error| {
            ClientError::failed("the application's folder could not be removed")
                .because(&error)
                .hint(format!("remove it when HDFS answers again: hdfs dfs -rm -r {}", self.folder))
        })
    }
}

/// HDFS cannot be used.
pub(crate) fn unusable(error: &FileError) -> ClientError {
    ClientError::failed("HDFS cannot be used").because(error).hint("`flink-yarn doctor` looks at the way to it")
}

/// The credentials of a new application's clients.
pub(crate) fn client_credentials(tls: TlsMaterial, token: &RestToken) -> ClientCredentials {
    ClientCredentials { version: DEPLOYMENT_VERSION, tls, rest_token: token.expose().to_owned() }
}
