use std::borrow::Cow;

use thiserror::Error;

use super::credential_property::{
    MAX_CREDENTIAL_PROPERTY_CHARS, PropertyFault, check_credential_property,
};
use super::text::impl_name;

/// The audience that the webhook asks tokens for and that the Azure SDKs expect, in every Azure cloud.
///
/// Source: azure-workload-identity, `pkg/webhook/consts.go`.
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The audience (`aud`) that a ServiceAccount token must carry to be exchanged. Compared exactly, case included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audience(Cow<'static, str>);

/// Why a text is no audience.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidAudience {
    /// Nothing was given.
    #[error("the audience is empty")]
    Empty,
    /// Azure refuses more than 600 characters.
    #[error(
        "the audience has {0} characters; Azure accepts at most {MAX_CREDENTIAL_PROPERTY_CHARS}"
    )]
    TooLong(usize),
    /// Entra compares exactly, so a space at either end would never match.
    #[error("the audience begins or ends with whitespace; remove it")]
    SurroundingWhitespace,
    /// A line break or another control character.
    #[error("the audience contains a control character, such as a line break; remove it")]
    ControlCharacter,
}

impl From<PropertyFault> for InvalidAudience {
    fn from(fault: PropertyFault) -> Self {
        match fault {
            PropertyFault::Empty => Self::Empty,
            PropertyFault::TooLong(chars) => Self::TooLong(chars),
            PropertyFault::SurroundingWhitespace => Self::SurroundingWhitespace,
            PropertyFault::ControlCharacter => Self::ControlCharacter,
        }
    }
}

impl Audience {
    /// Reads an audience of 1 to 600 characters.
    ///
    /// # Errors
    /// For an empty or too long text, whitespace at either end, and control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidAudience> {
        check_credential_property(text)?;
        Ok(Self(match text {
            // Most have this one, and there may be many.
            DEFAULT_AUDIENCE => Cow::Borrowed(DEFAULT_AUDIENCE),
            _ => Cow::Owned(text.to_owned()),
        }))
    }

    /// The audience as it is sent to Azure.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl_name!(Audience, InvalidAudience);
