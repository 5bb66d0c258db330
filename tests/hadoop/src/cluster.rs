use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use crate::access::{Access, Lock};
use crate::containers::ContainerProcess;
use crate::hdfs::Hdfs;
use crate::web::Web;
use crate::yarn::Yarn;
use crate::{Role, Variant, containers, script};

/// What `scripts/hadoop env` says of the clusters that this process has joined.
static JOINED: LazyLock<Mutex<HashMap<Variant, Variables>>> = LazyLock::new(Mutex::default);

type Variables = Arc<BTreeMap<String, String>>;

const MARK: &str = "HADOOP_CLUSTER_MARK";

/// A running cluster, in use by a test for as long as the value lives.
///
/// A thread that holds one cluster `shared` and asks for the same one `exclusive` waits for itself.
#[derive(Debug)]
pub struct Cluster {
    variant: Variant,
    access: Access,
    variables: Variables,
    // Last: others get the cluster when everything else is done.
    _lock: Lock,
}

impl Cluster {
    /// For tests that leave the daemons alone. They run at the same time, so they use folders and names of their own.
    #[track_caller]
    pub fn shared(variant: Variant) -> Self {
        Self::join(variant, Access::Shared)
    }

    /// For tests that disturb daemons. Waits until no other test uses the cluster; afterwards it is made whole again.
    #[track_caller]
    pub fn exclusive(variant: Variant) -> Self {
        Self::join(variant, Access::Exclusive)
    }

    #[track_caller]
    fn join(variant: Variant, access: Access) -> Self {
        // Taken first: to join also means to repair, which must not undo what another test has just broken.
        let lock = Lock::take(&script::clusters_folder().join(format!("{}.use", variant.cluster())), access);
        let mut joined = JOINED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if joined.get(&variant).is_some_and(|known| !script::still_runs(variant, &known[MARK])) {
            joined.remove(&variant);
        }
        let variables = joined.entry(variant).or_insert_with(|| Arc::new(script::start(variant))).clone();
        Self { variant, access, variables, _lock: lock }
    }

