use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::time::Duration;

use flink_files::{FileError, FileUri};
use hdfs_native::HdfsError;

use crate::name_nodes::NameNodes;
use crate::permission_denied::PermissionDenied;
use crate::runtime::Ended;

/// Longest message of a server that is shown.
const MAX_MESSAGE_LENGTH: usize = 600;

/// Why a call has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The NameNode, or the way to it.
    Hdfs(HdfsError),
    /// Reading or writing data: a DataNode, or the NameNode in between.
    Transfer(HdfsError),
    /// No answer in time.
    Late(Duration),
}

/// Whether the same call may work later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetrySafety {
    /// It may, and nothing has happened yet.
    NotExecuted,
    /// It may, but this one may have happened, too.
    MaybeExecuted,
    /// It will fail again.
    Permanent,
}

/// What was attempted with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) action: &'static str,
    pub(crate) uri: &'a FileUri,
}

impl Attempt<'_> {
    /// The error, in words.
    pub(crate) fn failed(self, failure: &Failure, nodes: &NameNodes) -> FileError {
        let (reason, kind) = in_words(failure, nodes);
        self.error(reason, kind)
    }

    /// Something about the machinery of this process.
    pub(crate) fn ended(self, ended: Ended) -> FileError {
        match ended {
            Ended::Late(limit) => self.error(format!("it took longer than {} s", limit.as_secs()), ErrorKind::TimedOut),
            Ended::Panicked => self.error(
                "the HDFS client of this process failed; its message is in the log. Please report it".to_owned(),
                ErrorKind::Other,
            ),
            Ended::NotStarted(reason) => self.error(reason, ErrorKind::Other),
        }
    }

    pub(crate) fn error(self, reason: impl Into<String>, kind: ErrorKind) -> FileError {
        FileError::Remote { action: self.action, uri: self.uri.to_string(), reason: reason.into(), kind }
    }
}

/// True when the answer came from a NameNode, whatever it says.
pub(crate) fn is_answer(failure: &Failure) -> bool {
    match failure {
        Failure::Hdfs(HdfsError::IOError(_) | HdfsError::UrlParseError(_) | HdfsError::InvalidArgument(_)) => false,
        Failure::Hdfs(HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _)) => {
            simple(class) != "StandbyException"
        }
        Failure::Hdfs(_) => true,
        Failure::Transfer(_) | Failure::Late(_) => false,
    }
}

/// Whether to try again.
pub(crate) fn prospect(failure: &Failure) -> RetrySafety {
    match failure {
        Failure::Late(_) => RetrySafety::MaybeExecuted,
        Failure::Hdfs(HdfsError::IOError(error)) if is_unreachable(error) => RetrySafety::NotExecuted,
        Failure::Hdfs(HdfsError::IOError(_)) => RetrySafety::MaybeExecuted,
        Failure::Hdfs(HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message)) => {
            match simple(class) {
                "StandbyException" | "ObserverRetryOnActiveException" => RetrySafety::NotExecuted,
                "RetriableException" | "SafeModeException" if !stays_in_safe_mode(message) => RetrySafety::NotExecuted,
                _ => RetrySafety::Permanent,
            }
        }
        Failure::Hdfs(_) | Failure::Transfer(_) => RetrySafety::Permanent,
    }
}

/// Whether a file that is being written may be gone on with after an error, when it is opened again: a DataNode was lost, the
/// NameNode is just restarting, or a new block was asked for before a DataNode has told of the last one. Java's client waits
/// in that case, and asks again.
pub(crate) fn may_be_opened_again(error: &HdfsError) -> bool {
    match error {
        HdfsError::IOError(_) | HdfsError::DataTransferError(_) => true,
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => match simple(class) {
            "NotReplicatedYetException" | "StandbyException" | "ObserverRetryOnActiveException" => true,
            "RetriableException" | "SafeModeException" => !stays_in_safe_mode(message),
            _ => false,
        },
        _ => false,
    }
}

