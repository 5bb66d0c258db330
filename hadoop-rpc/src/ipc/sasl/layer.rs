use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::digest_layer::{DigestLayer, DigestOpener, DigestSealer};
use super::kerberos::Sealing;
use crate::error::AuthenticationError;

/// What messages go through once both sides have proved themselves.
pub(crate) enum Layer {
    /// Nothing.
    Plain,
    Digest(DigestLayer),
    Kerberos(Sealing),
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Digest(_) => "Digest",
            Self::Kerberos(_) => "Kerberos",
        })
    }
}

impl Layer {
    /// One half for each direction; none when messages are sent as they are.
    pub(crate) fn split(self) -> Option<(Sealer, Opener)> {
        match self {
            Self::Plain => None,
            Self::Digest(DigestLayer { sealer, opener }) => Some((Sealer::Digest(sealer), Opener::Digest(opener))),
            Self::Kerberos(sealing) => {
                let shared = Arc::new(Mutex::new(sealing));
                Some((Sealer::Kerberos(Arc::clone(&shared)), Opener::Kerberos(shared)))
            }
        }
    }
}

/// Seals what goes to the server.
pub(crate) enum Sealer {
    Digest(DigestSealer),
    Kerberos(Arc<Mutex<Sealing>>),
}

impl Sealer {
    /// Seals a message, in as many parts as the server's buffer asks for.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Result<Vec<Vec<u8>>, AuthenticationError> {
        match self {
            Self::Digest(sealer) => Ok(message.chunks(sealer.most()).map(|part| sealer.seal(part)).collect()),
            Self::Kerberos(shared) => {
                let sealing = shared.lock().unwrap_or_else(PoisonError::into_inner);
                message.chunks(sealing.most()).map(|part| sealing.seal(part)).collect()
            }
        }
    }
}

/// Opens what comes from the server.
pub(crate) enum Opener {
    Digest(DigestOpener),
    Kerberos(Arc<Mutex<Sealing>>),
}

impl Opener {
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        match self {
            Self::Digest(opener) => opener.open(sealed),
            Self::Kerberos(shared) => shared.lock().unwrap_or_else(PoisonError::into_inner).open(sealed),
        }
    }
}
