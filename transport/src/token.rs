use std::path::Path;

use crate::private_file::{self, PrivateFileError};
use crate::secret::{Secret, constant_time_equal};

/// Name of the token's file in a cluster's security folder.
pub const TOKEN_FILE: &str = "rest-token";

/// What a caller of the REST API shows as `Authorization: Bearer …` to change something.
#[derive(Debug, Clone)]
pub struct RestToken(Secret<String>);

/// A token could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its file could not be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// The file holds something else.
    #[error("{0} does not hold a token (64 hexadecimal digits): remove it and start the cluster again")]
    Malformed(String),
}

impl RestToken {
    /// A new token: 32 random bytes of the operating system.
    ///
    /// # Errors
    /// There are none.
    pub fn generate() -> Result<Self, TokenError> {
        let bytes = random_bytes::<32>().ok_or(TokenError::NoRandomness)?;
        Ok(Self(Secret::new(hex(&bytes))))
    }

    /// Writes the token into a security folder, mode 0600.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TokenError> {
        private_file::create_folder(folder)?;
        Ok(private_file::write(&folder.join(TOKEN_FILE), self.0.expose().as_bytes())?)
    }

    /// Reads the token of a security folder.
    ///
    /// # Errors
    /// It is not there, not a token, or others can read it.
    pub fn load(folder: &Path) -> Result<Self, TokenError> {
        let path = folder.join(TOKEN_FILE);
        Self::parse(&private_file::read(&path)?).ok_or_else(|| TokenError::Malformed(path.display().to_string()))
    }

    /// The token that a file holds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid.then(|| Self(Secret::new(text.to_owned())))
    }

    /// True when a caller showed this token. Takes the same time wherever the two differ.
    #[must_use]
    pub fn matches(&self, shown: &str) -> bool {
        constant_time_equal(self.0.expose().as_bytes(), shown.as_bytes())
    }

    /// The text, for the header of a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Random bytes of the operating system.
#[must_use]
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_file_and_matches_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let token = RestToken::generate().unwrap();
        token.save(&keys).unwrap();
        let loaded = RestToken::load(&keys).unwrap();
        assert!(loaded.matches(token.expose()) && !loaded.matches("") && !loaded.matches(&"0".repeat(64)));
        assert!(!RestToken::generate().unwrap().matches(token.expose()));
        std::fs::write(keys.join(TOKEN_FILE), "short").unwrap();
        assert!(matches!(RestToken::load(&keys), Err(TokenError::Malformed(_))));
    }
}