/// The NameNode leaves the safe mode of its start by itself; somebody must end the others.
fn stays_in_safe_mode(message: &str) -> bool {
    message.contains("manually")
        || message.contains("low on available disk space")
        || message.contains("Resources are low")
}

fn is_unreachable(error: &io::Error) -> bool {
    use ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, NotConnected};
    matches!(error.kind(), AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable | NotConnected)
        || is_unknown_host(error)
}

fn is_unknown_host(error: &io::Error) -> bool {
    error.to_string().contains("failed to lookup address")
}

fn in_words(failure: &Failure, nodes: &NameNodes) -> (String, ErrorKind) {
    match failure {
        Failure::Late(limit) => {
            let reason = format!(
                "{} within {} s. Check that it runs, and that no firewall is in between",
                unanswered(nodes, "did not answer", "answered"),
                limit.as_secs()
            );
            (reason, ErrorKind::TimedOut)
        }
        Failure::Transfer(HdfsError::IOError(error)) => {
            let reason = format!(
                "the connection to a DataNode failed: {error}. Check that the DataNodes run and can be reached (hdfs \
                 dfsadmin -report)"
            );
            (reason, error.kind())
        }
        Failure::Hdfs(error) | Failure::Transfer(error) => hdfs_in_words(error, nodes),
    }
}

/// `the NameNode at … did not answer`, or `none of the NameNodes at … answered`.
fn unanswered(nodes: &NameNodes, one: &str, several: &str) -> String {
    format!("{nodes} {}", if nodes.nodes.len() == 1 { one } else { several })
}

fn hdfs_in_words(error: &HdfsError, nodes: &NameNodes) -> (String, ErrorKind) {
    let plain = |reason: &str, kind| (reason.to_owned(), kind);
    match error {
        HdfsError::IOError(error) => connection_in_words(error, nodes),
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            exception_in_words(class, message, nodes)
        }
        HdfsError::FileNotFound(_) => (not_found(), ErrorKind::NotFound),
        HdfsError::AlreadyExists(message) => already_there(message),
        HdfsError::IsADirectoryError(_) => plain("it is a folder, not a file", ErrorKind::IsADirectory),
        HdfsError::DataTransferError(message) => {
            let reason = format!(
                "no DataNode could be used: {}. Check that the DataNodes run and have room (hdfs dfsadmin -report), and \
                 the file itself (hdfs fsck)",
                shortened(message)
            );
            (reason, ErrorKind::Other)
        }
        HdfsError::ChecksumError => plain(
            "what a DataNode sent does not fit its checksum: a disk or the network damages data. See the DataNodes' logs",
            ErrorKind::InvalidData,
        ),
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => (
            format!(
                "the NameNode does not know for sure who this is: {error}. With Kerberos, get a ticket (kinit) or name a \
                 keytab; in a container, its token has expired"
            ),
            ErrorKind::PermissionDenied,
        ),
        HdfsError::UnsupportedFeature(message) => {
            (format!("this build cannot do that: {}", shortened(message)), ErrorKind::Unsupported)
        }
        other => (shortened(&other.to_string()), ErrorKind::Other),
    }
}

fn connection_in_words(error: &io::Error, nodes: &NameNodes) -> (String, ErrorKind) {
    let cannot = unanswered(nodes, "cannot be reached", "can be reached");
    let advice = if is_unknown_host(error) {
        "Check the host's name"
    } else {
        "Check that it runs, and that host and port are right"
    };
    (format!("{cannot}: {error}. {advice}"), error.kind())
}

