//! Tokens for Resource Manager, from `azure_identity`.

mod cache;
mod legacy;
mod sign_in;
mod token;

use std::path::PathBuf;

pub use azure_core::credentials::Secret;
use azwib_crds::ClientId;

use self::cache::TokenCache;
use super::error::AzureError;

pub(crate) use self::{
    legacy::LegacyCredential,
    sign_in::{SignIn, SignInOptions},
    token::BearerToken,
};

/// How the operator signs in. There is no chain of tries: what is configured is used, or fails with its own message.
#[derive(Debug, Clone)]
pub enum AuthConfig {
    /// The token of a Kubernetes ServiceAccount is exchanged, as azwib's own bindings do it for workloads.
    WorkloadIdentity {
        /// The managed identity or application to sign in as.
        client_id: ClientId,
        /// Its tenant: a GUID or a domain name.
        tenant_id: String,
        /// The projected token; read anew for each exchange, since the kubelet replaces it.
        token_file: PathBuf,
    },
    /// The instance metadata service of an Azure virtual machine.
    ManagedIdentity {
        /// A user-assigned identity; `None` for the machine's own.
        client_id: Option<ClientId>,
    },
    /// An application's client secret.
    ClientSecret {
        /// The application's tenant: a GUID or a domain name.
        tenant_id: String,
        /// The application.
        client_id: ClientId,
        /// Its secret; it prints as `Secret`.
        secret: Secret,
    },
    /// Whoever is logged in to the Azure CLI: for development.
    AzureCli,
}

/// Where the token enters a request.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// In our transport, where nothing logs it: the only way that the operator uses.
    BelowTheLogLine,
    /// In the old client, which logs it: for the test that shows that the guard matters.
    InsideTheClient,
}

/// Gives out tokens and renews them.
#[derive(Debug)]
pub(crate) struct TokenSource {
    sign_in: SignIn,
    cache: TokenCache,
}

impl TokenSource {
    pub(crate) fn new(sign_in: SignIn) -> Self {
        Self {
            sign_in,
            cache: TokenCache::default(),
        }
    }

    /// A token that is good for some time to come. Callers at the same time share one request, and its failure.
    pub(crate) async fn token(&self) -> Result<BearerToken, AzureError> {
        self.cache.get(|| self.sign_in.sign_in()).await
    }

    /// Another token than `refused`, which Resource Manager did not take.
    pub(crate) async fn replace(&self, refused: &BearerToken) -> Result<BearerToken, AzureError> {
        self.cache.forget(refused).await;
        self.token().await
    }
}
