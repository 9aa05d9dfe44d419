//! The API of azwib: its custom resources, the rules that the API server checks for them, and the names they are made of.
//!
//! No client and no runtime live here, so that tools can use the types without bringing either in. The version feature of
//! `k8s-openapi` is left to the binary that links this crate.

mod binding;
mod crd;
mod grant;
pub mod names;
#[cfg(any(test, feature = "crdgen"))]
mod reference;
mod schema;
mod status;
#[cfg(any(test, feature = "crdgen"))]
mod values_schema;

pub use binding::{
    CredentialAdoption, CredentialSpec, DEFAULT_TOKEN_EXPIRATION_SECONDS, DeletionPolicy,
    IdentityReference, ServiceAccountCreation, ServiceAccountRole, ServiceAccountSpec,
    WorkloadIdentityBinding, WorkloadIdentityBindingSpec,
};
#[cfg(feature = "crdgen")]
pub use crd::crd_yaml;
pub use crd::{binding_crd, crd_file_name, crds, grant_crd};
pub use grant::{
    GrantedIdentities, GrantedNamespaces, GrantedServiceAccounts, IdentityGrant, IdentityGrantSpec,
    IdentityGrantStatus, NamespaceSelector, NoMatchExpression,
};
pub use names::{
    Audience, AzureScope, ClientId, CredentialName, DEFAULT_AUDIENCE, Guid, InvalidAudience,
    InvalidAzureScope, InvalidClientId, InvalidCredentialName, InvalidGuid, InvalidIssuer,
    InvalidManagedIdentityId, InvalidSubject, Issuer, MAX_CREDENTIAL_PROPERTY_CHARS,
    ManagedIdentityId, Subject,
};
#[cfg(any(test, feature = "crdgen"))]
pub use reference::updated_page;
pub use schema::{
    MAX_CONDITIONS, MAX_CREDENTIALS_PER_IDENTITY, MAX_MATCH_LABELS, MAX_NAMESPACES, MAX_SCOPES,
    MAX_SERVICE_ACCOUNTS,
};
pub use status::{
    CredentialOrigin, MAX_CREDENTIALS, RecordedCredential, ResolvedIdentity, ServiceAccountOrigin,
    ServiceAccountStatus, WorkloadIdentityBindingStatus,
};
#[cfg(any(test, feature = "crdgen"))]
pub use values_schema::grants_values_schema;
