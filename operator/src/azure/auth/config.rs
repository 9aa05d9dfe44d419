//! How the operator signs in, as configured.

use std::path::PathBuf;

use azure_core::credentials::Secret;
use azwib_crds::ClientId;

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
