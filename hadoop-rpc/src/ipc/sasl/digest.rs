//! DIGEST-MD5 (RFC 2831) as Hadoop uses it: with the token's identifier as user and its password, both in base 64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::cipher::Cipher;
use super::digest_layer::DigestLayer;
use super::{Layer, Protection, agree};
use crate::credentials::Token;
use crate::error::AuthenticationError;
use crate::secret::constant_time_equal;

/// RFC 2831 sets this limit.
const MAX_CHALLENGE_BYTES: usize = 2048;

/// What we say that a sealed message to us may have; Hadoop's servers do not keep to it.
const OUR_BUFFER: usize = 65_536;

/// What the server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    protections: Vec<Protection>,
    ciphers: Vec<Cipher>,
    buffer: usize,
}

impl Challenge {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, AuthenticationError> {
        let malformed = |what: String| AuthenticationError::Protocol(format!("the DIGEST-MD5 challenge {what}"));
        if bytes.len() > MAX_CHALLENGE_BYTES {
            return Err(malformed(format!("has {} bytes, more than {MAX_CHALLENGE_BYTES}", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("is not UTF-8".to_owned()))?;
        let mut fields = directives(text).ok_or_else(|| malformed("cannot be read".to_owned()))?;
        match fields.get("algorithm").map(String::as_str) {
            Some("md5-sess") => {}
            other => return Err(malformed(format!("asks for the algorithm {other:?}"))),
        }
        let listed = |name: &str, default: &str| fields.get(name).map_or(default, |list| list).to_owned();
        let protections = listed("qop", "auth").split(',').filter_map(|name| protection(name.trim())).collect();
        let ciphers = listed("cipher", "").split(',').filter_map(|name| Cipher::by_name(name.trim())).collect();
        let buffer = listed("maxbuf", "65536").parse().map_err(|_| malformed("has a bad maxbuf".to_owned()))?;
        let nonce = fields.remove("nonce").ok_or_else(|| malformed("has no nonce".to_owned()))?;
        Ok(Self { realm: fields.remove("realm").unwrap_or_default(), nonce, protections, ciphers, buffer })
    }
}

fn protection(name: &str) -> Option<Protection> {
    match name {
        "auth" => Some(Protection::Authentication),
        "auth-int" => Some(Protection::Integrity),
        "auth-conf" => Some(Protection::Privacy),
        _ => None,
    }
}

fn protection_name(protection: Protection) -> &'static str {
    match protection {
        Protection::Authentication => "auth",
        Protection::Integrity => "auth-int",
        Protection::Privacy => "auth-conf",
    }
}

/// Splits `name=value,name="quoted, with \" in it"`; of a name that comes twice the first counts.
fn directives(text: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = after.split_at(after.find(',').unwrap_or(after.len()));
                (value.trim().to_owned(), after)
            }
        };
        fields.entry(name.trim().to_ascii_lowercase()).or_insert(value);
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(fields)
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[position + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// A random text for one exchange.
pub(crate) fn nonce() -> Result<String, AuthenticationError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| AuthenticationError::Protocol(format!("no random bytes: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

/// An exchange that waits for the server's proof.
pub(crate) struct Exchange {
    response: String,
    expected: String,
    protection: Protection,
    cipher: Option<Cipher>,
    session_key: [u8; 16],
    buffer: usize,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("protection", &self.protection).finish_non_exhaustive()
    }
}

impl Exchange {
    pub(crate) fn new(
        token: &Token,
        challenge: &Challenge,
        uri: &str,
        ours: &[Protection],
        cnonce: String,
    ) -> Result<Self, AuthenticationError> {
        let protection = agree(ours, &challenge.protections)?;
        let cipher = choose_cipher(protection, &challenge.ciphers)?;
        let (user, password) = (STANDARD.encode(&token.identifier), STANDARD.encode(token.password.expose()));
        let session_key = session_key(&user, &challenge.realm, &password, &challenge.nonce, &cnonce);
        let proof = |begin: &str| proof(&session_key, challenge, &cnonce, protection, begin, uri);
        let (realm, nonce, qop) = (quote(&challenge.realm), quote(&challenge.nonce), protection_name(protection));
        let response = format!(
            "charset=utf-8,username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",nc=00000001,cnonce=\"{cnonce}\",\
             digest-uri=\"{}\",maxbuf={OUR_BUFFER},response={},qop={qop}{}",
            quote(uri),
            proof("AUTHENTICATE"),
            cipher.map(|cipher| format!(",cipher=\"{}\"", cipher.name())).unwrap_or_default(),
        );
        let expected = format!("rspauth={}", proof(""));
        Ok(Self { response, expected, protection, cipher, session_key, buffer: challenge.buffer })
    }

    pub(crate) fn response(&self) -> String {
        self.response.clone()
    }

    /// Checks the server's proof.
    pub(crate) fn finish(self, proof: &[u8]) -> Result<Layer, AuthenticationError> {
        if !constant_time_equal(proof, self.expected.as_bytes()) {
            return Err(AuthenticationError::ServerNotProved);
        }
        Ok(match self.protection {
            Protection::Authentication => Layer::Plain,
            Protection::Integrity => Layer::Digest(DigestLayer::new(&self.session_key, None, self.buffer)),
            Protection::Privacy => Layer::Digest(DigestLayer::new(&self.session_key, self.cipher, self.buffer)),
        })
    }
}

fn choose_cipher(protection: Protection, offered: &[Cipher]) -> Result<Option<Cipher>, AuthenticationError> {
    if protection != Protection::Privacy {
        return Ok(None);
    }
    let best = Cipher::BEST_FIRST.into_iter().find(|cipher| offered.contains(cipher));
    best.map(Some).ok_or_else(|| AuthenticationError::Protocol("the server offers no cipher that is known here".into()))
}

fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// H(A1) of RFC 2831.
fn session_key(user: &str, realm: &str, password: &str, nonce: &str, cnonce: &str) -> [u8; 16] {
    let secret = Md5::digest(format!("{user}:{realm}:{password}"));
    Md5::new().chain_update(secret).chain_update(format!(":{nonce}:{cnonce}")).finalize().into()
}

fn proof(
    session_key: &[u8; 16],
    challenge: &Challenge,
    cnonce: &str,
    protection: Protection,
    begin: &str,
    uri: &str,
) -> String {
    let body = if protection == Protection::Authentication { "" } else { ":00000000000000000000000000000000" };
    let action = hex(&Md5::digest(format!("{begin}:{uri}{body}")));
    let (key, nonce, qop) = (hex(session_key), &challenge.nonce, protection_name(protection));
    hex(&Md5::digest(format!("{key}:{nonce}:00000001:{cnonce}:{qop}:{action}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    const CHALLENGE: &[u8] =
        b"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",algorithm=md5-sess,charset=utf-8";

    /// The example of RFC 2831, section 4, whose user and password are not in base 64.
    #[test]
    fn the_example_of_the_rfc() {
        let challenge = Challenge::parse(CHALLENGE).unwrap();
        let key = session_key("chris", &challenge.realm, "secret", &challenge.nonce, "OA6MHXh6VqTrRk");
        let proof = |begin| {
            let uri = "imap/elwood.innosoft.com";
            proof(&key, &challenge, "OA6MHXh6VqTrRk", Protection::Authentication, begin, uri)
        };
        assert_eq!(proof("AUTHENTICATE"), "d388dad90d4bbd760a152321f2143af7");
        assert_eq!(proof(""), "ea40f60335c427b5527b84dbabcdfffd");
    }

    #[test]
    fn an_exchange_ends_with_the_servers_proof() {
        let token = Token { identifier: b"id".to_vec(), password: Secret::new(*b"password"), ..Token::default() };
        let challenge = Challenge::parse(CHALLENGE).unwrap();
        let exchange = || {
            let ours = [Protection::Privacy, Protection::Authentication];
            Exchange::new(&token, &challenge, "/default", &ours, "cnonce".into()).unwrap()
        };
        let response = exchange().response();
        assert!(response.contains("username=\"aWQ=\"") && response.contains("digest-uri=\"/default\""), "{response}");
        let good = exchange().expected;
        assert!(matches!(exchange().finish(good.as_bytes()), Ok(Layer::Plain)));
        assert_eq!(exchange().finish(b"rspauth=0").unwrap_err(), AuthenticationError::ServerNotProved);
        assert!(!format!("{:?}", exchange()).contains("response"));
    }

    #[test]
    fn without_a_common_protection_the_error_names_the_key() {
        let challenge = Challenge::parse(CHALLENGE).unwrap();
        let error = Exchange::new(&Token::default(), &challenge, "/d", &[Protection::Privacy], "c".into()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("authentication") && message.contains("hadoop.rpc.protection allows privacy"),
            "{message}"
        );
    }

    #[test]
    fn challenges_are_read() {
        let parse = |text: &str| Challenge::parse(text.as_bytes());
        let text = r#"realm="a\"b",nonce="n,=",qop="auth, auth-conf,odd",cipher="3des,rc4,aes",maxbuf=1024,algorithm=md5-sess"#;
        let challenge = parse(text).unwrap();
        assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str(), challenge.buffer), ("a\"b", "n,=", 1024));
        assert_eq!(challenge.protections, [Protection::Authentication, Protection::Privacy]);
        assert_eq!(challenge.ciphers.len(), 2);
        for bad in ["", "nonce", "nonce=\"x", "nonce=x", "nonce=x,algorithm=md5", "realm=x,algorithm=md5-sess"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Challenge::parse(&[b'a'; 3000]).is_err());
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[a-z=\",\\\\]{0,60}") {
            let _ = Challenge::parse(&bytes);
            let _ = Challenge::parse(text.as_bytes());
        }
    }
}
