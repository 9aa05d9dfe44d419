//! The names that everybody in a run goes by: where the services are, who signs in, what the cluster's credentials are called.

use azwib_crds::{CredentialName, Issuer};
use uuid::{Uuid, uuid};

/// Resource Manager, as the operator is told.
pub const RESOURCE_MANAGER: &str = "https://arm.simulation";
/// The token endpoint.
pub const AUTHORITY: &str = "https://entra.simulation";
/// The tenant.
pub const TENANT: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
/// Who the operator signs in as.
pub const CLIENT: Uuid = uuid!("33333333-3333-4333-8333-333333333333");
/// With which secret.
pub const SECRET: &str = "a-secret-of-the-simulation";
/// The issuer of the cluster.
pub const ISSUER: &str = "https://oidc.example/";
/// The issuer of another cluster.
pub const OTHER_ISSUER: &str = "https://elsewhere.example/";
/// The namespace of the Lease.
pub const LEASES: &str = "azwib-system";
/// The resource group of all identities.
pub const GROUP: &str = "shop";

/// A managed identity of the run, there or not.
#[derive(Debug, Clone)]
pub struct IdentityName {
    pub subscription: Uuid,
    pub name: String,
}

impl IdentityName {
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
            self.subscription, self.name
        )
    }

    pub fn scope_of_subscription(&self) -> String {
        format!("/subscriptions/{}", self.subscription)
    }
}

/// The audiences that bindings ask for.
pub const AUDIENCES: [&str; 2] = ["api://AzureADTokenExchange", "api://other"];

/// The name of our credential for an account.
pub fn our_name(namespace: &str, account: &str) -> Option<String> {
    let issuer = Issuer::parse(ISSUER).ok()?;
    Some(CredentialName::derive(&issuer, namespace, account).to_string())
}

/// The subject of an account's tokens.
pub fn subject(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// The last two parts of a path.
pub fn short(path: &str) -> String {
    let mut parts: Vec<_> = path.rsplit('/').take(3).collect();
    parts.reverse();
    parts
        .join("/")
        .replace("federatedIdentityCredentials", "fic")
}

/// Whom the Lease names, for this replica.
pub fn replica(number: u32) -> String {
    format!("replica-{number}")
}

/// The replica that the Lease names.
pub fn replica_of(holder: &str) -> Option<u32> {
    holder.strip_prefix("replica-")?.parse().ok()
}
