//! From a binding's spec to what it asks for, with every string parsed. Pure.

use std::sync::Arc;

use azwib_crds::{
    Audience, CredentialName, DEFAULT_AUDIENCE, IdentityReference, InvalidAudience,
    InvalidManagedIdentityId, Issuer, ManagedIdentityId, RecordedCredential,
    ServiceAccountCreation, ServiceAccountRole, Subject, WorkloadIdentityBinding,
};
use kube::ResourceExt;

use super::status::reason::{ConditionType, Reason};
use crate::ledger::decide::DesiredCredential;

/// Audiences of credentials that a platform makes for itself: OpenShift's token webhook, and AKS identity bindings.
const RESERVED_AUDIENCES: [&str; 2] = ["openshift", "api://AKSIdentityBinding"];

/// What of the operator's configuration a binding's meaning depends on.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The issuer of this cluster's ServiceAccount tokens; that of nobody while it is not known.
    pub issuer: Issuer,
    /// Why it is not known, where that is so. Nothing is written then but statuses.
    pub unknown_issuer: Option<Arc<str>>,
    /// Subscription of identities that are given by name alone.
    pub subscription: Option<String>,
    /// Resource group of identities that are given by name alone.
    pub resource_group: Option<String>,
}

/// What a binding asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    pub identity: ManagedIdentityId,
    pub namespace: String,
    pub service_account: String,
    pub role: ServiceAccountRole,
    pub creation: ServiceAccountCreation,
    pub credential: DesiredCredential,
}

/// Why a spec asks for something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "spec.identity.resourceId: {0}; delete this binding and create one with the id of a managed identity"
    )]
    ResourceId(#[source] InvalidManagedIdentityId),
    #[error("spec.identity: {0}; correct the name, group or subscription in a new binding")]
    IdentityParts(#[source] InvalidManagedIdentityId),
    #[error(
        "spec.identity has no {} and the operator has no default: delete this binding and create it with them, or \
         start the operator with {}",
        both(subscription.then_some("subscriptionId"), group.then_some("resourceGroup")),
        both(
            subscription.then_some("--default-subscription"),
            group.then_some("--default-resource-group")
        )
    )]
    NoDefault {
        /// Whether the subscription is missing.
        subscription: bool,
        /// Whether the resource group is missing.
        group: bool,
    },
    #[error(
        "spec.identity gives neither a resourceId nor a name: create the binding with exactly one of them"
    )]
    NoIdentity,
    #[error(
        "this binding was resolved to {recorded}, but the operator's defaults now make it {now}: nothing is changed; \
         restore --default-subscription and --default-resource-group, or delete the binding and create it again"
    )]
    IdentityChanged { recorded: String, now: String },
    #[error(
        "the credential that this binding records was made for the issuer {recorded}, but the operator runs with \
         --issuer={now}: nothing is changed; restore the issuer if it was this cluster's. If the status came from another \
         cluster (a clone, a backup), or the issuer is to stay, delete the binding and create it again: what it records is \
         left in Azure as it is, since another cluster may use it"
    )]
    IssuerChanged { recorded: String, now: String },
    #[error("spec.credential.audience: {0}")]
    Audience(#[source] InvalidAudience),
    #[error(
        "spec.credential.audience is \"{0}\", which the platform keeps for its own credentials (OpenShift, AKS identity bindings): use \
         {DEFAULT_AUDIENCE}, or an audience of your own"
    )]
    ReservedAudience(String),
}

impl Error {
    /// The condition that says so, and its reason.
    pub fn finding(&self) -> (ConditionType, Reason) {
        match self {
            Self::ResourceId(_)
            | Self::IdentityParts(_)
            | Self::NoDefault { .. }
            | Self::NoIdentity => (ConditionType::IdentityResolved, Reason::IdentityInvalid),
            Self::IdentityChanged { .. } => {
                (ConditionType::IdentityResolved, Reason::IdentityChanged)
            }
            Self::IssuerChanged { .. } => (ConditionType::IssuerReady, Reason::IssuerChanged),
            Self::Audience(_) | Self::ReservedAudience(_) => {
                (ConditionType::Ready, Reason::InvalidSpec)
            }
        }
    }
}

