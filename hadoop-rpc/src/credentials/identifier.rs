use std::time::{Duration, SystemTime};

use prost::Message;

use super::Token;
use super::writable::{Malformed, Source};

/// What a delegation token of HDFS or of the ResourceManager says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationTokenIdentifier {
    /// The user for whom it stands.
    pub owner: String,
    /// Who may renew it.
    pub renewer: String,
    /// The user who obtained it for the owner; empty when that is the owner.
    pub real_user: String,
    /// When it was made, in milliseconds since 1970.
    pub issued_ms: i64,
    /// When it ends, however often it is renewed, in milliseconds since 1970.
    pub most_ms: i64,
    /// Its number among the server's tokens.
    pub sequence_number: i32,
}

#[derive(Clone, PartialEq, Message)]
struct YarnIdentifier {
    #[prost(string, optional, tag = "1")]
    owner: Option<String>,
    #[prost(string, optional, tag = "2")]
    renewer: Option<String>,
    #[prost(string, optional, tag = "3")]
    real_user: Option<String>,
    #[prost(int64, optional, tag = "4")]
    issue_date: Option<i64>,
    #[prost(int64, optional, tag = "5")]
    max_date: Option<i64>,
    #[prost(int32, optional, tag = "6")]
    sequence_number: Option<i32>,
}

impl DelegationTokenIdentifier {
    /// Reads what is in a token of a kind of which we know the form; none for other kinds and for what cannot be read.
    #[must_use]
    pub fn of(token: &Token) -> Option<Self> {
        match token.kind.as_str() {
            super::HDFS_DELEGATION_TOKEN_KIND => from_writable(&token.identifier).ok(),
            super::RM_DELEGATION_TOKEN_KIND => from_protobuf(&token.identifier),
            _ => None,
        }
    }

    /// How long the token can still be renewed at a time.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Duration {
        let end = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.most_ms).unwrap_or(0));
        end.duration_since(now).unwrap_or_default()
    }
}

fn from_writable(bytes: &[u8]) -> Result<DelegationTokenIdentifier, Malformed> {
    let mut source = Source::new(bytes);
    let version = source.byte()?;
    if version != 0 {
        return Err(Malformed(format!("version {version}")));
    }
    Ok(DelegationTokenIdentifier {
        owner: source.text()?,
        renewer: source.text()?,
        real_user: source.text()?,
        issued_ms: source.number()?,
        most_ms: source.number()?,
        sequence_number: i32::try_from(source.number()?).map_err(|_| Malformed("sequence number".to_owned()))?,
    })
}

/// The ResourceManager's are protobuf.
fn from_protobuf(bytes: &[u8]) -> Option<DelegationTokenIdentifier> {
    let identifier = YarnIdentifier::decode(bytes).ok()?;
    Some(DelegationTokenIdentifier {
        owner: identifier.owner?,
        renewer: identifier.renewer.unwrap_or_default(),
        real_user: identifier.real_user.unwrap_or_default(),
        issued_ms: identifier.issue_date.unwrap_or_default(),
        most_ms: identifier.max_date.unwrap_or_default(),
        sequence_number: identifier.sequence_number.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::writable::{put_bytes, put_number};
    use super::*;

    #[test]
    fn both_kinds_are_read() {
        let expect = DelegationTokenIdentifier {
            owner: "alice".into(),
            renewer: "yarn".into(),
            real_user: String::new(),
            issued_ms: 1_700_000_000_000,
            most_ms: 1_700_000_600_000,
            sequence_number: 7,
        };
        let mut hdfs = vec![0];
        put_bytes(&mut hdfs, b"alice");
        put_bytes(&mut hdfs, b"yarn");
        put_bytes(&mut hdfs, b"");
        put_number(&mut hdfs, expect.issued_ms);
        put_number(&mut hdfs, expect.most_ms);
        put_number(&mut hdfs, 7);
        put_number(&mut hdfs, 2);
        let token = |identifier, kind: &str| Token { identifier, kind: kind.to_owned(), ..Token::default() };
        let hdfs = token(hdfs, "HDFS_DELEGATION_TOKEN");
        assert_eq!(DelegationTokenIdentifier::of(&hdfs), Some(expect.clone()));
        let yarn = YarnIdentifier {
            owner: Some("alice".into()),
            renewer: Some("yarn".into()),
            real_user: None,
            issue_date: Some(expect.issued_ms),
            max_date: Some(expect.most_ms),
            sequence_number: Some(7),
        };
        let yarn = token(yarn.encode_to_vec(), "RM_DELEGATION_TOKEN");
        assert_eq!(DelegationTokenIdentifier::of(&yarn), Some(expect.clone()));
        assert_eq!(DelegationTokenIdentifier::of(&token(vec![9], "HDFS_DELEGATION_TOKEN")), None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        assert_eq!(expect.remaining(now), Duration::from_secs(600));
    }
}
