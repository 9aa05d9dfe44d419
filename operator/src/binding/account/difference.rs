//! In what an account differs from what it should carry. Pure.

use std::fmt;

use super::configuration::AccountConfiguration;
use super::existing::ExistingAccount;
use crate::azure::safe_line;

/// A longer value is cut: no client id, tenant id or lifetime is, and whoever edits an account may write anything.
const MAX_CHARS: usize = 80;

/// A field that an account does not carry as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub field: Field,
    pub asked: String,
    pub found: Option<String>,
}

/// A field of an account that azwib writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Annotation(&'static str),
    /// The reference to the binding of this name as an owner.
    Owner(String),
    /// What is told of the account besides.
    Labels,
    /// The account as a whole: it is gone.
    Account,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(key) => write!(f, "its annotation {key}"),
            Self::Owner(binding) => write!(f, "its owner reference to the binding \"{binding}\""),
            Self::Labels => f.write_str("its labels or their owner"),
            Self::Account => f.write_str("the account itself"),
        }
    }
}

impl Difference {
    /// The two values, or that nothing was asked for.
    pub fn told(&self) -> String {
        let Self { field, asked, .. } = self;
        let found = self.found();
        if asked.is_empty() {
            format!("{field} was removed, and came back as {found}")
        } else {
            format!("{field} should be \"{asked}\", and is {found}")
        }
    }

    /// What was found, as a message has it.
    pub fn found(&self) -> String {
        let found = self.found.as_deref();
        found.map_or_else(|| "nothing".to_owned(), |value| format!("\"{value}\""))
    }
}

/// What has been changed about an account that azwib had written, and by whom as far as that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub field: Field,
    pub by: Option<String>,
    /// The annotations that have another value, with the one that they should have. That somebody else owns a field, or the account, no
    /// pod notices.
    pub annotations: Vec<String>,
}

impl AccountConfiguration {
    /// The values that the account does not carry as it should.
    ///
    /// Labels are left out: nobody depends on their values, and policies may own them.
    pub fn differences(&self, existing: &ExistingAccount) -> impl Iterator<Item = Difference> {
        let annotations = self.annotations.iter().filter_map(|(key, asked)| {
            let found = existing.annotation(key);
            (found != Some(asked.as_str())).then(|| Difference {
                field: Field::Annotation(key),
                asked: asked.clone(),
                found: found.map(shown),
            })
        });
        let missing = existing.missing(&self.owner_references);
        let owners = missing.map(|reference| Difference {
            field: Field::Owner(reference.name.clone()),
            asked: reference.uid.clone(),
            found: None,
        });
        annotations.chain(owners)
    }

    /// The fields that azwib removed and that the API server returned all the same. Only fields that azwib alone had applied `before` are compared.
    pub fn unreleased<'a>(
        &'a self,
        before: &'a ExistingAccount,
        answer: &'a ExistingAccount,
    ) -> impl Iterator<Item = Difference> + 'a {
        let taken_off = before
            .carried_annotations()
            .filter(|(key, _)| !self.annotations.contains_key(key))
            .filter(|(key, _)| before.other_owner(key).is_none());
        let annotations = taken_off.filter_map(|(key, _)| {
            let found = answer.annotation(key)?;
            Some(Difference {
                field: Field::Annotation(key),
                asked: String::new(),
                found: Some(shown(found)),
            })
        });
        let asked = self.owner_uids();
        let owners = answer
            .own_references()
            .filter(move |it| !asked.contains(it.uid.as_str()));
        let owners = owners.map(|reference| Difference {
            field: Field::Owner(reference.name),
            asked: String::new(),
            found: Some(shown(&reference.uid)),
        });
        annotations.chain(owners)
    }

    /// What has been changed about an account that carried this configuration before. `existing` is None if the account is gone.
    pub fn drift(&self, existing: Option<&ExistingAccount>) -> Drift {
        let Some(existing) = existing else {
            return Drift {
                field: Field::Account,
                by: None,
                annotations: vec![],
            };
        };
        let field = match self.differences(existing).next() {
            Some(difference) => difference.field,
            // An annotation that we have written, and another has written too since.
            None => self
                .annotations
                .keys()
                .find(|key| {
                    !existing
                        .applied_annotations()
                        .any(|applied| applied == **key)
                })
                .map_or(Field::Labels, |key| Field::Annotation(key)),
        };
        let by = match &field {
            Field::Annotation(key) => existing.other_owner(key),
            _ => None,
        };
        Drift {
            by: by.or(existing.last_editor()).map(str::to_owned),
            annotations: self
                .differences(existing)
                .filter_map(|it| match it.field {
                    Field::Annotation(key) => Some(format!("{key}={}", it.asked)),
                    _ => None,
                })
                .collect(),
            field,
        }
    }
}

fn shown(value: &str) -> String {
    let line = safe_line(value);
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
