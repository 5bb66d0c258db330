use std::sync::Arc;

use super::addresses::{Addresses, SERVICE, resolve};
use crate::configuration::Configuration;
use crate::credentials::{Credentials, HDFS_DELEGATION_TOKEN_KIND, Token};
use crate::endpoint::find_token;
use crate::error::{Endpoint, Error, RemoteException};
use crate::ipc::{Client, Identity, Method, Protocol, RetryPolicy, ServerPrincipal, Settings};
use crate::proto::hdfs::{
    DatanodeInfoProto, FsServerDefaultsProto, GetBlockLocationsRequestProto, GetBlockLocationsResponseProto,
    GetServerDefaultsRequestProto, GetServerDefaultsResponseProto, LocatedBlockProto,
};
use crate::proto::security::{
    CancelDelegationTokenRequestProto, CancelDelegationTokenResponseProto, GetDelegationTokenRequestProto,
    GetDelegationTokenResponseProto, RenewDelegationTokenRequestProto, RenewDelegationTokenResponseProto,
};
use crate::user::User;

const PROTOCOL: Protocol = Protocol { name: "org.apache.hadoop.hdfs.protocol.ClientProtocol", version: 1 };
const PRINCIPAL_KEY: &str = "dfs.namenode.kerberos.principal";

/// The NameNode of a file system, or the active one of several.
#[derive(Clone, Debug)]
pub struct NameNode {
    client: Client,
    addresses: Arc<Addresses>,
    configuration: Arc<Configuration>,
}

/// Where the blocks of a file are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockLocations {
    /// The length of the file, without a last block that is being written.
    pub file_length: u64,
    /// Whether somebody writes it.
    pub under_construction: bool,
    /// Whether the last block is whole, as far as DataNodes have reported. A file can be closed then.
    pub last_block_complete: bool,
    /// Its blocks that hold something of the range, in the order of the file.
    pub blocks: Vec<Block>,
}

/// A block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its length.
    pub length: u64,
    /// Whether all its replicas are broken.
    pub corrupt: bool,
    /// The DataNodes that hold it, the nearest to us first.
    pub replicas: Vec<Replica>,
}

/// A DataNode that holds a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its host name.
    pub host: String,
    /// Its address.
    pub ip: String,
    /// The port for reading and writing.
    pub port: u16,
    /// Its rack.
    pub rack: String,
}

/// What the NameNode does when nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerDefaults {
    /// The size of blocks.
    pub block_size: u64,
    /// The number of replicas.
    pub replication: u32,
    /// Bytes under one checksum.
    pub bytes_per_checksum: u32,
    /// The size of packets in writing.
    pub write_packet_size: u32,
    /// Whether blocks are encrypted on their way.
    pub encrypt_data_transfer: bool,
    /// Where the keys of encrypted folders are; empty for nowhere.
    pub key_provider: String,
}

impl NameNode {
    /// A client of the NameNodes of an authority (a name service, or `host:port`; empty for that of `fs.defaultFS`),
    /// with a delegation token for them where `credentials` hold one.
    pub fn new(
        configuration: &Configuration,
        user: &User,
        credentials: &Credentials,
        authority: &str,
    ) -> Result<Self, Error> {
        let addresses = resolve(configuration, authority)?;
        let service = || addresses.token_service(configuration);
        let identity = Identity {
            user: user.clone(),
            token: find_token(credentials, HDFS_DELEGATION_TOKEN_KIND, service)?,
            server: Some(ServerPrincipal::new(configuration, PRINCIPAL_KEY)),
        };
        let endpoints = addresses.endpoints.clone();
        let client = Client::new(SERVICE, endpoints, PROTOCOL, identity, Settings::new(configuration)?);
        Ok(Self { client, addresses: Arc::new(addresses), configuration: Arc::new(configuration.clone()) })
    }

