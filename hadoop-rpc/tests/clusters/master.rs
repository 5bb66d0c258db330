use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use flink_test_hadoop::Cluster;
use hadoop_rpc::credentials::AMRM_TOKEN_KIND;
use hadoop_rpc::yarn::{
    AllocateRequest, AllocateResponse, ApplicationClient, ApplicationId, ApplicationMaster, ApplicationSubmission,
    ContainerId, ContainerLaunchContext, FinalStatus, NodeLogs, Registration, Resource, ResourceRequest,
};
use hadoop_rpc::{Configuration, Credentials, Token, User};
use tempfile::TempDir;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn configuration(cluster: &Cluster) -> Configuration {
    Configuration::load_from(&[cluster.conf_dir().to_owned()]).unwrap()
}

pub(crate) fn client(cluster: &Cluster, user: &str) -> ApplicationClient {
    ApplicationClient::new(&configuration(cluster), &User::simple(user), &Credentials::new()).unwrap()
}

/// What stands in a log of a container, or at its end.
pub(crate) async fn read_log(logs: &NodeLogs, container: ContainerId, name: &str, last: Option<u64>) -> String {
    let listed = logs.list(container).await.unwrap();
    assert!(listed.iter().any(|log| log.name == name && log.size > 0), "{listed:?}");
    let mut content = logs.read(container, name, last).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = content.next().await.unwrap() {
        read.extend(piece);
    }
    String::from_utf8(read).unwrap()
}

/// An application whose containers run a command.
pub(crate) async fn submission(yarn: &ApplicationClient, command: &str) -> ApplicationSubmission {
    let application = yarn.new_application().await.unwrap();
    assert!(Resource::new(64, 1).fits_in(application.maximum), "{application:?}");
    let master = ContainerLaunchContext { commands: vec![command.to_owned()], ..ContainerLaunchContext::default() };
    ApplicationSubmission::new(application.id, "hadoop-rpc test", master, Resource::new(64, 1))
}

/// An application whose container hands its tokens to the test, which plays the ApplicationMaster. It ends when the
/// folder is gone, and as failed when the test asks for it.
pub(crate) struct Application {
    pub(crate) id: ApplicationId,
    folder: TempDir,
    configuration: Configuration,
}

impl Application {
    pub(crate) async fn start(
        yarn: &ApplicationClient,
        configuration: &Configuration,
        change: impl FnOnce(&mut ApplicationSubmission),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let command = format!(
            "cp $HADOOP_TOKEN_FILE_LOCATION {path}/$CONTAINER_ID.new; mv {path}/$CONTAINER_ID.new {path}/$CONTAINER_ID; \
             while [ -e {path}/$CONTAINER_ID ]; do sleep 0.1; done; exit 3"
        );
        let mut submission = submission(yarn, &command).await;
        submission.keep_containers_across_attempts = true;
        change(&mut submission);
        let id = submission.id;
        yarn.submit(submission).await.unwrap();
        Self { id, folder, configuration: configuration.clone() }
    }

    fn token_file(&self, attempt: u32) -> Option<std::path::PathBuf> {
        let infix = format!("_{attempt:02}_");
        let files = fs::read_dir(self.folder.path()).unwrap().flatten().map(|entry| entry.path());
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        files.into_iter().find(|path| name(path).contains(&infix) && !name(path).ends_with(".new"))
    }

    /// The credentials of an attempt's container.
    pub(crate) async fn credentials(&self, attempt: u32) -> Credentials {
        let began = Instant::now();
        loop {
            if let Some(file) = self.token_file(attempt) {
                return Credentials::read(&file).unwrap();
            }
            assert!(began.elapsed() < TIMEOUT, "{} has no attempt {attempt}", self.id);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn token(&self, attempt: u32) -> Token {
        self.credentials(attempt).await.token_of_kind(AMRM_TOKEN_KIND).unwrap().clone()
    }

    /// An attempt's ApplicationMaster, registered.
    pub(crate) async fn register(&self, attempt: u32) -> (Master, Registration) {
        let client = ApplicationMaster::new(&self.configuration, self.token(attempt).await).unwrap();
        let registration = client.register("127.0.0.1", 4242, "http://127.0.0.1:4242/").await.unwrap();
        let registration = registration.expect("nobody else has registered");
        // As after an answer that was lost: the second call finds the work of the first one done.
        let again = client.register("127.0.0.1", 4242, "http://127.0.0.1:4242/").await.unwrap();
        assert_eq!(again, None);
        (Master { client, next: AllocateRequest::default() }, registration)
    }

    /// Lets an attempt's container fail.
    pub(crate) fn fail(&self, attempt: u32) {
        fs::remove_file(self.token_file(attempt).unwrap()).unwrap();
    }
}

/// A registered ApplicationMaster, with what it will say in its next heartbeat.
pub(crate) struct Master {
    pub(crate) client: ApplicationMaster,
    pub(crate) next: AllocateRequest,
}

impl Master {
    pub(crate) fn ask(&mut self, request: ResourceRequest) {
        self.next.asks.push(request);
    }

    pub(crate) async fn heartbeat(&mut self) -> AllocateResponse {
        let response = self.client.allocate(&self.next).await.unwrap();
        self.next = AllocateRequest { response_id: response.response_id, ..AllocateRequest::default() };
        response
    }

    /// Heartbeats until something is found in the answers.
    pub(crate) async fn until<T>(&mut self, mut find: impl FnMut(AllocateResponse) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = find(self.heartbeat().await) {
                return found;
            }
            assert!(began.elapsed() < TIMEOUT, "nothing came");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn finish(&self) {
        while !self.client.finish(FinalStatus::Succeeded, "all is said", "").await.unwrap() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
