//! A JSON text that is read byte by byte and kept up to a number of characters.

use std::hash::{DefaultHasher, Hasher};

/// A text between its quotation marks.
#[derive(Debug)]
pub(super) struct Text {
    /// Characters that are left to be kept.
    left: usize,
    /// Of all of it: what is cut differently is told apart.
    hash: DefaultHasher,
    is_cut: bool,
    escape: Escape,
    /// The first half of a character that takes two escapes has just been read.
    is_half: bool,
}

/// Where in an escape the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// After the backslash.
    Begun,
    /// Before the nth hexadecimal digit.
    Digit(u8),
}

/// What a byte means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Byte {
    Kept,
    Dropped,
    /// The quotation mark at the end.
    End,
}

impl Text {
    /// After the quotation mark at its beginning.
    pub(super) fn new(characters: usize) -> Self {
        Self {
            left: characters,
            hash: DefaultHasher::new(),
            is_cut: false,
            escape: Escape::None,
            is_half: false,
        }
    }

    pub(super) fn push(&mut self, byte: u8) -> Byte {
        let begins = match (self.escape, byte) {
            (Escape::None, b'"') => return Byte::End,
            (Escape::None, b'\\') => {
                self.escape = Escape::Begun;
                !std::mem::take(&mut self.is_half)
            }
            // The bytes of a character after its first.
            (Escape::None, 0x80..=0xbf) => false,
            (Escape::None, _) => {
                self.is_half = false;
                true
            }
            (Escape::Begun, b'u') => {
                self.escape = Escape::Digit(0);
                false
            }
            (Escape::Digit(0), _) => {
                self.is_half = matches!(byte, b'd' | b'D');
                self.escape = Escape::Digit(1);
                false
            }
            (Escape::Digit(1), _) => {
                self.is_half &= matches!(byte, b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B');
                self.escape = Escape::Digit(2);
                false
            }
            (Escape::Begun | Escape::Digit(3), _) => {
                self.escape = Escape::None;
                false
            }
            (Escape::Digit(digit), _) => {
                self.escape = Escape::Digit(digit + 1);
                false
            }
        };
        self.hash.write_u8(byte);
        if begins && !self.is_cut {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => self.is_cut = true,
            }
        }
        if self.is_cut {
            Byte::Dropped
        } else {
            Byte::Kept
        }
    }

    /// What stands for the rest of a text that was cut.
    pub(super) fn mark(&self) -> Option<String> {
        self.is_cut.then(|| format!("…{:016x}", self.hash.finish()))
    }
}
