//! The fields of a ServiceAccount that are azwib's: annotations, labels and the reference to an owner.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// Annotation that names the client id; read by the azure-workload-identity webhook.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// Annotation that names the tenant id; read by the webhook.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";
/// Annotation with the lifetime of projected tokens, in seconds; read by the webhook.
pub const TOKEN_EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";

/// All of them.
pub(in crate::binding) const ANNOTATIONS: [&str; 3] = [CLIENT_ID, TENANT_ID, TOKEN_EXPIRATION];

/// The label that marks what azwib has made, as status calls it. It is ours alone: policies own the common one.
pub(super) const ORIGIN: &str = "azwib.dev/origin";
pub(super) const CREATED: &str = "Created";

/// The common label that says who manages an object; what older versions marked accounts with. It is given to a new account
/// and kept as long as nobody else takes it.
pub(in crate::binding) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// A reference to a binding as the owner of an account.
pub(in crate::binding) fn owner_reference_to(binding: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "azwib.dev/v1alpha1".to_owned(),
        kind: "WorkloadIdentityBinding".to_owned(),
        name: binding.to_owned(),
        uid: uid.to_owned(),
        controller: None,
        block_owner_deletion: None,
    }
}
