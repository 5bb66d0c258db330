//! The logs that the NodeManagers of an application have put into HDFS: which files they are, and what stands in them.

use std::io::{self, Read};

use hadoop_rpc::yarn::ApplicationId;

/// Longest name of a log and longest number of its size.
const MAX_TEXT_LENGTH: usize = 4 << 10;

/// The folders in which an application's logs may be, as the versions of Hadoop have it, newest first.
pub(crate) fn folders(root: &str, suffix: &str, user: &str, application: ApplicationId) -> [String; 3] {
    let root = root.trim_end_matches('/');
    let number = application.id.unsigned_abs();
    [
        format!("{root}/{user}/bucket-{suffix}-tfile/{:04}/{application}", number % 10_000),
        format!("{root}/{user}/{suffix}-tfile/{application}"),
        format!("{root}/{user}/{suffix}/{application}"),
    ]
}

/// The node whose logs a file holds: `host_port`, and a time behind it when logs were collected while the application ran.
/// None for files that are not complete.
pub(crate) fn node_of(file: &str) -> Option<String> {
    if file.ends_with(".tmp") {
        return None;
    }
    let mut parts = file.rsplitn(3, '_').collect::<Vec<_>>();
    parts.reverse();
    match parts.as_slice() {
        // A host's name may hold `_`, a port and a time do not.
        [host, port, time] if is_number(port) && is_number(time) && time.len() >= 10 => Some(format!("{host}:{port}")),
        _ => file.rsplit_once('_').filter(|(_, port)| is_number(port)).map(|(host, port)| format!("{host}:{port}")),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The container of a key; none for keys of other things (version, owner, access lists).
pub(crate) fn container_of(key: &[u8]) -> Option<String> {
    let text = read_utf(&mut &key[..]).ok()??;
    text.starts_with("container_").then_some(text)
}

/// Hands each log of a container to `visit`, with its name, its size and its bytes.
///
/// # Errors
/// The value is damaged, or `visit` failed.
pub(crate) fn each_log<E: From<io::Error>>(
    value: &mut dyn Read,
    mut visit: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    while let Some(name) = read_utf(value)? {
        let size = read_utf(value)?.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?;
        let size =
            size.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a log's size is not a number"))?;
        let mut content = value.take(size);
        visit(&name, size, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
    }
    Ok(())
}

/// Java's `writeUTF`: two bytes of length, then text. Names of logs are plain, so its peculiar form of other characters
/// matters only in that it must not be an error.
fn read_utf(source: &mut (impl Read + ?Sized)) -> io::Result<Option<String>> {
    let mut first = [0];
    if source.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut second = [0];
    source.read_exact(&mut second)?;
    let length = usize::from(u16::from_be_bytes([first[0], second[0]]));
    if length > MAX_TEXT_LENGTH {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a log's name is too long"));
    }
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yarn::logs::tfile::{TFile, tests::write};
    use std::io::Cursor;

    fn utf(text: &str) -> Vec<u8> {
        [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn the_logs_of_each_container() {
        let log = |name: &str, text: &str| [utf(name), utf(&text.len().to_string()), text.as_bytes().to_vec()].concat();
        let first = [log("taskmanager.err", "one\ntwo\n"), log("taskmanager.out", "")].concat();
        let file = write(
            &[
                vec![(utf("VERSION"), vec![0, 0, 0, 1]), (utf("APPLICATION_OWNER"), utf("root"))],
                vec![(utf("container_1_2_01_000001"), first), (utf("container_1_2_01_000002"), log("x", "y"))],
            ],
            5,
            true,
        );
        let mut seen = Vec::new();
        let mut opened = TFile::open(Cursor::new(file)).unwrap();
        opened
            .each(|key, value| {
                let Some(container) = container_of(key) else { return Ok(true) };
                each_log(value, |name, size, content| {
                    let mut text = String::new();
                    content.read_to_string(&mut text)?;
                    assert_eq!(text.len() as u64, size);
                    seen.push(format!("{container} {name} {text:?}"));
                    Ok::<_, io::Error>(())
                })?;
                Ok::<_, io::Error>(true)
            })
            .unwrap();
        assert_eq!(
            seen,
            [
                "container_1_2_01_000001 taskmanager.err \"one\\ntwo\\n\"",
                "container_1_2_01_000001 taskmanager.out \"\"",
                "container_1_2_01_000002 x \"y\"",
            ]
        );
    }

    #[test]
    fn folders_and_names_are_those_of_yarn() {
        assert_eq!(
            folders("/tmp/logs/", "logs", "root", "application_17_12345".parse().unwrap()),
            [
                "/tmp/logs/root/bucket-logs-tfile/2345/application_17_12345",
                "/tmp/logs/root/logs-tfile/application_17_12345",
                "/tmp/logs/root/logs/application_17_12345",
            ]
        );
        assert_eq!(
            folders("/l", "logs", "u", "application_17_0003".parse().unwrap())[0],
            "/l/u/bucket-logs-tfile/0003/application_17_0003"
        );
        assert_eq!(node_of("127.0.0.2_28041").as_deref(), Some("127.0.0.2:28041"));
        assert_eq!(node_of("my_host_45454_1700000000000").as_deref(), Some("my_host:45454"));
        assert_eq!(node_of("host_45454.tmp"), None);
        assert_eq!(node_of("readme"), None);
    }
}
