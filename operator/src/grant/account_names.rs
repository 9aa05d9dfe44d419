//! The ServiceAccounts that a grant is for.

use std::collections::HashSet;

/// Names of ServiceAccounts, and beginnings of such names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AccountNames {
    names: HashSet<String>,
    prefixes: Vec<String>,
}

impl AccountNames {
    /// From the texts of a grant: a name, or a prefix and a `*`. `None` where one is a lone `*`, which would be all accounts: that is
    /// what a grant without names says.
    pub(super) fn parse(texts: &[String]) -> Option<Self> {
        let mut parsed = Self::default();
        for text in texts {
            match text.strip_suffix('*') {
                Some("") => return None,
                Some(prefix) => parsed.prefixes.push(prefix.to_owned()),
                None => drop(parsed.names.insert(text.clone())),
            }
        }
        Some(parsed)
    }

    /// Whether an account of this name is among them.
    pub(super) fn include(&self, name: &str) -> bool {
        self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}
