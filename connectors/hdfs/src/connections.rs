use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flink_files::{FileError, FileUri};
use hadoop_rpc::Configuration;

use crate::failure::Attempt;
use crate::name_service::NameService;
use crate::settings::{HdfsOptions, default_file_system};

/// The name services that were used so far, and the configuration, which is read when the first one is.
pub(crate) struct Connections {
    options: HdfsOptions,
    configuration: OnceLock<Result<Arc<Configuration>, String>>,
    services: Mutex<BTreeMap<String, Arc<NameService>>>,
}

impl Connections {
    pub(crate) fn new(options: HdfsOptions) -> Self {
        Self { options, configuration: OnceLock::new(), services: Mutex::default() }
    }

    pub(crate) fn with_configuration(options: HdfsOptions, configuration: Configuration) -> Self {
        let connections = Self::new(options);
        // Nobody else has the new object, so it is empty.
        let _ = connections.configuration.set(Ok(Arc::new(configuration)));
        connections
    }

    /// The Hadoop configuration.
    pub(crate) fn configuration(&self) -> Result<Arc<Configuration>, FileError> {
        let loaded = self.configuration.get_or_init(|| self.options.load().map(Arc::new).map_err(|e| e.to_string()));
        loaded.clone().map_err(|reason| FileError::InvalidInput { input: "hdfs".to_owned(), reason })
    }

    /// The service of a URI; that of the default file system for one without an authority.
    pub(crate) fn service(&self, action: &'static str, uri: &FileUri) -> Result<Arc<NameService>, FileError> {
        let configuration = self.configuration()?;
        let authority = match uri.authority() {
            "" => self.default_authority(Attempt { action, uri })?,
            authority => authority.to_owned(),
        };
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = services.get(&authority) {
            return Ok(Arc::clone(service));
        }
        let service = Arc::new(NameService::new(&authority, &configuration, &self.options)?);
        services.insert(authority, Arc::clone(&service));
        Ok(service)
    }

    fn default_authority(&self, attempt: Attempt<'_>) -> Result<String, FileError> {
        let configuration = self.configuration()?;
        let default = default_file_system(&configuration);
        if let Some(default) = default.as_ref().filter(|uri| uri.scheme() == "hdfs" && !uri.authority().is_empty()) {
            return Ok(default.authority().to_owned());
        }
        let why = match default {
            Some(other) => format!("fs.defaultFS is {other}"),
            None if configuration.is_found() => {
                let files: Vec<String> = configuration.files().iter().map(|file| file.display().to_string()).collect();
                format!("fs.defaultFS is not set in {}", files.join(", "))
            }
            None => {
                "no Hadoop configuration was found: set HADOOP_CONF_DIR to the folder with core-site.xml".to_owned()
            }
        };
        let path = attempt.uri.path();
        let reason = format!("it names no NameNode, and {why}. Or write hdfs://HOST:PORT{path}");
        Err(attempt.error(reason, ErrorKind::InvalidInput))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_without_a_host_needs_a_default() {
        let check = |default: &str, expected: Result<&str, &str>| {
            let mut configuration = Configuration::new();
            configuration.set("fs.defaultFS", default);
            let connections = Connections::with_configuration(HdfsOptions::default(), configuration);
            let found = connections.service("open", &FileUri::parse("hdfs:///x").unwrap());
            match (found, expected) {
                (Ok(service), Ok(authority)) => assert_eq!(service.nodes.authority, authority),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{default}: {:?}", found.map(|service| service.nodes.clone())),
            }
        };
        check("hdfs://nn:9000", Ok("nn:9000"));
        check("hdfs://nn", Ok("nn:8020"));
        check("file:///", Err("set HADOOP_CONF_DIR"));
        check("viewfs://c/", Err("fs.defaultFS is viewfs://c/"));
    }

    #[test]
    fn a_service_is_made_once() {
        let connections = Connections::with_configuration(HdfsOptions::default(), Configuration::new());
        let uri = |text| FileUri::parse(text).unwrap();
        let first = connections.service("open", &uri("hdfs://a:1/x")).unwrap();
        assert!(Arc::ptr_eq(&first, &connections.service("open", &uri("hdfs://a:1/y")).unwrap()));
        assert!(!Arc::ptr_eq(&first, &connections.service("open", &uri("hdfs://a:2/y")).unwrap()));
    }
}
