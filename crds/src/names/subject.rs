use thiserror::Error;

use super::credential_property::{
    MAX_CREDENTIAL_PROPERTY_CHARS, PropertyFault, check_credential_property,
};
use super::text::impl_name;

/// The subject (`sub`) that a token must carry to be exchanged. Compared exactly, case included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

/// Why a text is no subject.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSubject {
    /// Nothing was given.
    #[error("the subject is empty")]
    Empty,
    /// Azure refuses more than 600 characters.
    #[error(
        "the subject has {0} characters; Azure accepts at most {MAX_CREDENTIAL_PROPERTY_CHARS}"
    )]
    TooLong(usize),
    /// Entra compares exactly, so a space at either end would never match.
    #[error("the subject begins or ends with whitespace; remove it")]
    SurroundingWhitespace,
    /// A line break or another control character.
    #[error("the subject contains a control character, such as a line break; remove it")]
    ControlCharacter,
}

impl From<PropertyFault> for InvalidSubject {
    fn from(fault: PropertyFault) -> Self {
        match fault {
            PropertyFault::Empty => Self::Empty,
            PropertyFault::TooLong(chars) => Self::TooLong(chars),
            PropertyFault::SurroundingWhitespace => Self::SurroundingWhitespace,
            PropertyFault::ControlCharacter => Self::ControlCharacter,
        }
    }
}

impl Subject {
    /// The subject of the tokens of a ServiceAccount: `system:serviceaccount:<namespace>:<name>`.
    ///
    /// Both names are those of Kubernetes objects; the longest that the API server admits make 339 characters.
    pub fn of_service_account(namespace: &str, name: &str) -> Self {
        Self(format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// Reads a subject of 1 to 600 characters.
    ///
    /// # Errors
    /// For an empty or too long text, whitespace at either end, and control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidSubject> {
        check_credential_property(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Namespace and name of the ServiceAccount, where it is the subject of one.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let account = self.0.strip_prefix("system:serviceaccount:")?;
        account.split_once(':')
    }

    /// The subject as it is sent to Azure.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl_name!(Subject, InvalidSubject);
