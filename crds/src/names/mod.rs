//! Names that cannot be built wrong: what goes into a request to Azure has been parsed into one of these before.

mod audience;
mod client_id;
mod credential_name;
mod guid;
mod issuer;
mod managed_identity_id;
mod subject;

pub use audience::{Audience, DEFAULT_AUDIENCE, InvalidAudience};
pub use client_id::{ClientId, InvalidClientId};
pub use credential_name::{CredentialName, InvalidCredentialName};
pub use guid::{Guid, InvalidGuid};
pub use issuer::{InvalidIssuer, Issuer};
pub use managed_identity_id::{InvalidManagedIdentityId, ManagedIdentityId};
pub use subject::{InvalidSubject, Subject};

/// The longest issuer, subject and audience of a federated identity credential, in characters.
///
/// Source: Microsoft Entra, "Important considerations and restrictions for federated identity credentials".
pub const MAX_CREDENTIAL_PROPERTY_CHARS: usize = 600;

/// What is wrong with a text that is to become a property of a federated identity credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PropertyFault {
    Empty,
    TooLong(usize),
    SurroundingWhitespace,
    ControlCharacter,
}

/// Checks what Azure asks of a credential's subject and audience alike. Matching is exact, so nothing is trimmed here.
fn check_credential_property(text: &str) -> Result<(), PropertyFault> {
    if text.is_empty() {
        return Err(PropertyFault::Empty);
    }
    let chars = text.chars().count();
    if chars > MAX_CREDENTIAL_PROPERTY_CHARS {
        return Err(PropertyFault::TooLong(chars));
    }
    if text.trim() != text {
        return Err(PropertyFault::SurroundingWhitespace);
    }
    if text.chars().any(char::is_control) {
        return Err(PropertyFault::ControlCharacter);
    }
    Ok(())
}

/// The traits that every name has: it is shown as its text and parsed from it.
macro_rules! impl_name {
    ($name:ident, $error:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
    };
}
use impl_name;
