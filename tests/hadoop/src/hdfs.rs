use std::path::Path;

use serde_json::Value;

use crate::token;
use crate::web::{Answer, Body};
use crate::{Cluster, Role};

/// Files of a cluster, seen as a user. Paths are absolute.
#[derive(Debug, Clone, Copy)]
pub struct Hdfs<'c> {
    cluster: &'c Cluster,
    user: &'c str,
}

/// How a new file is laid out; the default is the cluster's: two replicas, blocks of 128 MB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// At least 4096, a multiple of 512.
    pub block_size: Option<u64>,
    /// With 1 only one of the two nodes has the data.
    pub replication: Option<u16>,
    /// The node that has the data, or the first replica of it.
    pub node: Option<Role>,
}

/// What HDFS says of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The last part of its path; empty for the path that was asked for.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes.
    pub length: u64,
    /// Milliseconds since 1970.
    pub modification_time: u64,
    /// User.
    pub owner: String,
    /// Group.
    pub group: String,
    /// In octal, `755` for example.
    pub permission: String,
    /// Copies of each block, 0 for a folder.
    pub replication: u64,
    /// Of a file.
    pub block_size: u64,
}

/// A part of a file, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// 127.0.0.2, 127.0.0.3 or both.
    pub hosts: Vec<String>,
}

impl<'c> Hdfs<'c> {
    pub(crate) fn new(cluster: &'c Cluster, user: &'c str) -> Self {
        Self { cluster, user }
    }

    /// The URI of a path, for programs.
    pub fn uri(&self, path: &str) -> String {
        match self.cluster.variant().is_highly_available() {
            true => format!("hdfs://cluster{path}"),
            false => format!("hdfs://{}{path}", self.cluster.address(Role::NameNode, "rpc")),
        }
    }

    /// The user's folder.
    pub fn home(&self) -> String {
        format!("/user/{}", self.user)
    }

