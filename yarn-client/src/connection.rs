/// What is asked over a connection.
mod requests;

pub(crate) use requests::{Connection, unexpected};

use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flink_graph::{Configuration, configuration::options};
use flink_protocol::worker::TlsMaterial;
use flink_transport::{Dialer, HandshakeError, Role, authority};
use hadoop_rpc::yarn::ApplicationId;

use crate::cluster_directory::{ClusterDirectoryOption, ClusterRecord};
use crate::error::{ClientError, Exit, Result};
use crate::settings;
use crate::yarn::application::Application;
use crate::yarn::locate;

/// Longest time that connecting takes, handshake included, before the user is told.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do when nobody answers.
const CHECK_ADDRESS: &str = "check the address (-m HOST:PORT) and `flink-yarn standalone status`; `flink-yarn standalone \
                             start` starts a cluster here; `flink-yarn run -t local` needs none";

/// Which cluster a command speaks to.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterOptions {
    /// Address of the JobManager (default: the configuration, then the cluster started by `standalone start`)
    #[arg(short = 'm', long, value_name = "HOST:PORT")]
    pub(crate) jobmanager: Option<String>,

    /// Application on YARN (-id, -yid; default: yarn.application.id, then the last session that was started from here)
    #[arg(long, value_name = "APPLICATION", value_parser = locate::application_id, conflicts_with = "jobmanager")]
    pub(crate) application_id: Option<ApplicationId>,

    #[command(flatten)]
    pub(crate) directory: ClusterDirectoryOption,
}

/// A cluster that can be asked for a connection.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    address: String,
    /// How the address was found, for messages.
    origin: String,
    material: Option<TlsMaterial>,
    frame_limit: u64,
    request_timeout: Duration,
    patience: Duration,
    /// Whether it was started here, with all of its processes on this host.
    pub(crate) on_this_host: bool,
    /// The application that it is, when it is one on YARN: another attempt has another address.
    application: Option<Application>,
}

impl ClusterOptions {
    /// The cluster that is meant; none when none is known.
    pub(crate) fn find(&self, configuration: &Configuration) -> Result<Option<Cluster>> {
        if self.jobmanager.is_none()
            && let Some(id) = locate::named(self.application_id, configuration)?
        {
            return locate::cluster(id, configuration).map(Some);
        }
        let record = self.directory.folder()?.read()?;
        if self.jobmanager.is_none()
            && configuration.raw(options::JOB_MANAGER_RPC_ADDRESS.key).is_none()
            && session_is_newer(configuration, record.as_ref())?
            && let Some(session) = locate::remembered(configuration)?
        {
            return Ok(Some(session));
        }
        let Some((address, origin)) = self.address(configuration, record.as_ref())? else { return Ok(None) };
        let ours = record.filter(|record| record.address == address);
        let tls = match &ours {
            Some(record) => record.tls,
            None => settings::get(configuration, &options::SECURITY_SSL_INTERNAL_ENABLED)?,
        };
        let material = if tls { Some(self.client_keys(configuration, &address, &origin)?) } else { None };
        Ok(Some(Cluster {
            address,
            origin,
            material,
            frame_limit: settings::get(configuration, &options::RPC_FRAME_SIZE)?.0,
            request_timeout: settings::get(configuration, &options::RPC_TIMEOUT)?,
            patience: settings::get(configuration, &options::CLIENT_TIMEOUT)?,
            on_this_host: ours.is_some_and(|record| record.processes.iter().all(|process| process.host.is_none())),
            application: None,
        }))
    }

    /// The cluster that is meant, for commands that need one.
    pub(crate) fn require(&self, configuration: &Configuration) -> Result<Cluster> {
        self.find(configuration)?.ok_or_else(|| {
            ClientError::new(Exit::Unreachable, "no cluster is known").hint(
                "start one with `flink-yarn standalone start` or `flink-yarn session`, or say where it is with -m \
                 HOST:PORT, jobmanager.rpc.address or --application-id",
            )
        })
    }

    fn address(
        &self,
        configuration: &Configuration,
        record: Option<&ClusterRecord>,
    ) -> Result<Option<(String, String)>> {
        let port = settings::get(configuration, &options::JOB_MANAGER_RPC_PORT)?;
        if let Some(given) = &self.jobmanager {
            return Ok(Some((with_port(given, port)?, "-m".to_owned())));
        }
        if let Some(host) = configuration.raw(options::JOB_MANAGER_RPC_ADDRESS.key) {
            return Ok(Some((with_port(host, port)?, options::JOB_MANAGER_RPC_ADDRESS.key.to_owned())));
        }
        Ok(record.map(|record| (record.address.clone(), "flink-yarn standalone start".to_owned())))
    }