/// Parses the spec and completes it from the operator's defaults.
///
/// What status recorded is binding too: another identity or issuer than the recorded one is an error, not a change.
pub fn validate(binding: &WorkloadIdentityBinding, defaults: &Defaults) -> Result<Desired, Error> {
    let namespace = binding.namespace().unwrap_or_default();
    let service_account = service_account_name(binding);
    let identity = identity_id(&binding.spec.identity, defaults)?;
    let audience = Audience::parse(&binding.spec.credential.audience).map_err(Error::Audience)?;
    if RESERVED_AUDIENCES.contains(&audience.as_str()) {
        return Err(Error::ReservedAudience(audience.to_string()));
    }
    unchanged(binding, &identity, &defaults.issuer)?;
    let credential = DesiredCredential {
        name: CredentialName::derive(&defaults.issuer, &namespace, &service_account),
        issuer: defaults.issuer.clone(),
        subject: Subject::of_service_account(&namespace, &service_account),
        audience,
        adoption: binding.spec.credential.adoption,
    };
    Ok(Desired {
        identity,
        namespace,
        service_account,
        role: binding.spec.service_account.role,
        creation: binding.spec.service_account.creation,
        credential,
    })
}

/// Name of the ServiceAccount of a binding: its own name unless the spec gives another.
pub fn service_account_name(binding: &WorkloadIdentityBinding) -> String {
    binding
        .spec
        .service_account
        .name
        .clone()
        .unwrap_or_else(|| binding.name_any())
}

/// The managed identity that a reference names, completed from the operator's defaults.
pub fn identity_id(
    reference: &IdentityReference,
    defaults: &Defaults,
) -> Result<ManagedIdentityId, Error> {
    if let Some(resource_id) = &reference.resource_id {
        return ManagedIdentityId::parse(resource_id).map_err(Error::ResourceId);
    }
    let name = reference.name.as_deref().ok_or(Error::NoIdentity)?;
    let subscription = reference
        .subscription_id
        .as_deref()
        .or(defaults.subscription.as_deref());
    let group = reference
        .resource_group
        .as_deref()
        .or(defaults.resource_group.as_deref());
    let (Some(subscription), Some(group)) = (subscription, group) else {
        return Err(Error::NoDefault {
            subscription: subscription.is_none(),
            group: group.is_none(),
        });
    };
    ManagedIdentityId::new(subscription, group, name).map_err(Error::IdentityParts)
}

/// The identities that a binding has to do with for grants: the one that it names, and those on which it records credentials.
pub fn identities<'a>(
    binding: &'a WorkloadIdentityBinding,
    defaults: &Defaults,
) -> impl Iterator<Item = ManagedIdentityId> + use<'a> {
    let recorded = binding.status.iter().flat_map(|it| &it.credentials);
    let of_spec = identity_id(&binding.spec.identity, defaults).ok();
    of_spec
        .into_iter()
        .chain(recorded.filter_map(RecordedCredential::managed_identity))
}

fn both(one: Option<&str>, other: Option<&str>) -> String {
    let all: Vec<_> = one.into_iter().chain(other).collect();
    all.join(" and ")
}

