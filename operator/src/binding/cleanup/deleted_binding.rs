//! A binding that is being deleted, as far as its cleanup needs it: from one that can be read, or from the raw object.

use azwib_crds::{
    DeletionPolicy, IdentityReference, RecordedCredential, ResolvedIdentity, ServiceAccountRole,
    WorkloadIdentityBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::binding::account::{
    AccountBinding, CLIENT_ID, ExistingAccount, TENANT_ID, account_binding_with,
};
use crate::binding::status::believed::{Owner, is_of_another};
use crate::binding::validate::service_account_name;
use crate::ledger::BindingRef;
use crate::ledger::Rank;

/// Annotation that lets go of a binding whose credential Azure does not let us delete.
pub const FORCE_DETACH: &str = "azwib.dev/force-detach";

/// The garbage collector's finalizer on an object that is deleted with `--cascade=orphan`
/// (`metav1.FinalizerOrphanDependents`).
const ORPHAN: &str = "orphan";

/// What the cleanup of a binding goes by.
#[derive(Debug, Clone)]
pub struct DeletedBinding {
    pub metadata: ObjectMeta,
    pub service_account: String,
    pub deletion_policy: DeletionPolicy,
    /// What it meant to its account; None when its identity was never resolved, and so the account never touched.
    pub account_binding: Option<AccountBinding>,
    pub credentials: Vec<RecordedCredential>,
    /// What its spec names; None where that cannot be read.
    pub identity: Option<IdentityReference>,
    pub role: ServiceAccountRole,
    pub suspended: bool,
    /// What status says of its steps.
    pub conditions: Vec<Condition>,
}

/// How to let go of a binding whose cleanup fails, as its status says.
pub fn how_to_let_go(on_binding: bool) -> String {
    let or_itself = if on_binding { " or the binding" } else { "" };
    format!(
        "to give up and leave what is there, annotate its Namespace{or_itself} with {FORCE_DETACH}=true"
    )
}

/// A part of the raw object that cleanup needs and that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{field} of the binding cannot be read, so what it left in Azure is not known: correct that field"
)]
pub struct Unreadable {
    field: &'static str,
    source: serde_json::Error,
}

impl DeletedBinding {
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The same, leaving nothing behind.
    pub fn without_retain(mut self) -> Self {
        self.deletion_policy = DeletionPolicy::Delete;
        if let Some(account) = &mut self.account_binding {
            account.deletion_policy = DeletionPolicy::Delete;
        }
        self
    }

    /// Where it stands in every line.
    pub fn rank(&self) -> Rank {
        Rank {
            created: self.metadata.creation_timestamp.as_ref().map(|time| time.0),
            binding: BindingRef {
                namespace: self.namespace().to_owned(),
                name: self.name().to_owned(),
            },
        }
    }

    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// What it meant to an account that is as it has left it, where status does not tell any more.
    pub fn as_account_shows(&self, account: &ExistingAccount) -> AccountBinding {
        let carried = |key| account.annotation(key).unwrap_or_default().to_owned();
        AccountBinding {
            name: self.name().to_owned(),
            uid: self.metadata.uid.clone().unwrap_or_default(),
            created: self.rank().created,
            role: self.role,
            suspended: true,
            client_id: carried(CLIENT_ID),
            tenant_id: carried(TENANT_ID),
            token_expiration_seconds: azwib_crds::DEFAULT_TOKEN_EXPIRATION_SECONDS,
            deletion_policy: self.deletion_policy,
        }
    }

