use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};
use hadoop_rpc::Credentials;

/// What must be seen nowhere, in every form in which a text may have it.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Hidden>);

struct Hidden {
    name: String,
    forms: Vec<String>,
}

/// Shortest form that is looked for: a shorter one may be anywhere by chance.
const SHORTEST: usize = 10;

impl Secrets {
    /// A password that is a text.
    pub(crate) fn add_text(&mut self, name: &str, value: &str) {
        self.add(name, vec![value.to_owned(), hex(value.as_bytes())]);
    }

    /// A key in PEM: any line of it would be seen, whatever it stands in.
    #[track_caller]
    pub(crate) fn add_key(&mut self, name: &str, pem: &[u8]) {
        let text = String::from_utf8_lossy(pem).replace("\\n", "\n");
        self.add_text(name, &line_of_key(&text));
    }

    /// All keys in the files below a folder; gives their number.
    pub(crate) fn add_keys_below(&mut self, folder: &Path) -> usize {
        let mut number = 0;
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                number += self.add_keys_below(&path);
            } else if let Ok(text) = std::fs::read_to_string(&path)
                && text.contains("PRIVATE KEY")
            {
                self.add_key(&path.display().to_string(), text.as_bytes());
                number += 1;
            }
        }
        number
    }

    /// The last key in a Kerberos keytab; a version of four bytes follows it.
    pub(crate) fn add_keytab(&mut self, file: &Path) {
        let bytes = std::fs::read(file).unwrap();
        let end = bytes.len() - 4;
        self.add_bytes(&file.display().to_string(), &bytes[end - 16..end]);
    }

    /// Bytes that nobody can guess.
    pub(crate) fn add_bytes(&mut self, name: &str, bytes: &[u8]) {
        let mut forms = vec![String::from_utf8_lossy(bytes).into_owned(), hex(bytes), decimal(bytes)];
        forms.extend(base64_within(bytes));
        self.add(name, forms);
    }

    /// The passwords of all tokens; gives their kinds.
    pub(crate) fn add_tokens(&mut self, of: &str, credentials: &Credentials) -> Vec<String> {
        let tokens = credentials.tokens().map(|(_, token)| {
            self.add_bytes(&format!("the password of {of}'s {}", token.kind), token.password.expose());
            token.kind.clone()
        });
        tokens.collect()
    }

    #[track_caller]
    fn add(&mut self, name: &str, forms: Vec<String>) {
        assert!(forms.iter().all(|form| form.len() >= SHORTEST), "{name} is too short: {forms:?}");
        self.0.push(Hidden { name: name.to_owned(), forms });
    }

    /// What is seen in a text, by name.
    fn seen_in(&self, text: &str) -> Option<&str> {
        let small = text.to_lowercase();
        let is_seen = |form: &String| text.contains(form.as_str()) || small.contains(form.as_str());
        self.0.iter().find(|hidden| hidden.forms.iter().any(is_seen)).map(|hidden| hidden.name.as_str())
    }

    #[track_caller]
    pub(crate) fn assert_hidden(&self, place: &str, text: &str) {
        let seen = self.seen_in(text);
        assert!(seen.is_none(), "{} is seen in {place}:\n{text}", seen.unwrap());
    }

    /// Files below a folder in which something of it is.
    pub(crate) fn files_below(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
                found.extend(self.files_below(&path));
            } else if kind.is_ok_and(|kind| kind.is_file()) && entry.metadata().is_ok_and(|data| data.len() < 1 << 20) {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
                if self.seen_in(&text).is_some() {
                    found.push(path);
                }
            }
        }
        found
    }
}

/// The line of a key in PEM that is its own.
#[track_caller]
pub(crate) fn line_of_key(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("PRIVATE KEY"));
    lines.nth(1).unwrap_or_else(|| panic!("no key")).to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As `Debug` shows bytes.
fn decimal(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

/// What Base64 has of the bytes wherever they stand in a longer text: Hadoop writes whole tokens so.
fn base64_within(bytes: &[u8]) -> Vec<String> {
    let within = |alphabet: &GeneralPurpose, before: usize| {
        let whole = alphabet.encode([&vec![0; before], bytes].concat());
        // Characters that depend on the neighbours are not looked at.
        whole[(before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6].to_owned()
    };
    [STANDARD, URL_SAFE].iter().flat_map(|alphabet| (0..3).map(|before| within(alphabet, before))).collect()
}

#[test]
fn secrets_are_seen_in_every_form() {
    let password: Vec<u8> = (0..20).map(|number| 255 - number * 11).collect();
    let mut credentials = Credentials::new();
    credentials.add_token(
        "hdfs",
        hadoop_rpc::Token {
            identifier: b"an identifier".to_vec(),
            password: hadoop_rpc::Secret::new(password.clone()),
            kind: "A_KIND".to_owned(),
            service: "127.0.0.1:8020".to_owned(),
        },
    );
    let mut secrets = Secrets::default();
    assert_eq!(secrets.add_tokens("somebody", &credentials), ["A_KIND"]);
    let around = |before: &[u8]| [before, &password, b"the rest"].concat();
    let mut texts = vec![format!("{password:?}"), hex(&password).to_uppercase()];
    texts.push(String::from_utf8_lossy(&around(b"raw: ")).into_owned());
    for before in [&b"a"[..], b"ab", b"abc"] {
        texts.extend([STANDARD.encode(around(before)), URL_SAFE.encode(around(before))]);
    }
    for text in texts {
        assert_eq!(secrets.seen_in(&text), Some("the password of somebody's A_KIND"), "{text}");
    }
    assert_eq!(secrets.seen_in("nothing of it"), None);
}
