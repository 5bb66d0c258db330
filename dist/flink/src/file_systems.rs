use flink_api::Configuration;
#[cfg(feature = "hdfs")]
use flink_graph::options;

/// Has `hdfs://` and `viewfs://` URIs served; local files always are. Nothing is read or connected before the first use.
///
/// On a worker, a NameNode that cannot be reached is waited for: the client has reached it.
#[cfg(feature = "hdfs")]
pub(crate) fn register(configuration: &Configuration, on_worker: bool) {
    let text = |key: &str| configuration.raw(key).map(str::to_owned);
    let options = flink_hdfs::HdfsOptions::default()
        .with_overrides(&configuration.0)
        .with_keytab(text(options::KERBEROS_PRINCIPAL.key), text(options::KERBEROS_KEYTAB.key));
    flink_hdfs::register(if on_worker { options.patient() } else { options });
}

/// Without the feature `hdfs` there are local files alone.
#[cfg(not(feature = "hdfs"))]
pub(crate) fn register(_: &Configuration, _: bool) {}
