//! What is used of the NameNode's protocol.

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExtendedBlockProto {
    #[prost(uint64, required, tag = "2")]
    pub(crate) block_id: u64,
    #[prost(uint64, optional, tag = "4")]
    pub(crate) num_bytes: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DatanodeIDProto {
    #[prost(string, required, tag = "1")]
    pub(crate) ip_addr: String,
    #[prost(string, required, tag = "2")]
    pub(crate) host_name: String,
    #[prost(uint32, required, tag = "4")]
    pub(crate) xfer_port: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DatanodeInfoProto {
    #[prost(message, required, tag = "1")]
    pub(crate) id: DatanodeIDProto,
    #[prost(string, optional, tag = "8")]
    pub(crate) location: Option<String>,
    #[prost(int32, optional, tag = "10")]
    pub(crate) admin_state: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LocatedBlockProto {
    #[prost(message, required, tag = "1")]
    pub(crate) b: ExtendedBlockProto,
    #[prost(uint64, required, tag = "2")]
    pub(crate) offset: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) locs: Vec<DatanodeInfoProto>,
    #[prost(bool, required, tag = "4")]
    pub(crate) corrupt: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LocatedBlocksProto {
    #[prost(uint64, required, tag = "1")]
    pub(crate) file_length: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) blocks: Vec<LocatedBlockProto>,
    #[prost(bool, required, tag = "3")]
    pub(crate) under_construction: bool,
    #[prost(bool, required, tag = "5")]
    pub(crate) is_last_block_complete: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetBlockLocationsRequestProto {
    #[prost(string, required, tag = "1")]
    pub(crate) src: String,
    #[prost(uint64, required, tag = "2")]
    pub(crate) offset: u64,
    #[prost(uint64, required, tag = "3")]
    pub(crate) length: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetBlockLocationsResponseProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) locations: Option<LocatedBlocksProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FsServerDefaultsProto {
    #[prost(uint64, required, tag = "1")]
    pub(crate) block_size: u64,
    #[prost(uint32, required, tag = "2")]
    pub(crate) bytes_per_checksum: u32,
    #[prost(uint32, required, tag = "3")]
    pub(crate) write_packet_size: u32,
    #[prost(uint32, required, tag = "4")]
    pub(crate) replication: u32,
    #[prost(bool, optional, tag = "6", default = "false")]
    pub(crate) encrypt_data_transfer: Option<bool>,
    #[prost(string, optional, tag = "9")]
    pub(crate) key_provider_uri: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetServerDefaultsRequestProto {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetServerDefaultsResponseProto {
    #[prost(message, required, tag = "1")]
    pub(crate) server_defaults: FsServerDefaultsProto,
}