    /// By what its records are judged.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            namespace: self.namespace(),
            service_account: &self.service_account,
            identity: self.identity.as_ref(),
        }
    }

    /// Whether the binding itself carries the annotation that lets go of it.
    pub fn asks_to_let_go(&self) -> bool {
        asks_to_let_go(&self.metadata)
    }

    /// Whether it is deleted with `--cascade=orphan`: what it owns stays.
    pub fn is_orphaning(&self) -> bool {
        let finalizers = self.metadata.finalizers.iter().flatten();
        finalizers.into_iter().any(|finalizer| finalizer == ORPHAN)
    }

    /// From the object as the API server stores it; only what cleanup needs has to be readable.
    pub fn from_raw(raw: &DynamicObject) -> Result<Self, Unreadable> {
        let at = |path| raw.data.pointer(path).filter(|value| !value.is_null());
        let credentials =
            read(at("/status/credentials"), "status.credentials")?.unwrap_or_default();
        let identity: Option<ResolvedIdentity> = read(at("/status/identity"), "status.identity")?;
        let deletion_policy =
            read(at("/spec/deletionPolicy"), "spec.deletionPolicy")?.unwrap_or_default();
        let name: Option<String> =
            read(at("/spec/serviceAccount/name"), "spec.serviceAccount.name")?;
        // Of these nothing is known to be left.
        let reference = read(at("/spec/identity"), "spec.identity").unwrap_or_default();
        let suspended = read(at("/spec/suspend"), "spec.suspend").unwrap_or_default();
        let conditions = read(at("/status/conditions"), "status.conditions").unwrap_or_default();
        let account_binding = identity.map(|identity| AccountBinding {
            name: raw.name_any(),
            uid: raw.uid().unwrap_or_default(),
            created: raw.creation_timestamp().map(|time| time.0),
            role: ServiceAccountRole::Default,
            // Whatever the account carries stays as it is, unless the policy takes it away.
            suspended: true,
            client_id: identity.client_id,
            tenant_id: identity.tenant_id,
            token_expiration_seconds: azwib_crds::DEFAULT_TOKEN_EXPIRATION_SECONDS,
            deletion_policy,
        });
        Ok(Self {
            metadata: raw.metadata.clone(),
            service_account: name.unwrap_or_else(|| raw.name_any()),
            deletion_policy,
            account_binding,
            credentials,
            identity: reference,
            role: ServiceAccountRole::Default,
            suspended: suspended.unwrap_or_default(),
            conditions: conditions.unwrap_or_default(),
        })
    }
}

impl From<&WorkloadIdentityBinding> for DeletedBinding {
    fn from(binding: &WorkloadIdentityBinding) -> Self {
        let status = binding.status.clone().unwrap_or_default();
        let is_of_another = is_of_another(binding, &status);
        let identity = status.identity.filter(|_| !is_of_another);
        Self {
            metadata: binding.metadata.clone(),
            service_account: service_account_name(binding),
            deletion_policy: binding.spec.deletion_policy,
            account_binding: identity.map(|identity| account_binding_with(binding, &identity)),
            credentials: status.credentials,
            identity: Some(binding.spec.identity.clone()),
            role: binding.spec.service_account.role,
            suspended: binding.spec.suspend,
            conditions: if is_of_another {
                vec![]
            } else {
                status.conditions
            },
        }
    }
}

/// Whether an object carries the annotation that lets go.
pub fn asks_to_let_go(metadata: &ObjectMeta) -> bool {
    metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(FORCE_DETACH))
        .is_some_and(|value| value == "true")
}

fn read<T: DeserializeOwned>(
    value: Option<&Value>,
    field: &'static str,
) -> Result<Option<T>, Unreadable> {
    value
        .map(|value| serde_json::from_value(value.clone()))
        .transpose()
        .map_err(|source| Unreadable { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(spec: &str, status: &str) -> DynamicObject {
        serde_yaml_ng::from_str(&format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop, \
             uid: u}}, spec: {spec}, status: {status}}}"
        ))
        .unwrap()
    }

    #[test]
    fn what_cleanup_needs_is_read_from_a_binding_that_cannot_be_read() {
        let departing = DeletedBinding::from_raw(&raw(
            "{identity: 7, serviceAccount: {name: api, tokenExpirationSeconds: soon}, deletionPolicy: Retain}",
            "{identity: {resourceId: r, clientId: c, principalId: p, tenantId: t}, credentials: [{name: n, resourceId: r, \
             issuer: i, subject: s, audience: a, origin: Created}]}",
        ))
        .unwrap();
        assert_eq!(
            (departing.namespace(), departing.name()),
            ("shop", "orders")
        );
        assert_eq!(departing.service_account, "api");
        assert_eq!(departing.deletion_policy, DeletionPolicy::Retain);
        assert_eq!(departing.credentials.len(), 1);
        assert_eq!(departing.account_binding.unwrap().client_id, "c");
    }

    #[test]
    fn without_records_there_is_nothing_to_clean_up() {
        for status in ["{observedGeneration: -1}", "null", "{credentials: null}"] {
            let departing = DeletedBinding::from_raw(&raw("{identity: 7}", status)).unwrap();
            assert_eq!(departing.credentials, []);
            assert!(departing.account_binding.is_none());
            assert_eq!(departing.service_account, "orders");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (spec, status, field) in [
            ("{}", "{credentials: [{name: 7}]}", "status.credentials"),
            ("{}", "{identity: orders}", "status.identity"),
            ("{deletionPolicy: Maybe}", "{}", "spec.deletionPolicy"),
            (
                "{serviceAccount: {name: [a]}}",
                "{}",
                "spec.serviceAccount.name",
            ),
        ] {
            let error = DeletedBinding::from_raw(&raw(spec, status)).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