fn exception_in_words(class: &str, message: &str, nodes: &NameNodes) -> (String, ErrorKind) {
    let said = said(class, message);
    let advise = |advice: &str, kind| (format!("{said}. {advice}"), kind);
    match simple(class) {
        "FileNotFoundException" if message.contains("not a file") => {
            ("it is a folder, not a file".to_owned(), ErrorKind::IsADirectory)
        }
        "FileNotFoundException" if message.contains("Holder ") => lost_lease(&said),
        "FileNotFoundException" => (not_found(), ErrorKind::NotFound),
        "ParentNotDirectoryException" | "PathIsNotDirectoryException" => {
            (format!("a part of the path is a file, not a folder: {said}"), ErrorKind::NotADirectory)
        }
        "AccessControlException" => denied(message, &said),
        "RpcNoSuchProtocolException" => {
            let reason =
                format!("another service of Hadoop answers, which is no NameNode: {nodes}. Check fs.defaultFS");
            (reason, ErrorKind::InvalidInput)
        }
        "AuthorizationException" => {
            advise("The cluster's policy does not let this user call the NameNode", ErrorKind::PermissionDenied)
        }
        "InvalidToken" | "SaslException" | "GSSException" => (
            format!(
                "the NameNode does not accept the credentials: {said}. Get new ones (kinit), or start the job again; an \
                 application that was given a keytab (security.kerberos.login.keytab) gets new ones by itself"
            ),
            ErrorKind::PermissionDenied,
        ),
        "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaByStorageTypeExceededException" => (
            format!(
                "a quota is used up: {said}. Delete something, or have the quota raised (hdfs dfsadmin -setQuota, \
                 -setSpaceQuota). A file takes its replication times a whole block of space until it is closed"
            ),
            ErrorKind::QuotaExceeded,
        ),
        "SafeModeException" => safe_mode(message),
        "RetriableException" if message.contains("SafeMode") || message.contains("safe mode") => safe_mode(message),
        "StandbyException" => (
            format!("{} in charge: {said}. Make one active (hdfs haadmin)", unanswered(nodes, "is not", "is")),
            ErrorKind::ResourceBusy,
        ),
        "LeaseExpiredException" => lost_lease(&said),
        "AlreadyBeingCreatedException" | "RecoveryInProgressException" => already_there(message),
        "FileAlreadyExistsException" => already_there(message),
        "PathIsNotEmptyDirectoryException" => ("the folder is not empty".to_owned(), ErrorKind::DirectoryNotEmpty),
        "InvalidPathException" | "PathComponentTooLongException" | "MaxDirectoryItemsExceededException" => {
            advise("Choose another name", ErrorKind::InvalidFilename)
        }
        _ if message.contains("could only be") && message.contains("nodes") => advise(
            "No DataNode takes the data: check that they run and have room (hdfs dfsadmin -report)",
            ErrorKind::StorageFull,
        ),
        _ => (format!("the NameNode refused: {said}"), ErrorKind::Other),
    }
}

fn not_found() -> String {
    "there is no such file or folder. Check the path for typing errors".to_owned()
}

fn lost_lease(said: &str) -> (String, ErrorKind) {
    let reason = format!(
        "somebody else deleted, replaced or took over the file while it was being written: {said}. Two jobs must not write \
         to one place"
    );
    (reason, ErrorKind::ResourceBusy)
}

fn already_there(message: &str) -> (String, ErrorKind) {
    if message.contains("lease") || message.contains("being created") || message.contains("being written") {
        let reason = "another program is writing this file. Wait until it has finished, or choose another name; if it has \
                      died, HDFS frees the file after an hour (hdfs debug recoverLease does it at once)";
        return (reason.to_owned(), ErrorKind::ResourceBusy);
    }
    ("it exists already. Delete it or choose another name".to_owned(), ErrorKind::AlreadyExists)
}

fn denied(message: &str, said: &str) -> (String, ErrorKind) {
    let reason = match PermissionDenied::parse(message) {
        Some(refusal) => refusal.to_string(),
        None if message.contains("SIMPLE authentication is not enabled") => {
            "the cluster uses Kerberos: set hadoop.security.authentication to kerberos in core-site.xml, and get a ticket \
             (kinit)"
                .to_owned()
        }
        None => format!("permission denied: {said}"),
    };
    (reason, ErrorKind::PermissionDenied)
}

