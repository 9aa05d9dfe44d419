//! Microsoft Entra: discovery documents and the token endpoint of one tenant.

mod arrival;
mod assertion;
mod discovery;
mod dispatch;
mod error;
mod propagation;
mod token;
mod token_request;

pub(crate) use self::arrival::{Admitted, AdmittedResult};
pub use self::assertion::IssuerDocuments;
