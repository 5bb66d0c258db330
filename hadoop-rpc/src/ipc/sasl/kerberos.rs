use std::net::{IpAddr, ToSocketAddrs};

use super::{Layer, Protection, agree};
use crate::error::AuthenticationError;
use crate::ipc::identity::ServerPrincipal;
use crate::kerberos::{Context, Credential, KerberosError, Name};
use crate::user::User;

/// The bits of the security layers in RFC 4752.
const NO_LAYER: u8 = 1;
const INTEGRITY: u8 = 2;
const PRIVACY: u8 = 4;

/// The largest sealed message that we say we take.
const OUR_BUFFER: u32 = 0x00ff_ffff;

impl From<KerberosError> for AuthenticationError {
    fn from(error: KerberosError) -> Self {
        Self::Kerberos(error.to_string())
    }
}

/// The server's name for Kerberos, once what it says it is has been compared with what it must be.
pub(super) fn server_principal(
    expected: Option<&ServerPrincipal>,
    service: &str,
    announced: &str,
    host: &str,
) -> Result<Target, AuthenticationError> {
    let Some(expected) = expected else {
        return Err(AuthenticationError::Kerberos("this server can be called with a token only".to_owned()));
    };
    if expected.principal.is_none() && expected.pattern.is_none() {
        let key = &expected.key;
        return Err(AuthenticationError::Kerberos(format!(
            "{key} is not set: it names the principal that the server must be; set it as the cluster's configuration does"
        )));
    }
    let found = format!("{service}/{announced}");
    let host = if is_same_host(announced, host) { announced } else { host };
    let realm = expected.check(&found, host).map_err(|principal| AuthenticationError::OtherPrincipal {
        found: found.clone(),
        expected: principal,
        key: expected.key.clone(),
    })?;
    Ok(match realm {
        Some(realm) => Target::Principal(format!("{found}@{realm}")),
        None => Target::Service(format!("{service}@{announced}")),
    })
}

/// Whether the name that a server gives itself is another one of the host that was called.
fn is_same_host(announced: &str, called: &str) -> bool {
    let addresses = |host: &str| -> Vec<IpAddr> {
        (host.trim_matches(['[', ']']), 0)
            .to_socket_addrs()
            .map(|found| found.map(|a| a.ip()).collect())
            .unwrap_or_default()
    };
    announced.eq_ignore_ascii_case(called)
        || addresses(announced).iter().any(|address| addresses(called).contains(address))
}

/// The server, as Kerberos is asked for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Principal(String),
    Service(String),
}

/// An exchange on its way.
pub(super) struct Exchange {
    context: Context,
    ours: Vec<Protection>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Tokens go to and fro until the context is complete.
    Establishing,
    /// The server will tell which layers it has.
    AwaitingLayers,
    /// We have chosen one; `most` is the largest sealed message that the server takes.
    Chosen { protection: Protection, most: u32 },
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Begins, and gives the first token.
    pub(super) fn begin(
        user: &User,
        target: &Target,
        ours: &[Protection],
    ) -> Result<(Self, Vec<u8>), AuthenticationError> {
        let login = user.kerberos().ok_or_else(|| AuthenticationError::Kerberos("there is no login".to_owned()))?;
        let name = match target {
            Target::Principal(principal) => Name::principal(principal)?,
            Target::Service(service) => Name::service(service)?,
        };
        let confidential = ours.contains(&Protection::Privacy);
        let context = Context::new(Credential::acquire(login)?, name, confidential);
        let mut exchange = Self { context, ours: ours.to_vec(), state: State::Establishing };
        let token = exchange.establish(&[])?;
        Ok((exchange, token))
    }

    fn establish(&mut self, received: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        let established = self.context.step(received)?;
        if established.complete {
            self.state = State::AwaitingLayers;
        }
        Ok(established.token)
    }

    /// Takes a challenge of the server.
    pub(super) fn challenge(&mut self, received: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        match self.state {
            State::Establishing => self.establish(received),
            State::AwaitingLayers => self.choose_layer(received),
            State::Chosen { .. } => Err(AuthenticationError::Protocol("a challenge after the last one".to_owned())),
        }
    }

    fn choose_layer(&mut self, received: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        let offer = self.context.unwrap(received, false)?;
        let [layers, size @ ..] = offer.as_slice() else { return Err(bad_offer()) };
        let [high, middle, low]: [u8; 3] = size.try_into().map_err(|_| bad_offer())?;
        let most = u32::from_be_bytes([0, high, middle, low]);
        let protection = agree(&self.ours, &offered(*layers))?;
        self.state = State::Chosen { protection, most };
        let [_, high, middle, low] =
            if protection == Protection::Authentication { 0 } else { OUR_BUFFER }.to_be_bytes();
        Ok(self.context.wrap(&[bit(protection), high, middle, low], false)?)
    }

    /// The server agreed.
    pub(super) fn finish(self) -> Result<Layer, AuthenticationError> {
        match self.state {
            State::Chosen { protection: Protection::Authentication, .. } => Ok(Layer::Plain),
            State::Chosen { protection, most } => {
                let confidential = protection == Protection::Privacy;
                let most = self.context.size_limit(confidential, most)?;
                Ok(Layer::Kerberos(Sealing { context: self.context, confidential, most }))
            }
            _ => Err(AuthenticationError::Protocol("the server ended the exchange early".to_owned())),
        }
    }
}

fn bad_offer() -> AuthenticationError {
    AuthenticationError::Protocol("the server's offer of security layers is not four bytes".to_owned())
}

fn offered(layers: u8) -> Vec<Protection> {
    let all = [Protection::Authentication, Protection::Integrity, Protection::Privacy];
    all.into_iter().filter(|protection| layers & bit(*protection) != 0).collect()
}

fn bit(protection: Protection) -> u8 {
    match protection {
        Protection::Authentication => NO_LAYER,
        Protection::Integrity => INTEGRITY,
        Protection::Privacy => PRIVACY,
    }
}

/// Seals and opens messages of an established context.
pub(crate) struct Sealing {
    context: Context,
    confidential: bool,
    most: usize,
}

impl Sealing {
    /// The most bytes that one call takes.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn seal(&self, message: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        Ok(self.context.wrap(message, self.confidential)?)
    }

    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        Ok(self.context.unwrap(sealed, self.confidential)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_must_be_whom_the_configuration_names() {
        let expected = ServerPrincipal { key: "k".into(), principal: Some("nn/_HOST@R".into()), pattern: None };
        let found = server_principal(Some(&expected), "nn", "host.invalid", "HOST.invalid");
        assert_eq!(found, Ok(Target::Principal("nn/host.invalid@R".into())));
        let error = server_principal(Some(&expected), "nn", "other.invalid", "host.invalid").unwrap_err();
        assert!(matches!(error, AuthenticationError::OtherPrincipal { .. }), "{error}");
        // An address stands for every name that has it.
        let found = server_principal(Some(&expected), "nn", "localhost", "127.0.0.1");
        assert_eq!(found, Ok(Target::Principal("nn/localhost@R".into())));
        let unset = ServerPrincipal { principal: None, ..expected };
        let message = server_principal(Some(&unset), "nn", "h", "h").unwrap_err().to_string();
        assert!(message.contains("k is not set"), "{message}");
        assert!(server_principal(None, "nn", "h", "h").is_err());
    }

    #[test]
    fn layers_are_bits() {
        assert_eq!(offered(5), [Protection::Authentication, Protection::Privacy]);
        assert_eq!(offered(0), []);
    }
}
