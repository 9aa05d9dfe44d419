use thiserror::Error;
use uuid::Uuid;

use super::text::impl_name;

/// The client id (application id) of a managed identity: a GUID, kept and shown in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(String);

/// Why a text is no client id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidClientId {
    /// The text is not a GUID in its usual form.
    #[error("the client id is not a GUID of the form 00000000-0000-0000-0000-000000000000")]
    NotAGuid,
    /// The GUID of zeros, which is nobody's.
    #[error("the client id of zeros is nobody's; give that of the managed identity or application")]
    Nil,
}

impl ClientId {
    /// Reads a GUID of the form `00000000-0000-0000-0000-000000000000`, in any case, that is not zero.
    ///
    /// # Errors
    /// For everything else, other spellings of a GUID included.
    pub fn parse(text: &str) -> Result<Self, InvalidClientId> {
        let guid = parse_guid(text).ok_or(InvalidClientId::NotAGuid)?;
        if guid.is_nil() {
            return Err(InvalidClientId::Nil);
        }
        Ok(Self(guid.hyphenated().to_string()))
    }

    /// The client id in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl_name!(ClientId, InvalidClientId);

/// Reads a GUID in the one form that Azure uses. The length tells it from the braced, plain and URN forms that the
/// library would take as well.
pub(super) fn parse_guid(text: &str) -> Option<Uuid> {
    (text.len() == uuid::fmt::Hyphenated::LENGTH)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}