    /// Which it is.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// What a client must have in its environment: `HADOOP_CONF_DIR` and, with Kerberos, where configuration and tickets
    /// are. Set these for child processes; a test's own environment is shared by its neighbours.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let wanted = ["HADOOP_CONF_DIR", "YARN_CONF_DIR", "KRB5_CONFIG", "KRB5CCNAME"];
        self.variables
            .iter()
            .filter(move |(name, _)| wanted.contains(&name.as_str()))
            .map(|(name, value)| (&**name, &**value))
    }

    /// The folder with `core-site.xml` and the others.
    pub fn conf_dir(&self) -> &Path {
        Path::new(self.variable("HADOOP_CONF_DIR"))
    }

    /// The folder of the cluster's data, logs and keys.
    pub fn folder(&self) -> &Path {
        Path::new(self.variable("HADOOP_CLUSTER_FOLDER"))
    }

    #[track_caller]
    fn variable(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("{:?} has no {name}", self.variant))
    }

    /// Host and port of a service, `rpc` of the NameNode for example; `scripts/hadoop env` lists them.
    #[track_caller]
    pub fn address(&self, role: Role, port: &str) -> &str {
        self.variable(&format!("HADOOP_{role}_{port}").to_uppercase())
    }

    /// Whoever runs the tests: an ordinary user of the cluster. `alice` and `bob` are others, `hdfs` and `yarn`
    /// administrators.
    pub fn user(&self) -> &str {
        self.variable("HADOOP_CLUSTER_USER")
    }

    /// The file with a user's Kerberos keys, `alice` for example.
    pub fn keytab(&self, user: &str) -> PathBuf {
        self.folder().join(format!("kdc/{user}.keytab"))
    }

    /// The file with a user's Kerberos tickets, for `KRB5CCNAME`.
    pub fn tickets(&self, user: &str) -> PathBuf {
        self.folder().join(format!("kdc/{user}.tickets"))
    }

    /// Everything that a daemon has logged since the cluster was started.
    pub fn log(&self, role: Role) -> String {
        let path = self.folder().join(format!("logs/{role}.log"));
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    // --- what is in it ---

    /// Files, as the user who runs the tests.
    pub fn hdfs(&self) -> Hdfs<'_> {
        self.hdfs_as(self.user())
    }

    /// Files, as somebody else.
    pub fn hdfs_as<'c>(&'c self, user: &'c str) -> Hdfs<'c> {
        Hdfs::new(self, user)
    }

    /// Applications, as the user who runs the tests.
    pub fn yarn(&self) -> Yarn<'_> {
        self.yarn_as(self.user())
    }

    /// Applications, as somebody else.
    pub fn yarn_as<'c>(&'c self, user: &'c str) -> Yarn<'c> {
        Yarn::new(self, user)
    }

    /// HTTP to any of the daemons.
    pub(crate) fn web(&self, user: &str) -> Web {
        let secure = self.variant.is_secure();
        let kerberos = secure.then(|| (self.variable("KRB5_CONFIG").to_owned(), self.tickets(user)));
        Web { user: user.to_owned(), kerberos }
    }

    /// Processes of containers that run, daemons not counted.
    pub fn container_processes(&self) -> Vec<ContainerProcess> {
        containers::running(self.variable(MARK))
    }

    // --- faults ---

    /// Ends a daemon at once.
    #[track_caller]
    pub fn kill(&self, role: Role) {
        self.disturb(&["kill", &role.to_string()]);
    }

    /// Ends a NodeManager and all its containers at once, as when the machine is lost.
    #[track_caller]
    pub fn kill_with_containers(&self, role: Role) {
        self.disturb(&["kill", &role.to_string(), "--containers"]);
    }

    /// Ends a daemon in an orderly way.
    #[track_caller]
    pub fn stop(&self, role: Role) {
        self.disturb(&["stop", &role.to_string()]);
    }

    /// Stops a daemon's clock; its connections stay open.
    #[track_caller]
    pub fn pause(&self, role: Role) {
        self.disturb(&["pause", &role.to_string()]);
    }

    /// Lets it go on.
    #[track_caller]
    pub fn resume(&self, role: Role) {
        self.disturb(&["resume", &role.to_string()]);
    }

    /// Starts a daemon again, after an orderly end if it runs, and waits until it works.
    #[track_caller]
    pub fn restart(&self, role: Role) {
        self.disturb(&["restart", &role.to_string()]);
    }

    /// Makes the other NameNode active, also when the first one is dead or paused; which one that is now.
    #[track_caller]
    pub fn fail_over_name_node(&self) -> Role {
        let said = self.disturb(&["failover", "namenode"]);
        if said.starts_with("namenode2") { Role::NameNode2 } else { Role::NameNode }
    }

    /// Makes the other ResourceManager active, also when the first one is dead or paused; which one that is now.
    #[track_caller]
    pub fn fail_over_resource_manager(&self) -> Role {
        let said = self.disturb(&["failover", "resourcemanager"]);
        if said.starts_with("resourcemanager2") { Role::ResourceManager2 } else { Role::ResourceManager }
    }

    /// Undoes all faults and waits until the cluster works; also done at the end of an exclusive use.
    #[track_caller]
    pub fn heal(&self) {
        self.command(&["heal"]);
    }

    /// Fetches new Kerberos tickets for a user.
    #[track_caller]
    pub fn fetch_tickets(&self, user: &str) {
        self.command(&["tickets", user]);
    }

    /// Runs a command of `scripts/hadoop` on this cluster, `&["hdfs", "dfs", "-ls", "/"]` for example; what it printed.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        self.command_as(self.user(), words)
    }

    /// The same as another user; only Hadoop's own programs care.
    #[track_caller]
    pub fn command_as(&self, user: &str, words: &[&str]) -> String {
        let name = self.variant.cluster();
        let mut all = vec![words[0], "--name", &name];
        all.extend(&words[1..]);
        script::run_as(Some(user), &all)
    }

    #[track_caller]
    fn disturb(&self, words: &[&str]) -> String {
        assert_eq!(self.access, Access::Exclusive, "{words:?} disturbs others: ask for `Cluster::exclusive`");
        self.command(words)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.access == Access::Exclusive {
            // A panic in a panic would end the test program: the next one who joins repairs what is left.
            let healed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.heal()));
            if healed.is_err() {
                JOINED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&self.variant);
            }
        }
    }
}
