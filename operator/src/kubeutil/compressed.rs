//! Values that are kept by the ten thousand and looked at one by one: as JSON, compressed.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value, compressed.
///
/// Of a value only that takes room in which it differs from the text of a typical one, which all of its kind share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed(Box<[u8]>);

/// Why a value is not there any more.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    #[error(transparent)]
    Text(#[from] lz4_flex::block::DecompressError),
    #[error(transparent)]
    Value(#[from] serde_json::Error),
}

impl Compressed {
    /// Compresses a value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn of(value: &impl Serialize, typical: &[u8]) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(value)?;
        Ok(Self(compress_prepend_size_with_dict(&json, typical).into()))
    }

    /// The value; `typical` is what it was compressed with.
    ///
    /// # Errors
    /// It was compressed with something else.
    pub fn value<T: DeserializeOwned>(&self, typical: &[u8]) -> Result<T, Damaged> {
        let json = decompress_size_prepended_with_dict(&self.0, typical)?;
        Ok(serde_json::from_slice(&json)?)
    }

    /// How many bytes it takes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPICAL: &[u8] = br#"{"name":"orders","message":"the grant is in force"}"#;

    #[test]
    fn a_value_comes_back_and_takes_no_room_for_what_is_typical() {
        let value = serde_json::json!({ "name": "invoices", "message": "the grant is in force" });
        let compressed = Compressed::of(&value, TYPICAL).unwrap();
        assert!(compressed.bytes() < 32, "{}", compressed.bytes());
        let back: serde_json::Value = compressed.value(TYPICAL).unwrap();
        assert_eq!(back, value);
    }

    #[test]
    fn what_was_compressed_with_something_else_is_damaged() {
        let compressed = Compressed::of(&"the grant is in force", TYPICAL).unwrap();
        assert!(compressed.value::<String>(b"").is_err());
        assert!(compressed.value::<u64>(TYPICAL).is_err());
    }
}
