//! Cuts JSON as its bytes come, so that no more is ever held than what is kept.
//!
//! It is no parser: what is no JSON stays none, and whoever reads what is left says so.

use super::shape::{MAX_DEPTH, Shape, Verdict};
use super::text::{Byte, Text};

/// A name that is longer than this (in bytes, as it is written) is the name of nothing that is read.
const MAX_NAME: usize = 512;

/// No number and no word is longer.
const MAX_WORD: usize = 64;

/// Cuts one JSON value after the other to a shape.
#[derive(Debug)]
pub(super) struct Cutter {
    root: &'static Shape,
    /// What is kept and not given out yet.
    kept: Vec<u8>,
    /// Objects and lists that are open and kept.
    open: Vec<Open>,
    state: State,
    /// What is kept of the value that comes next; None for nothing.
    next: Option<&'static Shape>,
    name: Vec<u8>,
    /// Items that are open and may yet be dropped.
    undecided: usize,
}

#[derive(Debug)]
struct Open {
    shape: &'static Shape,
    is_object: bool,
    /// What was kept of it so far.
    kept: usize,
    /// Of these, fields without a name of their own.
    others: usize,
    /// Where its last item begins, comma included, when that may be dropped.
    item: Option<usize>,
}

#[derive(Debug)]
enum State {
    /// Before a value, or the end of a list.
    Value,
    Text(Text),
    /// In a number or a word that is kept.
    Word(usize),
    /// Before the name of a field, or the end of an object.
    Name,
    InName {
        is_escaped: bool,
    },
    /// After a value.
    After,
    /// In a value that is not kept.
    Dropped(Dropped),
}

#[derive(Debug, Default)]
struct Dropped {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    /// An empty value was kept in its place, and it ends with the end of that.
    is_hollow: bool,
}

impl Cutter {
    pub(super) fn new(root: &'static Shape) -> Self {
        Self {
            root,
            kept: Vec::new(),
            open: Vec::new(),
            state: State::Value,
            next: Some(root),
            name: Vec::new(),
            undecided: 0,
        }
    }

