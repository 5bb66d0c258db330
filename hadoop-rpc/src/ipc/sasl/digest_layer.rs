use md5::{Digest, Md5};

use super::cipher::{Cipher, Keyed};
use crate::error::AuthenticationError;
use crate::secret::constant_time_equal;

const MAC: usize = 10;
/// The type of the message and its number.
const TRAILER: usize = 6;
const MESSAGE_TYPE: [u8; 2] = [0, 1];
/// What a sealed message is longer than the message, with a block of padding.
const OVERHEAD: usize = MAC + TRAILER + 8;

/// Both directions of a connection after DIGEST-MD5.
pub(crate) struct DigestLayer {
    pub(crate) sealer: DigestSealer,
    pub(crate) opener: DigestOpener,
}

impl DigestLayer {
    /// Keys as RFC 2831 makes them from H(A1); `buffer` is the largest sealed message that the server takes.
    pub(crate) fn new(session_key: &[u8; 16], cipher: Option<Cipher>, buffer: usize) -> Self {
        let to_server = keys(session_key, cipher, "client-to-server");
        let to_client = keys(session_key, cipher, "server-to-client");
        let most = buffer.saturating_sub(OVERHEAD).max(1);
        Self {
            sealer: DigestSealer { keys: to_server, number: 0, most },
            opener: DigestOpener { keys: to_client, number: 0 },
        }
    }

    /// The other end's view, for tests.
    #[cfg(test)]
    pub(crate) fn server(session_key: &[u8; 16], cipher: Option<Cipher>) -> Self {
        let Self { sealer, opener } = Self::new(session_key, cipher, 65_536);
        let (to_server, to_client) = (sealer.keys, opener.keys);
        Self {
            sealer: DigestSealer { keys: to_client, number: 0, most: sealer.most },
            opener: DigestOpener { keys: to_server, number: 0 },
        }
    }
}

/// The keys of one direction.
struct Keys {
    signing: [u8; 16],
    cipher: Option<(Cipher, Keyed)>,
}

fn keys(session_key: &[u8; 16], cipher: Option<Cipher>, direction: &str) -> Keys {
    let derive = |secret: &[u8], magic: String| -> [u8; 16] {
        Md5::new().chain_update(secret).chain_update(magic).finalize().into()
    };
    let signing = derive(session_key, format!("Digest session key to {direction} signing key magic constant"));
    let keyed = |cipher: Cipher| {
        let secret = &session_key[..cipher.session_bytes()];
        let key = derive(secret, format!("Digest H(A1) to {direction} sealing key magic constant"));
        (cipher, cipher.with_key(&key))
    };
    Keys { signing, cipher: cipher.map(keyed) }
}

/// Seals what goes to the server.
pub(crate) struct DigestSealer {
    keys: Keys,
    number: u32,
    most: usize,
}

impl DigestSealer {
    /// The most bytes that one call takes.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    pub(crate) fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        let mac = mac(&self.keys.signing, self.number, message);
        let mut sealed = Vec::with_capacity(message.len() + OVERHEAD);
        sealed.extend_from_slice(message);
        if let Some((cipher, keyed)) = &mut self.keys.cipher {
            pad(&mut sealed, cipher.block());
            sealed.extend_from_slice(&mac);
            keyed.encrypt(&mut sealed);
        } else {
            sealed.extend_from_slice(&mac);
        }
        sealed.extend_from_slice(&MESSAGE_TYPE);
        sealed.extend_from_slice(&self.number.to_be_bytes());
        self.number = self.number.wrapping_add(1);
        sealed
    }
}

/// Fills up so that the message and its MAC are whole blocks: each added byte says how many there are.
fn pad(message: &mut Vec<u8>, block: usize) {
    if block > 1 {
        let count = block - (message.len() + MAC) % block;
        message.resize(message.len() + count, u8::try_from(count).unwrap_or_default());
    }
}

/// Opens what comes from the server.
pub(crate) struct DigestOpener {
    keys: Keys,
    number: u32,
}

