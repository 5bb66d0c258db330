use std::time::{Duration, SystemTime};

use flink_console::human;
use hadoop_rpc::credentials::{Credentials, DelegationTokenIdentifier};
use hadoop_rpc::{KerberosLogin, User};

use super::Finding;
use crate::yarn::hadoop::Hadoop;
use crate::yarn::plan::{Plan, megabytes};

const CONFIGURATION: &str = "configuration";
const TOKENS: &str = "tokens";

/// A token that ends sooner than this is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(24 * 3600);

/// A ticket that ends sooner than this is worth a warning.
const SHORT_TICKET: Duration = Duration::from_secs(3600);

/// An executable beyond this is not looked into.
const MAX_BINARY_BYTES: u64 = 1 << 30;

/// Which files there are, and whether they name the services.
pub(super) fn configuration(hadoop: &Hadoop) -> Vec<Finding> {
    let files: Vec<String> = hadoop.configuration.files().iter().map(|path| path.display().to_string()).collect();
    let mut findings = vec![match files.is_empty() {
        true => Finding::warning(
            CONFIGURATION,
            "no file of Hadoop's configuration, only -D flink.hadoop.…",
            "set HADOOP_CONF_DIR, so that nothing is missing",
        ),
        false => Finding::good(CONFIGURATION, files.join(", ")),
    }];
    for name in ["core-site.xml", "yarn-site.xml"] {
        if !files.is_empty() && !files.iter().any(|file| file.ends_with(name)) {
            findings.push(Finding::warning(
                CONFIGURATION,
                format!("there is no {name}"),
                "copy it from a node of the cluster beside the others",
            ));
        }
    }
    let file_system = hadoop.configuration.get_trimmed("fs.defaultFS").unwrap_or_default();
    if !file_system.starts_with("hdfs://") && !file_system.starts_with("viewfs://") {
        findings.push(Finding::problem(
            CONFIGURATION,
            format!("fs.defaultFS is `{file_system}`, which is not HDFS"),
            "set it to hdfs://NAMENODE:PORT in core-site.xml",
        ));
    }
    findings
}

/// What the binary needs on the nodes.
pub(super) fn binary(plan: &Plan) -> Vec<Finding> {
    const BINARY: &str = "binary";
    if plan.binary.is_some() {
        return Vec::new();
    }
    let path = "/proc/self/exe";
    let size = std::fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
    if size > MAX_BINARY_BYTES {
        return Vec::new();
    }
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    vec![match newest_glibc(&bytes) {
        Some((major, minor)) => Finding::good(
            BINARY,
            format!("runs on nodes with glibc {major}.{minor} or newer (`ldd --version` shows theirs)"),
        ),
        None => Finding::good(BINARY, "needs no library of the nodes"),
    }]
}

/// The newest version of glibc whose symbols a binary names.
fn newest_glibc(bytes: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_2.";
    let mut newest = None;
    let mut rest = bytes;
    while let Some(at) = find(rest, MARK) {
        rest = &rest[at + MARK.len()..];
        let digits: String =
            rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
        // Names in a table of symbol versions end so; texts in a program, such as this one's, do not.
        if rest.get(digits.len()) == Some(&0) || rest.get(digits.len()) == Some(&b'.') {
            newest = newest.max(digits.parse().ok());
        }
    }
    newest.map(|minor| (2, minor))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Tokens that this process was given, and how long they last.
pub(super) fn identity(hadoop: &Hadoop) -> Vec<Finding> {
    let credentials = match Credentials::from_environment() {
        Ok(Some(credentials)) => credentials,
        Ok(None) if hadoop.is_secure() => {
            return vec![Finding::good(TOKENS, "none are given (HADOOP_TOKEN_FILE_LOCATION): Kerberos is used")];
        }
        Ok(None) => return Vec::new(),
        Err(error) => {
            let advice = "unset HADOOP_TOKEN_FILE_LOCATION, or name a file of tokens that can be read";
            return vec![Finding::problem(TOKENS, error.to_string(), advice)];
        }
    };
    let now = SystemTime::now();
    credentials
        .tokens()
        .map(|(_, token)| {
            let name = format!("{} for {}", token.kind, token.service);
            match DelegationTokenIdentifier::of(token).map(|identifier| identifier.remaining(now)) {
                Some(Duration::ZERO) => {
                    Finding::problem(TOKENS, format!("{name} has ended"), "get a new one, or use Kerberos")
                }
                Some(left) if left < EXPIRES_SOON => Finding::warning(
                    TOKENS,
                    format!("{name} ends in {}", human::duration(left)),
                    "what runs longer needs a newer one, or a keytab",
                ),
                Some(left) => Finding::good(TOKENS, format!("{name} lasts {}", human::duration(left))),
                None => Finding::good(TOKENS, name),
            }
        })
        .collect()
}

/// Who this is for the cluster, and for how long.
pub(super) fn user(user: &User, hadoop: &Hadoop) -> Finding {
    const USER: &str = "user";
    const ADVICE: &str = "run kinit, or set security.kerberos.login.principal and security.kerberos.login.keytab";
    let name = user.name();
    if let Some(why) = user.no_ticket() {
        return Finding::warning(USER, format!("there is no Kerberos ticket: {why}; tokens are used"), ADVICE);
    }
    let Some(principal) = user.principal() else { return Finding::good(USER, name) };
    match (user.tickets_last(), &hadoop.login) {
        (Ok(_), Some(KerberosLogin::Keytab { file, .. })) => {
            Finding::good(USER, format!("{name} ({principal}, by the keytab {})", file.display()))
        }
        (Ok(Some(left)), _) if left < SHORT_TICKET => Finding::warning(
            USER,
            format!("{name} ({principal}), whose ticket lasts {}", human::duration(left)),
            "run kinit; applications that run already do not need the ticket",
        ),
        (Ok(left), _) => {
            let left = left.map(|left| format!(", whose ticket lasts {}", human::duration(left)));
            Finding::good(USER, format!("{name} ({principal}){}", left.unwrap_or_default()))
        }
        (Err(error), _) => Finding::problem(USER, format!("the ticket of {principal} is of no use: {error}"), ADVICE),
    }
}

/// What containers will really have.
pub(super) fn rounding(plan: &Plan, hadoop: &Hadoop) -> Option<Finding> {
    let steps = hadoop.steps().ok()?;
    let (master, workers) = (steps.rounded(plan.master), steps.rounded(plan.task_manager));
    Some(Finding::good(
        "sizes",
        format!(
            "ApplicationMaster {} (asked for {}), TaskManager {} (asked for {}) with {} slot(s)",
            master,
            megabytes(plan.master.memory_mb),
            workers,
            megabytes(plan.task_manager.memory_mb),
            plan.slots
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_is_found() {
        assert_eq!(newest_glibc(b"xGLIBC_2.4\0GLIBC_2.34\0GLIBC_2.2.5\0"), Some((2, 34)));
        assert_eq!(newest_glibc(b"GLIBC_2.99 in a text"), None);
        assert_eq!(newest_glibc(b""), None);
    }
}
