//! The headers of Hadoop RPC version 9 and the messages of its SASL exchange.

use std::fmt;

impl fmt::Debug for RpcSaslProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcSaslProto").field("state", &self.state).field("auths", &self.auths).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcRequestHeaderProto {
    #[prost(int32, optional, tag = "1")]
    pub(crate) rpc_kind: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) rpc_op: Option<i32>,
    #[prost(sint32, required, tag = "3")]
    pub(crate) call_id: i32,
    #[prost(bytes = "vec", required, tag = "4")]
    pub(crate) client_id: Vec<u8>,
    #[prost(sint32, optional, tag = "5")]
    pub(crate) retry_count: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcResponseHeaderProto {
    #[prost(uint32, required, tag = "1")]
    pub(crate) call_id: u32,
    #[prost(int32, required, tag = "2")]
    pub(crate) status: i32,
    #[prost(string, optional, tag = "4")]
    pub(crate) exception_class_name: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) error_msg: Option<String>,
    #[prost(int32, optional, tag = "6")]
    pub(crate) error_detail: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RequestHeaderProto {
    #[prost(string, required, tag = "1")]
    pub(crate) method_name: String,
    #[prost(string, required, tag = "2")]
    pub(crate) declaring_class_protocol_name: String,
    #[prost(uint64, required, tag = "3")]
    pub(crate) client_protocol_version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UserInformationProto {
    #[prost(string, optional, tag = "1")]
    pub(crate) effective_user: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) real_user: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct IpcConnectionContextProto {
    #[prost(message, optional, tag = "2")]
    pub(crate) user_info: Option<UserInformationProto>,
    #[prost(string, optional, tag = "3")]
    pub(crate) protocol: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct RpcSaslProto {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) version: Option<u32>,
    #[prost(int32, required, tag = "2")]
    pub(crate) state: i32,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(crate) token: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) auths: Vec<SaslAuth>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SaslAuth {
    #[prost(string, required, tag = "1")]
    pub(crate) method: String,
    #[prost(string, required, tag = "2")]
    pub(crate) mechanism: String,
    #[prost(string, optional, tag = "3")]
    pub(crate) protocol: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) server_id: Option<String>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(crate) challenge: Option<Vec<u8>>,
}
