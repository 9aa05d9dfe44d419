//! Who may bind what. A grant says which identities of Azure the bindings of which namespaces may use; a binding that no grant
//! covers gets nothing. There is no client and no clock here.
//!
//! An `IdentityGrant` is parsed into a [`Grant`]; all of them are the [`Grants`], which find those that cover a [`Request`]. What
//! they say is a [`Verdict`]. All of that is plain: values in, values out. The [`Authority`] is what this process knows of grants and
//! namespaces, from its watches; whether that is asked at all is the [`Mode`].
//!
//! What follows for a binding is in `binding/grants/`.

mod account_names;
mod authority;
mod grants;
mod known;
mod mode;
mod quota;
mod reserved;
mod terms;
mod verdict;

pub use authority::{Authority, CannotTell, Concerns};
pub use grants::Grants;
pub use known::{Change, GuardedGrant, SeenGrant};
pub use mode::Mode;
pub use quota::{QuotaReached, Used};
pub use reserved::{OwnNamespace, Reserved, is_own};
pub use terms::{Grant, InvalidGrant, Labels, Request};
pub use verdict::{Missing, Verdict};
