//! Tokens and credentials, and the calls on delegation tokens that HDFS and YARN share.

use std::fmt;

// The three that hold secrets are printed without them.

impl fmt::Debug for TokenProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProto").field("kind", &self.kind).field("service", &self.service).finish_non_exhaustive()
    }
}

impl fmt::Debug for CredentialsKVProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsKVProto").field("alias", &self.alias).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct TokenProto {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(crate) identifier: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    pub(crate) password: Vec<u8>,
    #[prost(string, required, tag = "3")]
    pub(crate) kind: String,
    #[prost(string, required, tag = "4")]
    pub(crate) service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct CredentialsKVProto {
    #[prost(string, required, tag = "1")]
    pub(crate) alias: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) token: Option<TokenProto>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(crate) secret: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CredentialsProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) tokens: Vec<CredentialsKVProto>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) secrets: Vec<CredentialsKVProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetDelegationTokenRequestProto {
    #[prost(string, required, tag = "1")]
    pub(crate) renewer: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetDelegationTokenResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) token: Option<TokenProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RenewDelegationTokenRequestProto {
    #[prost(message, required, tag = "1")]
    pub(crate) token: TokenProto,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RenewDelegationTokenResponseProto {
    #[prost(uint64, required, tag = "1")]
    pub(crate) new_expiry_time: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CancelDelegationTokenRequestProto {
    #[prost(message, required, tag = "1")]
    pub(crate) token: TokenProto,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CancelDelegationTokenResponseProto {}
