//! Who may bind what. A grant says which identities of Azure the bindings of which namespaces may use; a binding that no grant
//! covers gets nothing. Everything here is plain: values in, values out, no client and no clock.
//!
//! An `IdentityGrant` is parsed into a [`Grant`]; all of them are the [`Grants`], which find those that cover a [`Request`]. What
//! a binding is told is a [`Verdict`].

mod account_names;
mod grants;
mod terms;
mod verdict;

pub use grants::Grants;
pub use terms::{Grant, InvalidGrant, Labels, Request, concerns};
pub use verdict::{Missing, Verdict};
