use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Speaks HTTP for a user.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    /// Believed where there is no Kerberos.
    pub(crate) user: String,
    /// The configuration and the tickets.
    pub(crate) kerberos: Option<(String, PathBuf)>,
}

/// What is sent along.
pub(crate) enum Body<'b> {
    None,
    Json(&'b Value),
    Bytes(&'b [u8]),
    File(&'b Path),
}

/// What comes back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 where nobody answered.
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body, if the call was a success.
    #[track_caller]
    pub(crate) fn expect(self, what: &str) -> Vec<u8> {
        assert!(
            (200..300).contains(&self.status),
            "{what}: status {}, {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self.body
    }

    #[track_caller]
    pub(crate) fn json(self, what: &str) -> Value {
        let body = self.expect(what);
        serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{what}: {error} in {}", String::from_utf8_lossy(&body)))
    }
}

impl Web {
    /// A call with the user's name or tickets; redirects are not followed.
    pub(crate) fn call(&self, method: &str, url: &str, body: Body<'_>) -> Answer {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "120", "--write-out", "\n%{http_code}"]);
        command.args(["--request", method]);
        let mut url = url.to_owned();
        match &self.kerberos {
            Some((config, tickets)) => {
                command.args(["--negotiate", "--user", ":"]).env("KRB5_CONFIG", config);
                command.env("KRB5CCNAME", format!("FILE:{}", tickets.display()));
            }
            None => {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&format!("user.name={}", self.user));
            }
        }
        self.send(command, &url, body)
    }

    fn send(&self, mut command: Command, url: &str, body: Body<'_>) -> Answer {
        let input = match body {
            Body::None => Vec::new(),
            Body::Json(value) => {
                command.args(["--header", "Content-Type: application/json", "--data-binary", "@-"]);
                value.to_string().into_bytes()
            }
            Body::Bytes(bytes) => {
                command.args(["--header", "Content-Type: application/octet-stream", "--data-binary", "@-"]);
                bytes.to_vec()
            }
            Body::File(path) => {
                command.args(["--header", "Content-Type: application/octet-stream", "--upload-file"]).arg(path);
                Vec::new()
            }
        };
        command.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("`curl` is needed: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        // Fed by a thread: a large answer may come before everything is taken.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        let cut = output.stdout.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
        let status = String::from_utf8_lossy(&output.stdout[cut..]).trim().parse().unwrap_or_default();
        let body = if status == 0 { output.stderr } else { output.stdout[..cut].to_vec() };
        Answer { status, body }
    }
}