    /// Writes a file, in place of one that may be there; folders above it are made.
    #[track_caller]
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.put_laid_out(path, bytes, Layout::default());
    }

    /// Writes a file with blocks and replicas as wanted.
    #[track_caller]
    pub fn put_laid_out(&self, path: &str, bytes: &[u8], layout: Layout) {
        self.upload(path, Body::Bytes(bytes), layout);
    }

    /// Writes a file of any size from a local one.
    #[track_caller]
    pub fn put_file(&self, path: &str, local: &Path, layout: Layout) {
        self.upload(path, Body::File(local), layout);
    }

    #[track_caller]
    fn upload(&self, path: &str, body: Body<'_>, layout: Layout) {
        let mut query = "&overwrite=true&noredirect=true".to_owned();
        query.extend(layout.block_size.map(|size| format!("&blocksize={size}")));
        query.extend(layout.replication.map(|copies| format!("&replication={copies}")));
        // A node that is written to keeps the first replica.
        let others =
            [Role::DataNode1, Role::DataNode2].into_iter().filter(|role| layout.node.is_some_and(|node| *role != node));
        query.extend(others.map(|other| format!("&excludedatanodes={}", self.cluster.address(other, "data"))));
        let target = self.call("PUT", path, &format!("CREATE{query}")).json(path);
        self.cluster.web(self.user).call("PUT", location(&target), body).expect(path);
    }

    /// Makes one file of some, in their order; they are gone then. All blocks but the last must be whole.
    #[track_caller]
    pub fn concat(&self, path: &str, rest: &[String]) {
        self.call("POST", path, &format!("CONCAT&sources={}", rest.join(","))).expect(path);
    }

    /// The content of a file.
    #[track_caller]
    pub fn get(&self, path: &str) -> Vec<u8> {
        let source = self.call("GET", path, "OPEN&noredirect=true").json(path);
        self.cluster.web(self.user).call("GET", location(&source), Body::None).expect(path)
    }

    /// What is in a folder, by name.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<FileStatus> {
        let found = self.call("GET", path, "LISTSTATUS").json(path);
        found["FileStatuses"]["FileStatus"].as_array().unwrap().iter().map(status).collect()
    }

    /// What is at a path, if there is anything.
    #[track_caller]
    pub fn status(&self, path: &str) -> Option<FileStatus> {
        let answer = self.call("GET", path, "GETFILESTATUS");
        (answer.status != 404).then(|| status(&answer.json(path)["FileStatus"]))
    }

    /// Where the blocks of a file are.
    #[track_caller]
    pub fn blocks(&self, path: &str) -> Vec<Block> {
        let found = self.call("GET", path, "GETFILEBLOCKLOCATIONS").json(path);
        found["BlockLocations"]["BlockLocation"].as_array().unwrap().iter().map(block).collect()
    }

    /// Makes a folder and those above it.
    #[track_caller]
    pub fn create_folder(&self, path: &str, permission: &str) {
        self.change(path, &format!("MKDIRS&permission={permission}"));
    }

    /// Removes a file or folder with everything in it; whether it was there.
    #[track_caller]
    pub fn delete(&self, path: &str) -> bool {
        self.call("DELETE", path, "DELETE&recursive=true").json(path)["boolean"] == true
    }

    /// Moves a file or folder.
    #[track_caller]
    pub fn rename(&self, path: &str, to: &str) {
        let done = self.call("PUT", path, &format!("RENAME&destination={to}")).json(path);
        assert_eq!(done["boolean"], true, "{path} was not renamed to {to}");
    }

    /// `700` for example.
    #[track_caller]
    pub fn set_permission(&self, path: &str, permission: &str) {
        self.change(path, &format!("SETPERMISSION&permission={permission}"));
    }

    /// The time of the last change, in milliseconds since 1970.
    #[track_caller]
    pub fn set_modified(&self, path: &str, milliseconds: u64) {
        self.change(path, &format!("SETTIMES&modificationtime={milliseconds}"));
    }

    /// For the administrator `hdfs` only.
    #[track_caller]
    pub fn set_owner(&self, path: &str, owner: &str, group: &str) {
        self.change(path, &format!("SETOWNER&owner={owner}&group={group}"));
    }

    /// How many names and bytes a folder may hold, for the administrator `hdfs` only.
    #[track_caller]
    pub fn set_quota(&self, path: &str, names: u64, bytes: u64) {
        self.change(path, &format!("SETQUOTA&namespacequota={names}&storagespacequota={bytes}"));
    }

    /// A delegation token for the NameNode's RPC port, as Hadoop writes tokens into texts.
    #[track_caller]
    pub fn delegation_token(&self, renewer: &str, service: &str) -> String {
        let answer = self.call("GET", "/", &format!("GETDELEGATIONTOKEN&renewer={renewer}")).json("token");
        token::for_rpc(answer["Token"]["urlString"].as_str().unwrap(), service)
    }

    #[track_caller]
    fn change(&self, path: &str, operation: &str) {
        self.call("PUT", path, operation).expect(path);
    }

    /// Asks the NameNode, or where there are two the one that is active.
    fn call(&self, method: &str, path: &str, operation: &str) -> Answer {
        let roles = [Role::NameNode, Role::NameNode2];
        let names = if self.cluster.variant().is_highly_available() { &roles[..] } else { &roles[..1] };
        let ask = |role: &Role| {
            let url = format!("http://{}/webhdfs/v1{path}?op={operation}", self.cluster.address(*role, "http"));
            self.cluster.web(self.user).call(method, &url, Body::None)
        };
        let mut answers = names.iter().map(ask);
        let is_final =
            |answer: &Answer| answer.status != 0 && !String::from_utf8_lossy(&answer.body).contains("StandbyException");
        let first = answers.next().unwrap();
        if is_final(&first) { first } else { answers.next().unwrap_or(first) }
    }
}

#[track_caller]
fn location(answer: &Value) -> &str {
    answer["Location"].as_str().unwrap_or_else(|| panic!("no location in {answer}"))
}

fn status(value: &Value) -> FileStatus {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| value[name].as_u64().unwrap_or_default();
    FileStatus {
        name: text("pathSuffix"),
        is_folder: value["type"] == "DIRECTORY",
        length: number("length"),
        modification_time: number("modificationTime"),
        owner: text("owner"),
        group: text("group"),
        permission: text("permission"),
        replication: number("replication"),
        block_size: number("blockSize"),
    }
}

fn block(value: &Value) -> Block {
    let hosts = value["hosts"].as_array().unwrap().iter().map(|host| host.as_str().unwrap().to_owned());
    Block {
        offset: value["offset"].as_u64().unwrap(),
        length: value["length"].as_u64().unwrap(),
        hosts: hosts.collect(),
    }
}
