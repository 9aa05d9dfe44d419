//! Tokens for Resource Manager, from `azure_identity`.

mod cache;
mod claims;
mod config;
mod legacy;
mod metrics;
mod sign_in;
mod source;
mod token;

pub use azure_core::credentials::Secret;

pub use self::claims::Claims;
pub use self::config::{AuthConfig, Authorization};
pub use self::metrics::SignInMetrics;
pub(crate) use self::{
    legacy::LegacyCredential,
    sign_in::{SignIn, SignInOptions},
    source::TokenSource,
    token::BearerToken,
};
