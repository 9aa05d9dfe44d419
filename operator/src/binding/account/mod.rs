//! The ServiceAccount of a binding: which bindings count for it, what it should carry, how it is read and written.
//!
//! All but [`api`], [`error`] and [`contests`] is pure.

pub mod api;
mod bindings;
mod configuration;
pub mod contests;
mod difference;
pub mod error;
mod existing;
mod keeper;
mod marks;

pub use bindings::BINDINGS_OF_AN_ACCOUNT;
pub use bindings::{AccountBinding, account_binding, account_binding_with, account_bindings};
pub use configuration::{
    AccountConfiguration, configuration, configuration_after, default_binding, origin, why_left,
};
pub use difference::{Difference, Drift, Field};
pub use existing::ExistingAccount;
pub use keeper::Keeper;
pub(super) use keeper::{OTHER_ANNOTATIONS, TRACKING_MARKS};
pub(super) use marks::{ANNOTATIONS, MANAGED_BY, owner_reference_to};
pub use marks::{CLIENT_ID, TENANT_ID, TOKEN_EXPIRATION};
