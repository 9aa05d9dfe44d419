use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Issuer;
use super::text::impl_name;

/// The bounds of a credential's name in characters. Source: the specification of the Resource Manager API for managed
/// identities, `^[a-zA-Z0-9]{1}[a-zA-Z0-9-_]{2,119}$`.
const MIN_CHARS: usize = 3;
const MAX_CHARS: usize = 120;

/// How much of namespace and account a derived name shows, in characters; what is cut off is in the hash.
const READABLE_CHARS: usize = 48;

/// How much of the hash a derived name carries, in bytes: 32 hexadecimal digits.
const HASH_BYTES: usize = 16;

/// The name of a federated identity credential on its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName(String);

/// Why a text is no credential name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidCredentialName {
    /// Azure wants 3 to 120 characters.
    #[error("the credential name has {0} characters; Azure accepts {MIN_CHARS} to {MAX_CHARS}")]
    Length(usize),
    /// The first character is neither a letter nor a digit.
    #[error("the credential name must begin with a letter (a-z, A-Z) or a digit")]
    Start,
    /// Something else than a letter, a digit, `-` or `_`.
    #[error(
        "the credential name contains {0:?}; Azure accepts letters (a-z, A-Z), digits, '-' and '_'"
    )]
    Character(char),
}

impl CredentialName {
    /// Reads a name as Azure accepts it: 3 to 120 letters, digits, `-` and `_`, the first a letter or digit.
    ///
    /// # Errors
    /// For every other text.
    pub fn parse(text: &str) -> Result<Self, InvalidCredentialName> {
        let chars = text.chars().count();
        if !(MIN_CHARS..=MAX_CHARS).contains(&chars) {
            return Err(InvalidCredentialName::Length(chars));
        }
        if let Some(character) = text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        {
            return Err(InvalidCredentialName::Character(character));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(InvalidCredentialName::Start);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name that azwib gives to the credential of a ServiceAccount: `azwib-<namespace>-<account>-<hash>`.
    ///
    /// The name is what proves that a credential is ours, so it is permanent: a change here would orphan every credential
    /// that exists. The hash covers the issuer byte for byte, the namespace and the account, each with its length before
    /// it, so that no two triples have the same name although the readable part may be the same.
    pub fn derive(issuer: &Issuer, namespace: &str, service_account: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"azwib/v1");
        for part in [issuer.as_str(), namespace, service_account] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }

        let mut name = String::from("azwib-");
        name.extend(
            format!("{namespace}-{service_account}")
                .chars()
                .map(|c| c.to_ascii_lowercase())
                .map(|c| {
                    if c.is_ascii_lowercase() || c.is_ascii_digit() {
                        c
                    } else {
                        '-'
                    }
                })
                .take(READABLE_CHARS),
        );
        name.push('-');
        for byte in &hash.finalize()[..HASH_BYTES] {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        Self(name)
    }

    /// The name as it is sent to Azure.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl_name!(CredentialName, InvalidCredentialName);
