use des::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2};

/// The ciphers of DIGEST-MD5. All are weak by today's measure; there are no others in it, and Hadoop's tokens know no
/// other mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    TripleDes,
    Rc4,
    Rc4With56,
    Des,
    Rc4With40,
}

impl Cipher {
    pub(crate) const BEST_FIRST: [Self; 5] = [Self::TripleDes, Self::Rc4, Self::Rc4With56, Self::Des, Self::Rc4With40];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TripleDes => "3des",
            Self::Rc4 => "rc4",
            Self::Rc4With56 => "rc4-56",
            Self::Des => "des",
            Self::Rc4With40 => "rc4-40",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::BEST_FIRST.into_iter().find(|cipher| cipher.name() == name)
    }

    /// How many bytes of the session key go into the sealing key.
    pub(crate) fn session_bytes(self) -> usize {
        match self {
            Self::Rc4With40 => 5,
            Self::Rc4With56 => 7,
            Self::TripleDes | Self::Des | Self::Rc4 => 16,
        }
    }

    /// The size of its blocks; 1 where there are none.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::TripleDes | Self::Des => BLOCK,
            Self::Rc4 | Self::Rc4With56 | Self::Rc4With40 => 1,
        }
    }

    pub(crate) fn with_key(self, key: &[u8; 16]) -> Keyed {
        let chain: [u8; BLOCK] = [key[8], key[9], key[10], key[11], key[12], key[13], key[14], key[15]];
        match self {
            Self::Rc4 | Self::Rc4With56 | Self::Rc4With40 => Keyed::Rc4(Box::new(Rc4::new(key))),
            Self::Des => Keyed::Des(Box::new(Des::new(&des_key(&key[..7]).into())), chain),
            Self::TripleDes => {
                let mut both = [0; 16];
                both[..8].copy_from_slice(&des_key(&key[..7]));
                both[8..].copy_from_slice(&des_key(&key[7..14]));
                Keyed::TripleDes(Box::new(TdesEde2::new(&both.into())), chain)
            }
        }
    }
}

const BLOCK: usize = 8;

/// Seven bytes as the seven upper bits of eight; the lowest bits are parity, which DES does not look at.
fn des_key(bytes: &[u8]) -> [u8; 8] {
    let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    std::array::from_fn(|index| {
        let seven = (bits >> (49 - 7 * index)) & 0x7f;
        u8::try_from(seven << 1).unwrap_or_default()
    })
}

/// A cipher with its key, and what it carries from one message to the next.
pub(crate) enum Keyed {
    Rc4(Box<Rc4>),
    Des(Box<Des>, [u8; BLOCK]),
    TripleDes(Box<TdesEde2>, [u8; BLOCK]),
}

impl Keyed {
    /// Encrypts whole blocks in place.
    pub(crate) fn encrypt(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Rc4(rc4) => rc4.apply(bytes),
            Self::Des(des, chain) => encrypt_chained(bytes, chain, |block| des.encrypt_block(block)),
            Self::TripleDes(des, chain) => encrypt_chained(bytes, chain, |block| des.encrypt_block(block)),
        }
    }

    /// Decrypts whole blocks in place.
    pub(crate) fn decrypt(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Rc4(rc4) => rc4.apply(bytes),
            Self::Des(des, chain) => decrypt_chained(bytes, chain, |block| des.decrypt_block(block)),
            Self::TripleDes(des, chain) => decrypt_chained(bytes, chain, |block| des.decrypt_block(block)),
        }
    }
}

/// Cipher block chaining, which goes on from message to message.
fn encrypt_chained(bytes: &mut [u8], chain: &mut [u8; BLOCK], encrypt: impl Fn(&mut Block<Des>)) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        let mut mixed: Block<Des> = std::array::from_fn(|index| block[index] ^ chain[index]).into();
        encrypt(&mut mixed);
        block.copy_from_slice(&mixed);
        chain.copy_from_slice(&mixed);
    }
}

fn decrypt_chained(bytes: &mut [u8], chain: &mut [u8; BLOCK], decrypt: impl Fn(&mut Block<Des>)) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        let sealed: [u8; BLOCK] = std::array::from_fn(|index| block[index]);
        let mut opened: Block<Des> = sealed.into();
        decrypt(&mut opened);
        for (index, byte) in block.iter_mut().enumerate() {
            *byte = opened[index] ^ chain[index];
        }
        *chain = sealed;
    }
}

/// RC4, twenty lines that need no crate.
pub(crate) struct Rc4 {
    permutation: [u8; 256],
    first: u8,
    second: u8,
}

impl Rc4 {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut permutation: [u8; 256] = std::array::from_fn(|index| u8::try_from(index).unwrap_or_default());
        let mut other = 0_u8;
        for index in 0..256 {
            other = other.wrapping_add(permutation[index]).wrapping_add(key[index % key.len()]);
            permutation.swap(index, usize::from(other));
        }
        Self { permutation, first: 0, second: 0 }
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.first = self.first.wrapping_add(1);
            let one = self.permutation[usize::from(self.first)];
            self.second = self.second.wrapping_add(one);
            let two = self.permutation[usize::from(self.second)];
            self.permutation.swap(usize::from(self.first), usize::from(self.second));
            *byte ^= self.permutation[usize::from(one.wrapping_add(two))];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc4_as_published() {
        let check = |key: &[u8], text: &[u8], expect: &[u8]| {
            let mut bytes = text.to_vec();
            Rc4::new(key).apply(&mut bytes);
            assert_eq!(bytes, expect);
        };
        check(b"Key", b"Plaintext", &[0xbb, 0xf3, 0x16, 0xe8, 0xd9, 0x40, 0xaf, 0x0a, 0xd3]);
        check(b"Wiki", b"pedia", &[0x10, 0x21, 0xbf, 0x04, 0x20]);
    }

    #[test]
    fn seven_bytes_become_eight() {
        assert_eq!(des_key(&[0xff; 7]), [0xfe; 8]);
        assert_eq!(des_key(&[0x80, 0, 0, 0, 0, 0, 1]), [0x80, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn every_cipher_opens_what_it_sealed_over_several_messages() {
        for cipher in Cipher::BEST_FIRST {
            let key = std::array::from_fn(|index| u8::try_from(index * 7).unwrap());
            let (mut seal, mut open) = (cipher.with_key(&key), cipher.with_key(&key));
            let mut last = Vec::new();
            for _ in 0..3 {
                let mut bytes = *b"sixteen bytes!!!";
                seal.encrypt(&mut bytes);
                assert!(bytes != *b"sixteen bytes!!!" && bytes[..] != last, "{cipher:?}");
                last = bytes.to_vec();
                open.decrypt(&mut bytes);
                assert_eq!(&bytes, b"sixteen bytes!!!", "{cipher:?}");
            }
            assert_eq!(Cipher::by_name(cipher.name()), Some(cipher));
        }
    }
}