    /// The same, with other patience.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.client = self.client.with_retry(retry);
        self
    }

    /// The NameNodes.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.client.endpoints()
    }

    /// Where the blocks are that hold the bytes from `offset` on, `length` of them.
    pub async fn block_locations(&self, path: &str, offset: u64, length: u64) -> Result<BlockLocations, Error> {
        const METHOD: Method = Method::idempotent("getBlockLocations");
        // Java's numbers are signed.
        let (offset, length) = (offset.min(i64::MAX as u64), length.min(i64::MAX as u64));
        let request = GetBlockLocationsRequestProto { src: path.to_owned(), offset, length };
        let response: GetBlockLocationsResponseProto = self.client.call(METHOD, &request).await?;
        let locations = response.locations.ok_or_else(|| self.not_found(path))?;
        Ok(BlockLocations {
            file_length: locations.file_length,
            under_construction: locations.under_construction,
            last_block_complete: locations.is_last_block_complete,
            blocks: locations.blocks.into_iter().map(Into::into).collect(),
        })
    }

    fn not_found(&self, path: &str) -> RemoteException {
        RemoteException {
            class: "java.io.FileNotFoundException".to_owned(),
            message: format!("File does not exist: {path}"),
            host: self.endpoints().first().map(Endpoint::authority).unwrap_or_default(),
        }
    }

    /// What the NameNode does when nobody says otherwise.
    pub async fn server_defaults(&self) -> Result<ServerDefaults, Error> {
        const METHOD: Method = Method::idempotent("getServerDefaults");
        let response: GetServerDefaultsResponseProto =
            self.client.call(METHOD, &GetServerDefaultsRequestProto {}).await?;
        Ok(response.server_defaults.into())
    }

    /// A delegation token that `renewer` may renew. Servers give one only to those who show a Kerberos ticket, and
    /// none where there is no security.
    pub async fn delegation_token(&self, renewer: &str) -> Result<Option<Token>, Error> {
        const METHOD: Method = Method::idempotent("getDelegationToken");
        let request = GetDelegationTokenRequestProto { renewer: renewer.to_owned() };
        let response: GetDelegationTokenResponseProto = self.client.call(METHOD, &request).await?;
        let Some(token) = response.token else { return Ok(None) };
        let service = self.addresses.token_service(&self.configuration)?;
        Ok(Some(Token::from(token).with_service(service)))
    }

    /// Renews a delegation token; gives when it ends, in milliseconds since 1970.
    pub async fn renew_delegation_token(&self, token: &Token) -> Result<u64, Error> {
        const METHOD: Method = Method::idempotent("renewDelegationToken");
        let request = RenewDelegationTokenRequestProto { token: token.to_proto() };
        let response: RenewDelegationTokenResponseProto = self.client.call(METHOD, &request).await?;
        Ok(response.new_expiry_time)
    }

    /// Cancels a delegation token.
    pub async fn cancel_delegation_token(&self, token: &Token) -> Result<(), Error> {
        const METHOD: Method = Method::idempotent("cancelDelegationToken");
        let request = CancelDelegationTokenRequestProto { token: token.to_proto() };
        let _: CancelDelegationTokenResponseProto = self.client.call(METHOD, &request).await?;
        Ok(())
    }
}

impl From<LocatedBlockProto> for Block {
    fn from(block: LocatedBlockProto) -> Self {
        let replicas = block.locs.into_iter().map(Into::into).collect();
        Self { offset: block.offset, length: block.b.num_bytes(), corrupt: block.corrupt, replicas }
    }
}

impl From<DatanodeInfoProto> for Replica {
    fn from(node: DatanodeInfoProto) -> Self {
        Self {
            host: node.id.host_name,
            ip: node.id.ip_addr,
            port: u16::try_from(node.id.xfer_port).unwrap_or(0),
            rack: node.location.unwrap_or_default(),
        }
    }
}

impl From<FsServerDefaultsProto> for ServerDefaults {
    fn from(defaults: FsServerDefaultsProto) -> Self {
        Self {
            block_size: defaults.block_size,
            replication: defaults.replication,
            bytes_per_checksum: defaults.bytes_per_checksum,
            write_packet_size: defaults.write_packet_size,
            encrypt_data_transfer: defaults.encrypt_data_transfer(),
            key_provider: defaults.key_provider_uri.unwrap_or_default(),
        }
    }
}
