//! The SASL exchange of Hadoop RPC, as a state machine: a message of the server in, a message for it out.

use crate::error::AuthenticationError;
use crate::ipc::identity::Identity;
use crate::ipc::settings::Settings;
use crate::proto::rpc::{RpcSaslProto, SaslAuth};

/// DIGEST-MD5: both sides prove that they know a token's password.
pub(crate) mod digest;

/// What seals messages after DIGEST-MD5.
mod digest_layer;

/// RC4, DES and 3DES, as DIGEST-MD5 uses them.
mod cipher;

/// GSSAPI: both sides prove who they are by Kerberos.
mod kerberos;

/// Sealed messages, whichever mechanism agreed on them.
mod layer;

pub(crate) use layer::{Layer, Opener, Sealer};

/// What protects a connection after authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing further.
    Authentication,
    /// Messages cannot be changed.
    Integrity,
    /// Messages cannot be changed or read.
    Privacy,
}

impl Protection {
    /// Its name in hadoop.rpc.protection.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Integrity => "integrity",
            Self::Privacy => "privacy",
        }
    }
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthenticationMode {
    /// The server takes our word for who we are.
    Simple,
    /// The SASL exchange decides.
    Sasl,
}

pub(crate) mod state {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const NEGOTIATE: i32 = 1;
    pub(crate) const INITIATE: i32 = 2;
    pub(crate) const CHALLENGE: i32 = 3;
    pub(crate) const RESPONSE: i32 = 4;
    pub(crate) const WRAP: i32 = 5;
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this and wait for the answer.
    Reply(RpcSaslProto),
    /// Both sides have proved themselves; what follows goes through the layer.
    Finished(Layer),
    /// The server has no security: it takes our word.
    Simple,
}

/// The exchange on one connection.
#[derive(Debug)]
pub(crate) struct Negotiation {
    identity: Identity,
    settings: Settings,
    host: String,
    mechanism: Option<Mechanism>,
}

#[derive(Debug)]
enum Mechanism {
    Digest(digest::Exchange),
    Kerberos(kerberos::Exchange),
}

impl Negotiation {
    pub(crate) fn new(identity: Identity, settings: Settings, host: &str) -> Self {
        Self { identity, settings, host: host.to_owned(), mechanism: None }
    }

    /// The message that opens the exchange.
    pub(crate) fn first(&self) -> RpcSaslProto {
        message(state::NEGOTIATE, None)
    }

    /// Whether a step may ask other hosts, and so take a while.
    pub(crate) fn may_block(&self) -> bool {
        self.identity.token.is_none()
    }

    /// The same before its first message.
    pub(crate) fn without_progress(&self) -> Self {
        Self::new(self.identity.clone(), self.settings.clone(), &self.host)
    }

    /// Takes a message of the server.
    pub(crate) fn step(&mut self, received: RpcSaslProto) -> Result<Step, AuthenticationError> {
        match (received.state, &mut self.mechanism) {
            (state::NEGOTIATE, None) => self.choose(received.auths),
            (state::SUCCESS, None) => self.accept_simple(),
            (state::CHALLENGE, Some(Mechanism::Kerberos(exchange))) => {
                let token = exchange.challenge(received.token.as_deref().unwrap_or_default())?;
                Ok(Step::Reply(message(state::RESPONSE, Some(token))))
            }
            (state::SUCCESS, Some(_)) => self.finish(received.token.as_deref()),
            (other, _) => Err(AuthenticationError::Protocol(format!("a message of state {other} was not expected"))),
        }
    }

    fn choose(&mut self, offers: Vec<SaslAuth>) -> Result<Step, AuthenticationError> {
        for offer in &offers {
            match (offer.method.as_str(), offer.mechanism.as_str()) {
                ("TOKEN", "DIGEST-MD5") if self.identity.token.is_some() => return self.begin_digest(offer),
                ("KERBEROS", "GSSAPI") if self.identity.user.is_kerberos() => return self.begin_kerberos(offer),
                ("SIMPLE", _) if self.may_be_simple() => return Ok(Step::Simple),
                _ => {}
            }
        }
        Err(self.nothing_to_show(&offers))
    }

