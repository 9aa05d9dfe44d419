use thiserror::Error;

use super::client_id::parse_guid;
use super::text::impl_name;

/// A GUID that names something in Microsoft Entra, such as a tenant or a principal: kept and shown in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(String);

/// Why a text is no GUID of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidGuid {
    /// The text is not a GUID in its usual form.
    #[error("this is not a GUID of the form 00000000-0000-0000-0000-000000000000")]
    NotAGuid,
    /// The GUID of zeros, which names nothing.
    #[error("the GUID of zeros names nothing")]
    Nil,
}

impl Guid {
    /// Reads a GUID of the form `00000000-0000-0000-0000-000000000000`, in any case, that is not zero.
    ///
    /// # Errors
    /// For everything else, other spellings of a GUID included.
    pub fn parse(text: &str) -> Result<Self, InvalidGuid> {
        let guid = parse_guid(text).ok_or(InvalidGuid::NotAGuid)?;
        if guid.is_nil() {
            return Err(InvalidGuid::Nil);
        }
        Ok(Self(guid.hyphenated().to_string()))
    }

    /// The GUID in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl_name!(Guid, InvalidGuid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_has_one_form_and_is_not_zero() {
        let guid = Guid::parse("AAAAAAAA-0000-4000-8000-000000000001");
        assert_eq!(
            guid.map(|it| it.to_string()),
            Ok("aaaaaaaa-0000-4000-8000-000000000001".to_owned())
        );
        assert_eq!(
            Guid::parse("00000000-0000-0000-0000-000000000000"),
            Err(InvalidGuid::Nil)
        );
        for text in [
            "",
            "x",
            "aaaaaaaa00004000800000000000000a",
            "{aaaaaaaa-0000-4000-8000-00000000000a}",
            "aaaaaaaa-0000-4000-8000-00000000000a\n",
            " aaaaaaaa-0000-4000-8000-00000000000",
            "aaaaaaaa-0000-4000-8000-00000000000\u{0}",
        ] {
            assert_eq!(Guid::parse(text), Err(InvalidGuid::NotAGuid), "{text:?}");
        }
    }
}
