//! What is kept of a JSON value.

use std::borrow::Cow;

/// Nothing is nested deeper than this in what is kept.
pub const MAX_DEPTH: usize = 32;

/// What is kept of a JSON value. What meets a value of another kind keeps an empty one of that kind, so that a reader finds
/// the mistake that is there.
#[derive(Debug)]
pub enum Shape {
    /// A text, a number or a word; of a longer text this many characters, and a mark that tells it from others.
    Text(usize),
    Fields(Fields),
    Items(Items),
    /// Everything, within bounds.
    Any,
}

/// What is kept of an object.
#[derive(Debug)]
pub struct Fields {
    /// By name, in any order.
    pub known: Vec<(Cow<'static, str>, Shape)>,
    pub others: Option<Others>,
}

/// Fields that have no name of their own.
#[derive(Debug)]
pub struct Others {
    pub shape: Box<Shape>,
    /// The first of them are kept.
    pub at_most: usize,
    /// Whether it may be one of them, by its name.
    pub named: fn(&[u8]) -> bool,
}

/// What is kept of a list.
#[derive(Debug)]
pub struct Items {
    pub shape: Box<Shape>,
    /// The first of them are kept.
    pub at_most: usize,
    /// What becomes of an item that was cut itself, when so many before it were kept; without this it is kept.
    pub judge: Option<Judge>,
}

/// Judges an item of a list by what is left of it, and by how many before it were kept.
pub type Judge = fn(usize, &[u8]) -> Verdict;

/// What becomes of an item of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Drop,
    /// This takes its place.
    Replace(Vec<u8>),
}

/// Bounds of what is kept whole.
const TEXT_OF_ANY: usize = 4096;
const FIELDS_OF_ANY: usize = 64;

impl Shape {
    /// Only these fields.
    pub fn fields<const N: usize>(known: [(&'static str, Self); N]) -> Self {
        let known = known.map(|(name, shape)| (Cow::Borrowed(name), shape));
        Self::Fields(Fields {
            known: known.into(),
            others: None,
        })
    }

    /// All items, each cut to this.
    pub fn list(shape: Self) -> Self {
        Self::items(shape, usize::MAX)
    }

    /// The first items, each cut to this.
    pub fn items(shape: Self, at_most: usize) -> Self {
        Self::Items(Items {
            shape: Box::new(shape),
            at_most,
            judge: None,
        })
    }

    /// What is kept of the field; None for nothing. `others`: how many fields without a name of their own were kept.
    pub(super) fn field(&'static self, name: &[u8], kept: usize, others: usize) -> Option<Kept> {
        match self {
            Self::Any => (kept < FIELDS_OF_ANY).then_some(Kept::known(self)),
            Self::Fields(fields) => {
                let known = fields.known.iter();
                if let Some((_, shape)) = known.into_iter().find(|it| it.0.as_bytes() == name) {
                    return Some(Kept::known(shape));
                }
                let other = fields.others.as_ref();
                let other = other.filter(|it| others < it.at_most && (it.named)(name))?;
                Some(Kept {
                    shape: &other.shape,
                    is_other: true,
                })
            }
            Self::Text(_) | Self::Items(_) => None,
        }
    }

    /// What is kept of the next item, when so many were.
    pub(super) fn item(&'static self, kept: usize) -> Option<&'static Self> {
        match self {
            Self::Any => (kept < FIELDS_OF_ANY).then_some(self),
            Self::Items(items) => (kept < items.at_most).then_some(&*items.shape),
            Self::Text(_) | Self::Fields(_) => None,
        }
    }

    pub(super) fn judge(&self) -> Option<Judge> {
        match self {
            Self::Items(items) => items.judge,
            _ => None,
        }
    }

    pub(super) fn characters(&self) -> usize {
        match self {
            Self::Text(limit) => *limit,
            // A text in the place of something else.
            Self::Fields(_) | Self::Items(_) => 256,
            Self::Any => TEXT_OF_ANY,
        }
    }

    pub(super) fn is_for_objects(&self) -> bool {
        matches!(self, Self::Fields(_) | Self::Any)
    }

    pub(super) fn is_for_lists(&self) -> bool {
        matches!(self, Self::Items(_) | Self::Any)
    }
}

/// A field that is kept.
pub(super) struct Kept {
    pub(super) shape: &'static Shape,
    /// It has no name of its own.
    pub(super) is_other: bool,
}

impl Kept {
    fn known(shape: &'static Shape) -> Self {
        Self {
            shape,
            is_other: false,
        }
    }
}