fn unchanged(
    binding: &WorkloadIdentityBinding,
    identity: &ManagedIdentityId,
    issuer: &Issuer,
) -> Result<(), Error> {
    let Some(status) = &binding.status else {
        return Ok(());
    };
    if let Some(recorded) = &status.identity
        && recorded.managed_identity().as_ref() != Some(identity)
    {
        return Err(Error::IdentityChanged {
            recorded: recorded.resource_id.clone().unwrap_or_default(),
            now: identity.to_string(),
        });
    }
    match status
        .credentials
        .iter()
        .find(|credential| credential.issuer != issuer.as_str())
    {
        Some(recorded) => Err(Error::IssuerChanged {
            recorded: recorded.issuer.clone(),
            now: issuer.to_string(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

    fn defaults() -> Defaults {
        Defaults {
            issuer: Issuer::parse("https://oidc.example/").unwrap(),
            unknown_issuer: None,
            subscription: Some("00000000-0000-0000-0000-000000000001".to_owned()),
            resource_group: Some("rg".to_owned()),
        }
    }

    fn binding(yaml: &str) -> WorkloadIdentityBinding {
        let head = "{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {name: orders, namespace: shop}";
        serde_yaml_ng::from_str(&format!("{head}, {yaml}}}")).unwrap()
    }

    fn error(yaml: &str, defaults: &Defaults) -> (Reason, String) {
        let error = validate(&binding(yaml), defaults).unwrap_err();
        (error.finding().1, error.to_string())
    }

    #[test]
    fn a_minimal_spec_is_completed() {
        let desired = validate(
            &binding(&format!("spec: {{identity: {{resourceId: {ID}}}}}")),
            &defaults(),
        )
        .unwrap();
        assert_eq!(desired.identity.to_string(), ID);
        assert_eq!(desired.service_account, "orders");
        assert_eq!(
            desired.credential.subject.as_str(),
            "system:serviceaccount:shop:orders"
        );
        assert_eq!(
            desired.credential.name.as_str(),
            "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81"
        );
        assert_eq!(
            desired.credential.audience.as_str(),
            "api://AzureADTokenExchange"
        );
    }

    #[test]
    fn a_name_falls_back_to_the_operators_defaults() {
        let desired = validate(&binding("spec: {identity: {name: orders}}"), &defaults()).unwrap();
        assert_eq!(desired.identity.to_string(), ID);
    }

    #[test]
    fn a_name_without_a_default_says_which_flag_is_missing() {
        let (reason, message) = error(
            "spec: {identity: {name: orders}}",
            &Defaults {
                subscription: None,
                ..defaults()
            },
        );
        assert_eq!(reason, Reason::IdentityInvalid);
        assert!(message.contains("--default-subscription"), "{message}");
        let (_, message) = error(
            "spec: {identity: {name: orders}}",
            &Defaults {
                resource_group: None,
                ..defaults()
            },
        );
        assert!(message.contains("--default-resource-group"), "{message}");
        let neither = Defaults {
            subscription: None,
            resource_group: None,
            ..defaults()
        };
        let (_, message) = error("spec: {identity: {name: orders}}", &neither);
        assert!(
            message.contains("no subscriptionId and resourceGroup and"),
            "{message}"
        );
    }

    #[test]
    fn an_id_that_cannot_exist_is_invalid() {
        let (reason, message) = error(
            "spec: {identity: {resourceId: /subscriptions/x/y}}",
            &defaults(),
        );
        assert_eq!(reason, Reason::IdentityInvalid);
        assert!(message.contains("spec.identity.resourceId"), "{message}");
    }

    #[test]
    fn the_recorded_identity_is_binding() {
        let status = format!(
            "status: {{observedGeneration: 1, identity: {{resourceId: {ID}, clientId: c, principalId: p, tenantId: t}}}}"
        );
        let moved = Defaults {
            resource_group: Some("elsewhere".to_owned()),
            ..defaults()
        };
        let (reason, message) = error(
            &format!("spec: {{identity: {{name: orders}}}}, {status}"),
            &moved,
        );
        assert_eq!(reason, Reason::IdentityChanged);
        assert!(message.contains("elsewhere"), "{message}");
        // Azure compares ids without case, so another spelling is the same identity.
        let lower = Defaults {
            resource_group: Some("RG".to_owned()),
            ..defaults()
        };
        validate(
            &binding(&format!("spec: {{identity: {{name: orders}}}}, {status}")),
            &lower,
        )
        .unwrap();
    }

    #[test]
    fn the_recorded_issuer_is_binding() {
        let status = format!(
            "status: {{observedGeneration: 1, credentials: [{{name: n, resourceId: {ID}, issuer: 'https://old.example', \
             subject: s, audience: a, origin: Created}}]}}"
        );
        let (reason, message) = error(
            &format!("spec: {{identity: {{name: orders}}}}, {status}"),
            &defaults(),
        );
        assert_eq!(reason, Reason::IssuerChanged);
        assert!(message.contains("https://old.example"), "{message}");
    }
}