    /// Takes the next bytes, and gives what is certain to be kept.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = bytes;
        loop {
            if let State::Dropped(dropped) = &self.state {
                rest = dropped.skip(rest);
            }
            let Some((&byte, after)) = rest.split_first() else {
                break;
            };
            self.byte(byte);
            rest = after;
        }
        if self.undecided > 0 {
            return Vec::new();
        }
        std::mem::take(&mut self.kept)
    }

    fn byte(&mut self, byte: u8) {
        match &mut self.state {
            State::Text(text) => match text.push(byte) {
                Byte::Kept => self.kept.push(byte),
                Byte::Dropped => {}
                Byte::End => {
                    if let Some(mark) = text.mark() {
                        self.kept.extend_from_slice(mark.as_bytes());
                    }
                    self.kept.push(b'"');
                    self.value_ended();
                }
            },
            State::Word(left) => match byte {
                b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' => {
                    self.value_ended();
                    self.byte(byte);
                }
                _ if *left > 0 => {
                    *left -= 1;
                    self.kept.push(byte);
                }
                _ => {}
            },
            State::InName { is_escaped } => {
                let ends = byte == b'"' && !*is_escaped;
                *is_escaped = byte == b'\\' && !*is_escaped;
                if ends {
                    self.named();
                } else if self.name.len() <= MAX_NAME {
                    self.name.push(byte);
                }
            }
            State::Dropped(dropped) => match dropped.byte(byte) {
                End::NotYet => {}
                End::Here => self.dropped(),
                End::Before => {
                    self.dropped();
                    self.byte(byte);
                }
            },
            State::Value | State::Name | State::After => self.between(byte),
        }
    }

    /// A byte outside of texts, numbers, words and what is dropped.
    fn between(&mut self, byte: u8) {
        match (byte, &self.state) {
            // The lines of a watch.
            (b'\n', _) if self.open.is_empty() => self.kept.push(byte),
            (b' ' | b'\t' | b'\r' | b'\n' | b':', _) => {}
            (b',', _) => self.state = self.within(),
            (b'}' | b']', _) => self.close(byte),
            (b'"', State::Name) => {
                self.name.clear();
                self.state = State::InName { is_escaped: false };
            }
            (_, State::Value) => self.begin(byte),
            _ => {}
        }
    }

    /// What comes after a comma, or at the beginning of what is open.
    fn within(&mut self) -> State {
        match self.open.last() {
            Some(open) if open.is_object => State::Name,
            Some(open) => {
                self.next = open.shape.item(open.kept);
                State::Value
            }
            None => {
                self.next = Some(self.root);
                State::Value
            }
        }
    }

    /// The name of a field is read.
    fn named(&mut self) {
        self.state = State::Value;
        self.next = None;
        let Some(open) = self.open.last_mut() else {
            return;
        };
        if self.name.len() > MAX_NAME {
            return;
        }
        let Some(field) = open.shape.field(&self.name, open.kept, open.others) else {
            return;
        };
        self.next = Some(field.shape);
        if open.kept > 0 {
            self.kept.push(b',');
        }
        open.kept += 1;
        open.others += usize::from(field.is_other);
        self.kept.push(b'"');
        self.kept.extend_from_slice(&self.name);
        self.kept.extend_from_slice(b"\":");
    }

    /// A value begins with this byte.
    fn begin(&mut self, byte: u8) {
        let Some(shape) = self.next else {
            self.state = State::Dropped(Dropped::default());
            return self.byte(byte);
        };
        if let Some(list) = self.open.last_mut().filter(|open| !open.is_object) {
            if list.shape.judge().is_some() {
                list.item = Some(self.kept.len());
                self.undecided += 1;
            }
            if list.kept > 0 {
                self.kept.push(b',');
            }
            list.kept += 1;
        }
        self.kept.push(byte);
        self.state = match byte {
            b'"' => State::Text(Text::new(shape.characters())),
            b'{' | b'[' => self.opened(byte == b'{', shape),
            _ => State::Word(MAX_WORD),
        };
    }

    fn opened(&mut self, is_object: bool, shape: &'static Shape) -> State {
        let fits = if is_object {
            shape.is_for_objects()
        } else {
            shape.is_for_lists()
        };
        if !fits || self.open.len() >= MAX_DEPTH {
            self.kept.push(if is_object { b'}' } else { b']' });
            return State::Dropped(Dropped {
                depth: 1,
                is_hollow: true,
                ..Dropped::default()
            });
        }
        self.open.push(Open {
            shape,
            is_object,
            kept: 0,
            others: 0,
            item: None,
        });
        self.within()
    }

    fn close(&mut self, byte: u8) {
        if self.open.pop().is_some() {
            self.kept.push(byte);
            self.value_ended();
        }
    }

    /// A value that was not kept has ended.
    fn dropped(&mut self) {
        let hollow = matches!(&self.state, State::Dropped(dropped) if dropped.is_hollow);
        if hollow {
            self.value_ended();
        } else {
            self.state = State::After;
        }
    }

    /// A value that was kept has ended: an item may prove to be none that is wanted.
    fn value_ended(&mut self) {
        self.state = State::After;
        let Some(open) = self.open.last_mut() else {
            self.state = State::Value;
            self.next = Some(self.root);
            return;
        };
        let (Some(begin), Some(judge)) = (open.item.take(), open.shape.judge()) else {
            return;
        };
        self.undecided -= 1;
        let before = open.kept - 1;
        let comma = usize::from(before > 0);
        let item = self.kept.get(begin + comma..).unwrap_or_default();
        match judge(before, item) {
            Verdict::Keep => {}
            Verdict::Drop => {
                self.kept.truncate(begin);
                open.kept = before;
            }
            Verdict::Replace(item) => {
                self.kept.truncate(begin + comma);
                self.kept.extend_from_slice(&item);
            }
        }
    }
}

/// Where a value that is not kept ends.
enum End {
    NotYet,
    /// With this byte.
    Here,
    /// Before it.
    Before,
}

impl Dropped {
    /// Without what means nothing in a text: most of what is dropped.
    fn skip<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if !self.in_text || self.is_escaped {
            return bytes;
        }
        let mut seen = bytes.iter();
        let end = seen.position(|byte| matches!(byte, b'"' | b'\\'));
        bytes.get(end.unwrap_or(bytes.len())..).unwrap_or_default()
    }

    fn byte(&mut self, byte: u8) -> End {
        if self.in_text {
            self.in_text = byte != b'"' || self.is_escaped;
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            return if self.in_text || self.depth > 0 {
                End::NotYet
            } else {
                End::Here
            };
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' | b',' if self.depth == 0 => return End::Before,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    return End::Here;
                }
            }
            _ => {}
        }
        End::NotYet
    }
}
