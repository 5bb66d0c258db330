//! Clients of a Hadoop cluster: of YARN's ResourceManager and NodeManagers, and of the NameNode of HDFS.
//!
//! Hadoop's RPC (version 9) is spoken on tokio, with its three kinds of authentication: none (SIMPLE), tokens
//! (DIGEST-MD5), and Kerberos (GSSAPI, loaded when it is first needed), each with the protection that
//! `hadoop.rpc.protection` asks for. Configuration is read as Hadoop's own clients read it.
//!
//! ```no_run
//! use hadoop_rpc::yarn::{ApplicationClient, NodeState};
//! use hadoop_rpc::{Configuration, Credentials, User};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let configuration = Configuration::load()?;
//! let user = User::current(&configuration)?;
//! let credentials = Credentials::from_environment()?.unwrap_or_default();
//!
//! let yarn = ApplicationClient::new(&configuration, &user, &credentials)?;
//! for node in yarn.nodes(&[NodeState::Running]).await? {
//!     println!("{}: {} of {} in use", node.id, node.used, node.capability);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An ApplicationMaster finds its token among the credentials of its container:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hadoop_rpc::credentials::AMRM_TOKEN_KIND;
//! use hadoop_rpc::ipc::RetryPolicy;
//! use hadoop_rpc::yarn::{AllocateRequest, ApplicationMaster, FinalStatus, Resource, ResourceRequest};
//! use hadoop_rpc::{Configuration, Credentials};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let configuration = Configuration::load()?;
//! let credentials = Credentials::from_environment()?.unwrap_or_default();
//! let token = credentials.token_of_kind(AMRM_TOKEN_KIND).ok_or("not in an ApplicationMaster's container")?;
//!
//! let patience = RetryPolicy::patient(Duration::from_secs(600));
//! let master = ApplicationMaster::new(&configuration, token.clone())?.with_retry(patience);
//! if let Some(registration) = master.register("host", 4242, "http://host:4242/").await? {
//!     println!("containers have at most {}", registration.maximum);
//! }
//!
//! let asks = vec![ResourceRequest::anywhere(1, Resource::new(256, 1), 2, 0)];
//! let response = master.allocate(&AllocateRequest { asks, ..AllocateRequest::default() }).await?;
//! println!("{} containers were given at once", response.allocated.len());
//! while !master.finish(FinalStatus::Succeeded, "", "").await? {
//!     tokio::time::sleep(Duration::from_millis(200)).await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here panics on what servers or files hold: sizes are checked before memory is taken, waits end, and secrets
//! are not printed.

/// Why a call failed, and servers as errors name them.
pub mod error;

/// Values that must not be printed.
pub mod secret;

/// Hadoop's configuration files.
pub mod configuration;

/// Tokens, secret keys, and the files that hold them.
pub mod credentials;

/// Who we are.
pub mod user;

/// Connections, authentication, calls and their retries.
pub mod ipc;

/// YARN's three protocols.
pub mod yarn;

/// The NameNode's protocol.
pub mod hdfs;

/// Addresses of servers, and the tokens for them.
mod endpoint;

/// Tickets and contexts, through GSSAPI.
mod kerberos;

/// Hadoop's messages on the wire.
mod proto;

/// Entrances to the decoders that are not public, for fuzzing.
#[doc(hidden)]
pub mod fuzzing;

pub use configuration::Configuration;
pub use credentials::{Credentials, Token};
pub use error::{Endpoint, Error, RemoteException};
pub use kerberos::{KerberosError, KerberosLogin};
pub use secret::Secret;
pub use user::User;
