//! Where the Lease is.

use std::fmt;

/// Where the Lease is.
#[derive(Debug, Clone)]
pub struct Place {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
