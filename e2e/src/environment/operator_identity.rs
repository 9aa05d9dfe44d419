//! The managed identity of the operator itself.

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{CredentialFixture, FederatedCredential, NewIdentity};

/// What the operator may do in Azure: the custom role of the user guide.
pub(super) const OPERATOR_ACTIONS: [&str; 4] = [
    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
];

/// Where the operator's own identity lives.
const PLATFORM_GROUP: &str = "rg-platform";

/// The operator's own identity.
pub(super) const OPERATOR_IDENTITY: &str = "azwib-operator";

/// The credential of the operator's own identity.
pub(super) const BOOTSTRAP_CREDENTIAL: &str = "bootstrap";

/// What the platform team sets up by hand: the operator's identity, trusted by a credential that azwib never touches.
pub(super) async fn operators_identity(
    control: &ControlClient,
    issuer: &str,
    name: &str,
) -> anyhow::Result<NewIdentity> {
    control.create_resource_group(PLATFORM_GROUP).await?;
    let identity = control.create_identity(PLATFORM_GROUP, name).await?;
    trust_operator(control, issuer, name).await?;
    Ok(identity)
}

/// The credential by which Azure takes the token of the operator's ServiceAccount.
pub(super) async fn trust_operator(
    control: &ControlClient,
    issuer: &str,
    identity: &str,
) -> anyhow::Result<()> {
    let credential = FederatedCredential {
        name: BOOTSTRAP_CREDENTIAL.to_owned(),
        issuer: issuer.to_owned(),
        subject: Some("system:serviceaccount:azwib-system:azwib-operator".to_owned()),
        claims_matching_expression: None,
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    };
    let fixture = CredentialFixture {
        subscription_id: None,
        resource_group: PLATFORM_GROUP.to_owned(),
        identity: identity.to_owned(),
        credential,
    };
    Ok(control.put_credential(&fixture).await?)
}
