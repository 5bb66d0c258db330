use prost::Message;

use super::writable::{Malformed, Source, put_bytes, put_number};
use super::{Credentials, CredentialsError, MAX_BYTES, Token};
use crate::proto::security::{CredentialsKVProto, CredentialsProto};
use crate::secret::Secret;

const MAGIC: &[u8; 4] = b"HDTS";
const WRITABLE: u8 = 0;
const PROTOBUF: u8 = 1;

pub(super) fn decode(bytes: &[u8]) -> Result<Credentials, CredentialsError> {
    if bytes.len() > MAX_BYTES {
        return Err(CredentialsError::Malformed(format!("it has more than {MAX_BYTES} bytes")));
    }
    let body =
        bytes.strip_prefix(MAGIC).ok_or_else(|| CredentialsError::Malformed("it does not begin with HDTS".into()))?;
    match body.split_first() {
        Some((&WRITABLE, body)) => decode_writable(body).map_err(|Malformed(what)| CredentialsError::Malformed(what)),
        Some((&PROTOBUF, body)) => decode_protobuf(body),
        Some((version, _)) => Err(CredentialsError::Malformed(format!("its format is {version}; known are 0 and 1"))),
        None => Err(CredentialsError::Malformed("it ends after HDTS".into())),
    }
}

pub(super) fn encode(credentials: &Credentials) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(WRITABLE);
    put_number(&mut out, i64::try_from(credentials.tokens.len()).unwrap_or(i64::MAX));
    for (alias, token) in &credentials.tokens {
        put_bytes(&mut out, alias.as_bytes());
        put_bytes(&mut out, &token.identifier);
        put_bytes(&mut out, token.password.expose());
        put_bytes(&mut out, token.kind.as_bytes());
        put_bytes(&mut out, token.service.as_bytes());
    }
    put_number(&mut out, i64::try_from(credentials.secrets.len()).unwrap_or(i64::MAX));
    for (name, secret) in &credentials.secrets {
        put_bytes(&mut out, name.as_bytes());
        put_bytes(&mut out, secret.expose());
    }
    out
}

/// Counts are not trusted: what is announced and not there ends the loop with an error.
fn decode_writable(body: &[u8]) -> Result<Credentials, Malformed> {
    let mut source = Source::new(body);
    let mut credentials = Credentials::default();
    for _ in 0..source.number()? {
        let alias = source.text()?;
        let identifier = source.bytes()?.to_vec();
        let password = Secret::new(source.bytes()?);
        let (kind, service) = (source.text()?, source.text()?);
        credentials.tokens.insert(alias, Token { identifier, password, kind, service });
    }
    for _ in 0..source.number()? {
        let name = source.text()?;
        credentials.secrets.insert(name, Secret::new(source.bytes()?));
    }
    if source.is_empty() { Ok(credentials) } else { Err(Malformed("something follows its end".to_owned())) }
}

fn decode_protobuf(body: &[u8]) -> Result<Credentials, CredentialsError> {
    let message = CredentialsProto::decode_length_delimited(body);
    let message = message.map_err(|error| CredentialsError::Malformed(error.to_string()))?;
    let mut credentials = Credentials::default();
    for CredentialsKVProto { alias, token, .. } in message.tokens {
        let token = token.ok_or_else(|| CredentialsError::Malformed(format!("the entry `{alias}` has no token")))?;
        credentials.tokens.insert(alias, token.into());
    }
    for CredentialsKVProto { alias, secret, .. } in message.secrets {
        credentials.secrets.insert(alias, Secret::new(secret.unwrap_or_default()));
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn protobuf(credentials: &Credentials) -> Vec<u8> {
        let token = |(alias, token): (&str, &Token)| CredentialsKVProto {
            alias: alias.to_owned(),
            token: Some(token.to_proto()),
            secret: None,
        };
        let secret = |(name, secret): (&str, &Secret)| CredentialsKVProto {
            alias: name.to_owned(),
            token: None,
            secret: Some(secret.expose().to_vec()),
        };
        let message = CredentialsProto {
            tokens: credentials.tokens().map(token).collect(),
            secrets: credentials.secrets().map(secret).collect(),
        };
        [MAGIC.as_slice(), &[PROTOBUF], &message.encode_length_delimited_to_vec()].concat()
    }

    fn any_credentials() -> impl Strategy<Value = Credentials> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
        let token = (bytes(), bytes(), ".{0,20}", ".{0,20}").prop_map(|(identifier, password, kind, service)| Token {
            identifier,
            password: Secret::new(password),
            kind,
            service,
        });
        let tokens = proptest::collection::btree_map(".{0,20}", token, 0..5);
        let secrets = proptest::collection::btree_map(".{0,20}", bytes().prop_map(Secret::new), 0..5);
        (tokens, secrets).prop_map(|(tokens, secrets)| Credentials { tokens, secrets })
    }

    proptest! {
        #[test]
        fn both_formats_are_read(credentials in any_credentials()) {
            prop_assert_eq!(&decode(&encode(&credentials)).unwrap(), &credentials);
            prop_assert_eq!(&decode(&protobuf(&credentials)).unwrap(), &credentials);
        }

        #[test]
        fn every_cut_is_noticed(credentials in any_credentials(), part in 0.0..1.0_f64) {
            let whole = encode(&credentials);
            let cut = (whole.len() as f64 * part) as usize;
            prop_assert!(decode(&whole[..cut]).is_err());
        }

        #[test]
        fn anything_else_is_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0_u8..3) {
            let _ = decode(&bytes);
            let _ = decode(&[MAGIC.as_slice(), &[version], &bytes].concat());
        }
    }

    #[test]
    fn the_file_of_an_application_master() {
        let bytes = b"HDTS\0\x01\0\x03abc\x02pw\x10YARN_AM_RM_TOKEN\0\0";
        let credentials = decode(bytes).unwrap();
        assert_eq!(credentials.token("").unwrap().identifier, b"abc");
        assert_eq!(encode(&credentials), bytes);
    }
}
