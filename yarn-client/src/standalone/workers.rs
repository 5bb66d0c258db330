use std::path::Path;

use crate::error::{ClientError, Result};

/// A file of this size is no list of hosts.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The hosts of a workers file: one a line, as often as it is to run a TaskManager; `#` begins a comment.
pub(super) fn read(path: &Path) -> Result<Vec<String>> {
    let wrong = || ClientError::usage(format!("cannot use the workers file {}", path.display()));
    let missing = |error| wrong().because(&error).hint("name a file with one host a line, for example localhost");
    let size = std::fs::metadata(path).map_err(missing)?.len();
    if size > MAX_FILE_BYTES {
        return Err(wrong().because_text(format!("it has {size} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong().because(&error))?;
    let hosts = parse(&text).map_err(|reason| wrong().because_text(reason))?;
    if hosts.is_empty() {
        return Err(wrong().because_text("it names no host").hint("write one host a line, for example localhost"));
    }
    Ok(hosts)
}

fn parse(text: &str) -> std::result::Result<Vec<String>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|host| !host.is_empty()).map(|host| checked(host).map(str::to_owned)).collect()
}

/// What goes to ssh must not be taken for an option or a command.
fn checked(host: &str) -> std::result::Result<&str, String> {
    let valid = !host.starts_with('-') && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._@:[]".contains(c));
    if valid { Ok(host) } else { Err(format!("`{host}` is not a host name")) }
}

/// True when ssh is not needed.
pub(super) fn is_this_host(host: &str) -> bool {
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = own.split('.').next().unwrap_or(&own);
    ["localhost", "127.0.0.1", "::1", &own, short].iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_on_lines() {
        assert_eq!(
            parse("# hosts\nlocalhost\n\n a.b-c # here\nlocalhost\n").unwrap(),
            ["localhost", "a.b-c", "localhost"]
        );
        for bad in ["-oProxyCommand=x", "a;b", "a b", "$(x)"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(is_this_host("localhost") && !is_this_host("some.other.host"));
    }
}