fn safe_mode(message: &str) -> (String, ErrorKind) {
    let reason = if message.contains("manually") {
        "the NameNode is in safe mode, in which nothing can be changed: an administrator turned it on, and has to turn it \
         off (hdfs dfsadmin -safemode leave)"
    } else if stays_in_safe_mode(message) {
        "the NameNode is in safe mode, in which nothing can be changed: its own disk is full. Free some space there, then \
         turn it off (hdfs dfsadmin -safemode leave)"
    } else {
        "the NameNode is in safe mode since its start, in which nothing can be changed, until enough DataNodes have \
         reported (hdfs dfsadmin -safemode get, hdfs dfsadmin -report)"
    };
    (reason.to_owned(), ErrorKind::ReadOnlyFilesystem)
}

/// The message without the stack trace of the server; the class where there is no message.
fn said(class: &str, message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|line| !line.starts_with("at "));
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix(class).map_or(text.as_str(), |rest| rest.trim_start_matches(':').trim_start());
    match text.trim_end_matches('.') {
        "" => simple(class).to_owned(),
        text => shortened(text),
    }
}

/// Class name without package and enclosing class.
fn simple(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

fn shortened(text: &(impl Display + ?Sized)) -> String {
    let text = text.to_string();
    match text.char_indices().nth(MAX_MESSAGE_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use hadoop_rpc::Configuration;

    use super::*;

    fn nodes(authority: &str) -> NameNodes {
        let mut configuration = Configuration::new();
        for (key, value) in [
            ("dfs.ha.namenodes.ns", "nn1,nn2"),
            ("dfs.namenode.rpc-address.ns.nn1", "a:1"),
            ("dfs.namenode.rpc-address.ns.nn2", "b:2"),
            ("fs.defaultFS", "hdfs://h:9"),
        ] {
            configuration.set(key, value);
        }
        NameNodes::find(authority, &configuration).unwrap()
    }

    fn exception(class: &str, message: &str) -> Failure {
        Failure::Hdfs(HdfsError::RPCError(class.to_owned(), message.to_owned()))
    }

    #[track_caller]
    fn check(failure: &Failure, kind: ErrorKind, hope: RetrySafety, words: &[&str]) {
        let (reason, found) = in_words(failure, &nodes("h:9"));
        assert_eq!((found, prospect(failure)), (kind, hope), "{reason}");
        for word in words {
            assert!(reason.contains(word), "`{word}` in: {reason}");
        }
        assert!(!reason.contains("\tat ") && !reason.contains("org.apache"), "{reason}");
    }

    #[test]
    fn writing_goes_on_after_what_passes() {
        let exception = |class: &str, message: &str| HdfsError::RPCError(class.to_owned(), message.to_owned());
        let passing = [
            exception("org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException", "Not replicated yet: /a"),
            exception("org.apache.hadoop.ipc.StandbyException", ""),
            exception("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "Safe mode will be turned off soon"),
            HdfsError::DataTransferError("lost".to_owned()),
        ];
        assert!(passing.iter().all(may_be_opened_again));
        let lasting = [
            exception("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "It was turned on manually"),
            exception("org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException", ""),
            HdfsError::ChecksumError,
        ];
        assert!(!lasting.iter().any(may_be_opened_again));
    }

    #[test]
    fn exceptions_are_put_in_words() {
        use ErrorKind as Kind;
        use RetrySafety::{NotExecuted, Permanent};
        check(
            &exception(
                "org.apache.hadoop.security.AccessControlException",
                "Permission denied: user=bob, access=WRITE, inode=\"/a\":x:y:drwx------\n\tat org.apache.Foo",
            ),
            Kind::PermissionDenied,
            Permanent,
            &["`bob` may not write to /a", "x:y", "drwx------"],
        );
        check(
            &exception(
                "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
                "The DiskSpace quota of /q is exceeded: quota = 1 B but diskspace consumed = 2 B",
            ),
            Kind::QuotaExceeded,
            Permanent,
            &["quota of /q", "setSpaceQuota"],
        );
        let starting =
            "Cannot create file/x. Name node is in safe mode.\nThe reported blocks 0 needs additional 5 blocks";
        check(
            &exception("org.apache.hadoop.hdfs.server.namenode.SafeModeException", starting),
            Kind::ReadOnlyFilesystem,
            NotExecuted,
            &["since its start"],
        );
        let by_hand = "Cannot delete /x. Name node is in safe mode.\nIt was turned on manually. Use \"hdfs dfsadmin -safemode leave\"";
        check(
            &exception("org.apache.hadoop.hdfs.server.namenode.SafeModeException", by_hand),
            Kind::ReadOnlyFilesystem,
            Permanent,
            &["administrator"],
        );
        check(
            &exception(
                "org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException",
                "File does not exist: /x (inode 7) Holder c does not have any open files.",
            ),
            Kind::ResourceBusy,
            Permanent,
            &["somebody else"],
        );
        let taken = "File does not exist: /x (inode 16) Holder c does not have any open files.";
        check(&exception("java.io.FileNotFoundException", taken), Kind::ResourceBusy, Permanent, &["somebody else"]);
        check(
            &exception("java.io.FileNotFoundException", "File does not exist: /x"),
            Kind::NotFound,
            Permanent,
            &["no such file"],
        );
        check(
            &exception("java.io.FileNotFoundException", "Path is not a file: /x"),
            Kind::IsADirectory,
            Permanent,
            &["folder"],
        );
        check(
            &exception(
                "java.io.IOException",
                "File /x could only be written to 0 of the 1 minReplication nodes. There are 0 datanode(s) running",
            ),
            Kind::StorageFull,
            Permanent,
            &["0 datanode(s)", "dfsadmin -report"],
        );
        check(
            &exception(
                "org.apache.hadoop.ipc.StandbyException",
                "Operation category READ is not supported in state standby",
            ),
            Kind::ResourceBusy,
            NotExecuted,
            &["the NameNode at h:9 (fs.defaultFS) is not in charge"],
        );
        check(&exception("a.B$InvalidToken", ""), Kind::PermissionDenied, Permanent, &["InvalidToken"]);
        check(&exception("x.Unheard", ""), Kind::Other, Permanent, &["refused: Unheard"]);
        let busy = HdfsError::AlreadyExists(
            "Failed to CREATE_FILE /x because this file lease is currently owned by c".to_owned(),
        );
        check(&Failure::Hdfs(busy), Kind::ResourceBusy, Permanent, &["another program"]);
        check(
            &Failure::Hdfs(HdfsError::AlreadyExists("/x for client 1 already exists".to_owned())),
            Kind::AlreadyExists,
            Permanent,
            &["exists already"],
        );
    }

    #[test]
    fn what_cannot_be_reached_is_named() {
        let refused = || Failure::Hdfs(HdfsError::IOError(ErrorKind::ConnectionRefused.into()));
        check(
            &refused(),
            ErrorKind::ConnectionRefused,
            RetrySafety::NotExecuted,
            &["the NameNode at h:9 (fs.defaultFS) cannot be reached"],
        );
        let late = Failure::Late(Duration::from_secs(3));
        check(&late, ErrorKind::TimedOut, RetrySafety::MaybeExecuted, &["h:9", "did not answer within 3 s"]);
        let (reason, _) = in_words(&refused(), &nodes("ns"));
        let expected = "none of the NameNodes at a:1 (dfs.namenode.rpc-address.ns.nn1), b:2 (dfs.namenode.rpc-address.ns.nn2) can be";
        assert!(reason.starts_with(expected), "{reason}");
        assert!(!is_answer(&refused()) && is_answer(&exception("x.Y", "")));
    }
}