    fn client_keys(&self, configuration: &Configuration, address: &str, origin: &str) -> Result<TlsMaterial> {
        let folder = match settings::get(configuration, &options::SECURITY_DIRECTORY)? {
            Some(folder) => PathBuf::from(folder),
            None => self.directory.folder()?.security(),
        };
        authority::load_material(&folder, Role::Client).map_err(|error| {
            // Where nobody listens, keys are of no use, and the address is what is wrong.
            if let Err(reason) = try_to_connect(address) {
                return unreachable(address, origin, &reason, CHECK_ADDRESS);
            }
            ClientError::usage(format!("the keys for connecting to the cluster at {address} cannot be read"))
                .because(&error)
                .hint(
                    "name the folder with the cluster's keys with -D security.directory=DIR, or use -D \
                     security.ssl.internal.enabled=false for a cluster without TLS",
                )
        })
    }
}

/// Whether somebody listens at `host:port`.
fn try_to_connect(address: &str) -> std::io::Result<()> {
    let mut result = Err(std::io::ErrorKind::AddrNotAvailable.into());
    for socket in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&socket, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => result = Err(error),
        }
    }
    result
}

fn unreachable(address: &str, origin: &str, error: &dyn std::error::Error, hint: &str) -> ClientError {
    ClientError::new(Exit::Unreachable, format!("no JobManager answers at {address} (from {origin})"))
        .because(error)
        .hint(hint)
}

/// Whether a session on YARN was started later than the standalone cluster of this host.
fn session_is_newer(configuration: &Configuration, record: Option<&ClusterRecord>) -> Result<bool> {
    let Some(remembered) = locate::remembered_at(configuration)? else { return Ok(false) };
    let remembered = remembered.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let remembered = i64::try_from(remembered.as_millis()).unwrap_or(i64::MAX);
    Ok(record.is_none_or(|record| record.started <= remembered))
}

/// Completes `host` to `host:port`; IPv6 addresses stand in brackets.
pub(crate) fn with_port(text: &str, port: u16) -> Result<String> {
    let text = text.trim();
    let wrong =
        || ClientError::usage(format!("`{text}` is not an address: expected HOST:PORT, for example localhost:6123"));
    let behind_host = text.rfind(']').map_or(text, |end| &text[end..]);
    match behind_host.rsplit_once(':') {
        None if text.is_empty() => Err(wrong()),
        None => Ok(format!("{text}:{port}")),
        Some((_, given)) if given.parse::<u16>().is_ok_and(|port| port > 0) && !text.starts_with(':') => {
            Ok(text.to_owned())
        }
        Some(_) => Err(wrong()),
    }
}

impl Cluster {
    /// For a cluster whose place is known because it was just started here.
    pub(crate) fn new(address: String, material: Option<TlsMaterial>, configuration: &Configuration) -> Result<Self> {
        Ok(Self {
            address,
            origin: "flink-yarn standalone start".to_owned(),
            material,
            frame_limit: settings::get(configuration, &options::RPC_FRAME_SIZE)?.0,
            request_timeout: settings::get(configuration, &options::RPC_TIMEOUT)?,
            patience: settings::get(configuration, &options::CLIENT_TIMEOUT)?,
            on_this_host: false,
            application: None,
        })
    }

    /// Longest time that a lost JobManager is looked for (`client.timeout`).
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The application that it is, when it is one on YARN.
    pub(crate) fn application(&self) -> Option<&Application> {
        self.application.as_ref()
    }

    /// Its id, when it is one.
    pub(crate) fn application_id(&self) -> Option<ApplicationId> {
        self.application().map(Application::id)
    }

    /// An application on YARN, with the address of its JobManager now.
    pub(crate) fn on_yarn(
        address: String,
        material: TlsMaterial,
        application: Application,
        configuration: &Configuration,
    ) -> Result<Self> {
        let made = Self::new(address, Some(material), configuration)?;
        Ok(Self { origin: format!("application {}", application.id()), application: Some(application), ..made })
    }

