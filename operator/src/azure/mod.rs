//! The only code that speaks to Azure.
//!
//! [`IdentityService`] is the port: the rest of the operator sees nothing but this trait, its plain types and
//! [`AzureError`]. [`msi`] implements it over `azure_mgmt_msi`; [`auth`] gets tokens from `azure_identity`;
//! `transport` is the one HTTP client under both, and the place where the token enters a request.

pub mod auth;
pub mod cloud;
pub mod error;
pub mod metrics;
pub mod msi;
mod retry_after;
mod transport;

use self::auth::Claims;
use async_trait::async_trait;
use azwib_crds::{Audience, ClientId, CredentialName, Guid, Issuer, ManagedIdentityId, Subject};
use futures::stream::BoxStream;

pub use error::{AzureError, AzureErrorKind, Cause};
pub(crate) use error::{azure_errors, safe_line};
#[cfg(test)]
pub(crate) use retry_after::RetryAfter;
#[doc(hidden)]
pub use transport::{Exchange, NoReply, Reply, allowed};
#[cfg(feature = "otlp")]
pub(crate) use transport::{Http, HttpOptions};

/// What Azure says about a user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The resource id as it was asked for: Azure's own spelling of it differs in case.
    pub id: ManagedIdentityId,
    /// The application (client) id that a workload signs in with.
    pub client_id: ClientId,
    /// The object id of the service principal: what role assignments name.
    pub principal_id: Guid,
    /// The Entra tenant that the identity belongs to.
    pub tenant_id: Guid,
}

/// One entry of an identity's list of federated identity credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCredential {
    /// The name as Azure spells it; other tools' names need not follow our rules.
    pub name: String,
    /// `None` for a flexible credential (a claims expression instead of a subject) or one whose parts we do not
    /// understand: it takes a slot of the identity, and nothing else can be said about it.
    pub content: Option<CredentialContent>,
}

/// Whom a federated identity credential trusts. Entra compares each part byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CredentialContent {
    /// The `iss` claim of the tokens that are trusted.
    pub issuer: String,
    /// The `sub` claim of the tokens that are trusted.
    pub subject: String,
    /// The `aud` claims that are accepted; Azure takes exactly one.
    pub audiences: Vec<String>,
}

impl CredentialContent {
    /// The content that trusts `subject` of `issuer` for one `audience`.
    pub fn new(issuer: &Issuer, subject: &Subject, audience: &Audience) -> Self {
        Self {
            issuer: issuer.as_str().to_owned(),
            subject: subject.as_str().to_owned(),
            audiences: vec![audience.as_str().to_owned()],
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialPage {
    pub credentials: Vec<ListedCredential>,
    /// Whether another page follows, which is another request.
    pub has_next: bool,
}

/// The pages of a listing, each of which is one request when it is asked for.
pub type CredentialPages<'a> = BoxStream<'a, Result<CredentialPage, AzureError>>;

/// What a PUT did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// There was no credential of that name (201).
    Created,
    /// One was replaced, perhaps by the same content (200).
    Updated,
}

/// What a DELETE did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The credential was there and is gone (200).
    Deleted,
    /// There was no credential of that name (204).
    DidNotExist,
}

/// Azure's managed identities and their federated identity credentials.
///
/// Each call is one try: it neither retries nor waits, except that an expired or
/// revoked token is replaced once. Azure has no optimistic concurrency here and refuses two writes to one identity
/// at a time, so the caller keeps writes to one identity apart.
#[async_trait]
pub trait IdentityService: Send + Sync + 'static {
    /// Whom the operator acts as, as far as it has signed in; nothing is sent.
    async fn signed_in_as(&self) -> Option<Claims> {
        None
    }

    /// Reads a managed identity.
    ///
    /// # Errors
    /// [`AzureErrorKind::ParentNotFound`] if it, its resource group or its subscription does not exist.
    async fn get_identity(&self, id: &ManagedIdentityId) -> Result<Identity, AzureError>;

    /// Lists all federated identity credentials of an identity, those of others included, page by page.
    ///
    /// Nothing is sent before the stream is polled, and each page is one request: the caller sets the pace. An error ends
    /// the listing; what came before it is not the whole.
    ///
    /// # Errors
    /// [`AzureErrorKind::ParentNotFound`] if the identity does not exist.
    fn list_credentials<'a>(&'a self, id: &ManagedIdentityId) -> CredentialPages<'a>;

    /// Reads one federated identity credential; `None` if the identity has none of this name.
    ///
    /// # Errors
    /// [`AzureErrorKind::ParentNotFound`] if the identity does not exist.
    async fn get_credential(
        &self,
        id: &ManagedIdentityId,
        name: &CredentialName,
    ) -> Result<Option<ListedCredential>, AzureError>;

    /// Creates a federated identity credential or replaces the one of that name.
    ///
    /// # Errors
    /// Where [`AzureError::outcome_unknown`] is true the write may have taken effect.
    async fn put_credential(
        &self,
        id: &ManagedIdentityId,
        name: &CredentialName,
        content: &CredentialContent,
    ) -> Result<Put, AzureError>;

    /// Deletes a federated identity credential; one that does not exist is no error.
    ///
    /// # Errors
    /// [`AzureErrorKind::ParentNotFound`] if the identity itself does not exist. Where
    /// [`AzureError::outcome_unknown`] is true the deletion may have taken effect.
    async fn delete_credential(
        &self,
        id: &ManagedIdentityId,
        name: &CredentialName,
    ) -> Result<Deleted, AzureError>;
}
