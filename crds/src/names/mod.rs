//! Names that cannot be built wrong: what goes into a request to Azure has been parsed into one of these before.

mod audience;
mod azure_scope;
mod client_id;
mod credential_name;
mod credential_property;
mod guid;
mod issuer;
mod managed_identity_id;
mod subject;
mod text;

pub use audience::{Audience, DEFAULT_AUDIENCE, InvalidAudience};
pub use azure_scope::{AzureScope, InvalidAzureScope};
pub use client_id::{ClientId, InvalidClientId};
pub use credential_name::{CredentialName, InvalidCredentialName};
pub use credential_property::MAX_CREDENTIAL_PROPERTY_CHARS;
pub use guid::{Guid, InvalidGuid};
pub use issuer::{InvalidIssuer, Issuer};
pub use managed_identity_id::{InvalidManagedIdentityId, ManagedIdentityId};
pub use subject::{InvalidSubject, Subject};