    /// Connects, or says within seconds why not. The JobManager of an application may be another one by now: YARN is asked
    /// when the one that was known does not answer.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let (failure, application) = match (self.connect_to(&self.address).await, &self.application) {
            (Ok(connection), _) => return Ok(connection),
            (Err(failure), None) => return Err(failure),
            (Err(failure), Some(application)) => (failure, application),
        };
        let address = application.address(&application.report().await?)?;
        if address == self.address { Err(failure) } else { self.connect_to(&address).await }
    }

    /// True when it is an application that will not answer any more, whoever waits for it.
    pub(crate) async fn has_ended(&self) -> bool {
        let Some(application) = &self.application else { return false };
        application.report().await.is_ok_and(|report| report.state.is_terminal())
    }

    async fn connect_to(&self, address: &str) -> Result<Connection> {
        let dialer =
            Dialer::new(self.material.as_ref(), Role::Client, self.frame_limit, CONNECT_TIMEOUT).map_err(|error| {
                ClientError::usage("the keys for connecting to the cluster cannot be used").because(&error)
            })?;
        let inner = dialer.connect(address, Role::JobManager).await.map_err(|error| self.unreachable(&error))?;
        Ok(Connection::over(inner, self.request_timeout, address))
    }

    fn unreachable(&self, error: &HandshakeError) -> ClientError {
        let hint = match error {
            HandshakeError::Connect { .. } | HandshakeError::TimedOut(_) => CHECK_ADDRESS,
            HandshakeError::Tls(_) | HandshakeError::NotOurProtocol | HandshakeError::Broken(_) => {
                "both sides need the same security.ssl.internal.enabled, and keys of the same cluster (security.directory)"
            }
            _ => "the JobManager's log says more: flink-yarn logs --jobmanager",
        };
        unreachable(&self.address, &self.origin, error, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &std::path::Path, jobmanager: Option<&str>) -> ClusterOptions {
        let directory = ClusterDirectoryOption::of(folder);
        ClusterOptions { jobmanager: jobmanager.map(str::to_owned), application_id: None, directory }
    }

    #[test]
    fn addresses_are_completed() {
        let check =
            |text: &str, expect: Option<&str>| assert_eq!(with_port(text, 6123).ok().as_deref(), expect, "{text}");
        check("host", Some("host:6123"));
        check("host:1", Some("host:1"));
        check("[::1]", Some("[::1]:6123"));
        check("[::1]:70", Some("[::1]:70"));
        check("host:port", None);
        check("host:0", None);
        check(":1", None);
        check("", None);
    }

    #[test]
    fn the_option_wins_over_configuration_and_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        configuration.set("security.ssl.internal.enabled", "false");
        let found = |options: &ClusterOptions, configuration: &Configuration| {
            options.find(configuration).unwrap().map(|cluster| cluster.address)
        };
        assert_eq!(found(&options(folder.path(), None), &configuration), None);
        let record =
            ClusterRecord { address: "r:1".to_owned(), rest: None, tls: false, started: 0, processes: Vec::new() };
        options(folder.path(), None).directory.folder().unwrap().write(&record).unwrap();
        assert_eq!(found(&options(folder.path(), None), &configuration).as_deref(), Some("r:1"));
        configuration.set("jobmanager.rpc.address", "c");
        assert_eq!(found(&options(folder.path(), None), &configuration).as_deref(), Some("c:6123"));
        assert_eq!(found(&options(folder.path(), Some("o:2")), &configuration).as_deref(), Some("o:2"));
    }

    #[test]
    fn missing_keys_and_clusters_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let find = |address: &str| options(folder.path(), Some(address)).find(&Configuration::default()).unwrap_err();
        let error = find(&address);
        assert_eq!(error.exit(), Exit::Usage);
        assert!(
            error.to_string().contains("security.directory=DIR") && error.to_string().contains(&address),
            "{error}"
        );
        drop(listener);
        for address in [&address, "no-such-host.invalid:6123"] {
            let error = find(address);
            assert_eq!(error.exit(), Exit::Unreachable);
            assert!(error.to_string().contains(&format!("no JobManager answers at {address} (from -m)")), "{error}");
        }
        let error = options(folder.path(), None).require(&Configuration::default()).unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        assert!(error.to_string().contains("standalone start"), "{error}");
    }

    #[tokio::test]
    async fn a_closed_port_is_told_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let cluster = Cluster::new(address.clone(), None, &Configuration::default()).unwrap();
        let error = cluster.connect().await.err().unwrap();
        assert_eq!(error.exit(), Exit::Unreachable);
        let text = error.to_string();
        assert!(text.contains(&address) && text.contains("refused") && text.contains("hint: check"), "{text}");
    }
}