impl DigestOpener {
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        let broken = |what: &str| AuthenticationError::Protocol(format!("a sealed message {what}"));
        let end = sealed.len().checked_sub(TRAILER).ok_or_else(|| broken("is too short"))?;
        let (body, trailer) = sealed.split_at(end);
        if trailer[..2] != MESSAGE_TYPE || trailer[2..] != self.number.to_be_bytes() {
            return Err(broken("is out of order: one was lost, repeated or added"));
        }
        let mut opened = body.to_vec();
        let block = self.keys.cipher.as_ref().map_or(1, |(cipher, _)| cipher.block());
        if opened.len() % block != 0 {
            return Err(broken("has an incomplete block"));
        }
        if let Some((_, keyed)) = &mut self.keys.cipher {
            keyed.decrypt(&mut opened);
        }
        let end = opened.len().checked_sub(MAC).ok_or_else(|| broken("is too short"))?;
        let found = opened.split_off(end);
        if block > 1 {
            let padding = usize::from(opened.last().copied().unwrap_or_default());
            // A wrong length of padding shows as a wrong MAC below.
            opened.truncate(opened.len().saturating_sub(padding));
        }
        if !constant_time_equal(&found, &mac(&self.keys.signing, self.number, &opened)) {
            return Err(broken("was changed on its way"));
        }
        self.number = self.number.wrapping_add(1);
        Ok(opened)
    }
}

/// The first bytes of HMAC-MD5 over the message's number and the message.
fn mac(key: &[u8; 16], number: u32, message: &[u8]) -> [u8; MAC] {
    let whole = hmac_md5(key, &[&number.to_be_bytes(), message]);
    std::array::from_fn(|index| whole[index])
}

fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let pad = |mask: u8| -> [u8; 64] { std::array::from_fn(|index| key.get(index).copied().unwrap_or(0) ^ mask) };
    let inner = parts.iter().fold(Md5::new_with_prefix(pad(0x36)), |digest, part| digest.chain_update(part));
    Md5::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hmac_md5_as_in_rfc_2104() {
        let mac = hmac_md5(&[0x0b; 16], &[b"Hi ", b"There"]);
        let expect = [0x92, 0x94, 0x72, 0x7a, 0x36, 0x38, 0xbb, 0x1c, 0x13, 0xf4, 0x8e, 0xf8, 0x15, 0x8b, 0xfc, 0x9d];
        assert_eq!(mac, expect);
    }

    fn variants() -> impl Iterator<Item = Option<Cipher>> {
        std::iter::once(None).chain(Cipher::BEST_FIRST.map(Some))
    }

    #[test]
    fn both_ends_understand_each_other_in_both_directions() {
        for cipher in variants() {
            let (mut client, mut server) =
                (DigestLayer::new(&[7; 16], cipher, 65_536), DigestLayer::server(&[7; 16], cipher));
            for length in [0, 1, 5, 6, 7, 8, 1000] {
                let message = vec![42; length];
                let sealed = client.sealer.seal(&message);
                assert_eq!(server.opener.open(&sealed).unwrap(), message, "{cipher:?}");
                assert!(sealed.len() <= length + OVERHEAD);
                assert_eq!(client.opener.open(&server.sealer.seal(&message)).unwrap(), message, "{cipher:?}");
            }
        }
    }

    #[test]
    fn changed_repeated_and_lost_messages_are_noticed() {
        for cipher in variants() {
            let (mut client, mut server) =
                (DigestLayer::new(&[7; 16], cipher, 65_536), DigestLayer::server(&[7; 16], cipher));
            let (one, two) = (client.sealer.seal(b"one"), client.sealer.seal(b"two"));
            assert!(server.opener.open(&two).is_err(), "{cipher:?}: lost");
            let mut changed = one.clone();
            changed[0] ^= 1;
            assert!(DigestLayer::server(&[7; 16], cipher).opener.open(&changed).is_err(), "{cipher:?}: changed");
            assert!(DigestLayer::server(&[8; 16], cipher).opener.open(&one).is_err(), "{cipher:?}: other key");
            server.opener.open(&one).unwrap();
            assert!(server.opener.open(&one).is_err(), "{cipher:?}: repeated");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for cipher in variants() {
                let _ = DigestLayer::server(&[7; 16], cipher).opener.open(&bytes);
                let numbered = [bytes.as_slice(), &[0, 1, 0, 0, 0, 0]].concat();
                let _ = DigestLayer::server(&[7; 16], cipher).opener.open(&numbered);
            }
        }
    }
}