    fn begin_digest(&mut self, offer: &SaslAuth) -> Result<Step, AuthenticationError> {
        let challenge = digest::Challenge::parse(offer.challenge.as_deref().unwrap_or_default())?;
        let Some(token) = &self.identity.token else { return Err(self.nothing_to_show(&[])) };
        let uri = format!(
            "{}/{}",
            offer.protocol.as_deref().unwrap_or_default(),
            offer.server_id.as_deref().unwrap_or_default()
        );
        let exchange = digest::Exchange::new(token, &challenge, &uri, &self.settings.protections, digest::nonce()?)?;
        let reply = initiate(offer, exchange.response().into_bytes());
        self.mechanism = Some(Mechanism::Digest(exchange));
        Ok(Step::Reply(reply))
    }

    fn begin_kerberos(&mut self, offer: &SaslAuth) -> Result<Step, AuthenticationError> {
        let service = offer.protocol.as_deref().unwrap_or_default();
        let server = offer.server_id.as_deref().unwrap_or_default();
        let principal = kerberos::server_principal(self.identity.server.as_ref(), service, server, &self.host)?;
        let (exchange, token) = kerberos::Exchange::begin(&self.identity.user, &principal, &self.settings.protections)?;
        self.mechanism = Some(Mechanism::Kerberos(exchange));
        Ok(Step::Reply(initiate(offer, token)))
    }

    fn finish(&mut self, token: Option<&[u8]>) -> Result<Step, AuthenticationError> {
        match self.mechanism.take() {
            Some(Mechanism::Digest(exchange)) => exchange.finish(token.unwrap_or_default()).map(Step::Finished),
            Some(Mechanism::Kerberos(exchange)) => exchange.finish().map(Step::Finished),
            None => self.accept_simple(),
        }
    }

    /// A server that answers our offer to negotiate with success has no security at all.
    fn accept_simple(&self) -> Result<Step, AuthenticationError> {
        if self.may_be_simple() {
            return Ok(Step::Simple);
        }
        Err(AuthenticationError::Protocol(
            "the server has no security and this client is set up for Kerberos; if that is meant, set \
             ipc.client.fallback-to-simple-auth-allowed to true"
                .to_owned(),
        ))
    }

    fn may_be_simple(&self) -> bool {
        !self.identity.user.is_kerberos() || self.settings.allow_fallback_to_simple
    }

    fn nothing_to_show(&self, offers: &[SaslAuth]) -> AuthenticationError {
        let offered: Vec<&str> = offers.iter().map(|offer| offer.method.as_str()).collect();
        let held = match (&self.identity.token, self.identity.user.is_kerberos()) {
            (Some(token), _) => format!("a token of kind {}", token.kind),
            (None, true) => "a Kerberos login, and no token for this server".to_owned(),
            (None, false) => match self.identity.user.no_ticket() {
                Some(why) => format!("neither a token for this server nor a Kerberos login ({why})"),
                None => "neither a token for this server nor a Kerberos login".to_owned(),
            },
        };
        let advice = if offered.contains(&"KERBEROS") {
            "set hadoop.security.authentication to kerberos and run kinit, or give a keytab"
        } else {
            "only processes that were given a token by YARN or HDFS can use it"
        };
        AuthenticationError::NothingToShow { offered: offered.join(", "), held, advice: advice.to_owned() }
    }
}

fn initiate(offer: &SaslAuth, token: Vec<u8>) -> RpcSaslProto {
    let chosen = SaslAuth { challenge: None, ..offer.clone() };
    RpcSaslProto { auths: vec![chosen], ..message(state::INITIATE, Some(token)) }
}

pub(crate) fn message(state: i32, token: Option<Vec<u8>>) -> RpcSaslProto {
    RpcSaslProto { version: Some(0), state, token, auths: Vec::new() }
}

/// The layers of DIGEST-MD5 without and with each cipher, all with the same key: for fuzzing.
pub(crate) fn digest_layers() -> Vec<digest_layer::DigestLayer> {
    let ciphers = cipher::Cipher::BEST_FIRST.into_iter().map(Some).chain([None]);
    ciphers.map(|cipher| digest_layer::DigestLayer::new(&[7; 16], cipher, 65_536)).collect()
}

/// The first protection of ours that the server offers too.
pub(crate) fn agree(ours: &[Protection], theirs: &[Protection]) -> Result<Protection, AuthenticationError> {
    let names = |list: &[Protection]| list.iter().map(|p| p.name()).collect::<Vec<_>>().join(",");
    ours.iter()
        .copied()
        .find(|protection| theirs.contains(protection))
        .ok_or_else(|| AuthenticationError::NoProtectionInCommon { offered: names(theirs), allowed: names(ours) })
}
