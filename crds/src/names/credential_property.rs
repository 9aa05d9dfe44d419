//! What Azure asks of the properties of a federated identity credential: issuer, subject and audience.

/// The longest issuer, subject and audience of a federated identity credential, in characters.
///
/// Source: Microsoft Entra, "Important considerations and restrictions for federated identity credentials".
pub const MAX_CREDENTIAL_PROPERTY_CHARS: usize = 600;

/// What is wrong with a text that is to become a property of a federated identity credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PropertyFault {
    Empty,
    TooLong(usize),
    SurroundingWhitespace,
    ControlCharacter,
}

/// Checks what Azure asks of a credential's subject and audience alike. Matching is exact, so nothing is trimmed here.
pub(super) fn check_credential_property(text: &str) -> Result<(), PropertyFault> {
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
