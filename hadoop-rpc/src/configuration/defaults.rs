/// Hadoop's defaults of the keys that are used here. Addresses of the ResourceManager have none on purpose: Hadoop's own
/// default, 0.0.0.0:8032, hides a configuration that was not found.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("fs.defaultFS", "file:///"),
    ("hadoop.rpc.protection", "authentication"),
    ("hadoop.security.authentication", "simple"),
    ("hadoop.security.auth_to_local", ""),
    ("hadoop.security.token.service.use_ip", "true"),
    ("hadoop.tmp.dir", "/tmp/hadoop-${user.name}"),
    ("ipc.client.fallback-to-simple-auth-allowed", "false"),
    ("ipc.maximum.data.length", "134217728"),
    ("ipc.maximum.response.length", "134217728"),
    ("dfs.blocksize", "134217728"),
    ("dfs.replication", "3"),
    ("yarn.app.mapreduce.am.staging-dir", "/tmp/hadoop-yarn/staging"),
    ("yarn.log-aggregation-enable", "false"),
    ("yarn.nodemanager.remote-app-log-dir", "/tmp/logs"),
    ("yarn.nodemanager.remote-app-log-dir-suffix", "logs"),
    ("yarn.resourcemanager.am.max-attempts", "2"),
    ("yarn.resourcemanager.ha.enabled", "false"),
    ("yarn.scheduler.maximum-allocation-mb", "8192"),
    ("yarn.scheduler.maximum-allocation-vcores", "4"),
    ("yarn.scheduler.minimum-allocation-mb", "1024"),
    ("yarn.scheduler.minimum-allocation-vcores", "1"),
];

/// The name of today of a key that had another one.
pub(super) fn current_name(key: &str) -> &str {
    match key {
        "fs.default.name" => "fs.defaultFS",
        "dfs.block.size" => "dfs.blocksize",
        "dfs.federation.nameservices" => "dfs.nameservices",
        "dfs.federation.nameservice.id" => "dfs.nameservice.id",
        "dfs.umaskmode" => "fs.permissions.umask-mode",
        "yarn.resourcemanager.am.max-retries" => "yarn.resourcemanager.am.max-attempts",
        _ => key,
    }
}
