//! Whether grants are required.

/// Whether grants are required (`--grants`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A binding that no grant covers gets nothing.
    Enforce,
    /// Nothing is refused; what `Enforce` would refuse is said.
    Audit,
    /// Grants are not looked at: for a cluster with a single tenant.
    Off,
}

impl Mode {
    /// The value of the flag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
            Self::Off => "off",
        }
    }
}
