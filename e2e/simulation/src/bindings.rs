//! What a binding says of itself.

use azwib_crds::{CredentialOrigin, WorkloadIdentityBinding, WorkloadIdentityBindingSpec};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::names::{ISSUER, OTHER_ISSUER, our_name};
use crate::setup::BINDINGS_OF_AN_ACCOUNT;

/// Whether a binding is for this identity.
pub fn is_for(binding: &WorkloadIdentityBinding, identity: &str) -> bool {
    let id = binding.spec.identity.resource_id.as_deref();
    id.is_some_and(|id| id.eq_ignore_ascii_case(identity))
}

/// The ARM id of the identity that a binding names.
pub fn identity_id(binding: &WorkloadIdentityBinding) -> &str {
    let named = binding.spec.identity.resource_id.as_deref();
    named.unwrap_or_default()
}

/// Its namespace and its service account.
pub fn account(binding: &WorkloadIdentityBinding) -> (&str, &str) {
    let namespace = binding.metadata.namespace.as_deref();
    let account = binding.spec.service_account.name.as_deref();
    (namespace.unwrap_or_default(), account.unwrap_or_default())
}

/// By which of several comes first.
pub fn age(
    binding: &WorkloadIdentityBinding,
) -> (Option<Timestamp>, Option<String>, Option<String>) {
    let metadata = &binding.metadata;
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, metadata.namespace.clone(), metadata.name.clone())
}

/// Whether so many older bindings of the account are there that this one is not served.
///
/// Those that came within the same second count for nothing here: they may have come after it.
pub fn is_beyond_limit(
    binding: &WorkloadIdentityBinding,
    bindings: &[WorkloadIdentityBinding],
) -> bool {
    let came = |it: &WorkloadIdentityBinding| age(it).0;
    let older = bindings.iter().filter(|other| {
        account(other) == account(binding)
            && other.metadata.deletion_timestamp.is_none()
            && came(other) < came(binding)
    });
    older.count() >= BINDINGS_OF_AN_ACCOUNT
}

/// Whether two bindings of one account and identity want the same of both.
pub fn asks_for_the_same(one: &WorkloadIdentityBinding, other: &WorkloadIdentityBinding) -> bool {
    let (a, b) = (&one.spec, &other.spec);
    let of_account = |spec: &WorkloadIdentityBindingSpec| {
        let account = &spec.service_account;
        (account.role, account.token_expiration_seconds)
    };
    a.credential == b.credential && of_account(a) == of_account(b)
}

/// Whether its status records a credential that was made for it.
pub fn holds_credential(binding: &WorkloadIdentityBinding) -> bool {
    let credentials = binding.status.iter().flat_map(|status| &status.credentials);
    credentials
        .into_iter()
        .any(|it| it.origin == CredentialOrigin::Created)
}

/// Whether its status records a credential that works for it, be it made for it or adopted.
pub fn has_a_credential(binding: &WorkloadIdentityBinding) -> bool {
    let credentials = binding.status.iter().flat_map(|status| &status.credentials);
    credentials
        .into_iter()
        .any(|it| it.origin != CredentialOrigin::Pending)
}

/// A condition of a binding.
pub fn condition<'a>(binding: &'a WorkloadIdentityBinding, type_: &str) -> Option<&'a Condition> {
    let status = binding.status.as_ref()?;
    status.conditions.iter().find(|it| it.type_ == type_)
}

/// Whether it says that it is Ready.
pub fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|it| it.status == "True")
}

/// Whether a status records the binding's own credential, on the identity that it names.
pub fn records_own(binding: &WorkloadIdentityBinding) -> bool {
    let (namespace, account) = account(binding);
    let name = our_name(namespace, account);
    let credentials = binding.status.iter().flat_map(|status| &status.credentials);
    credentials.into_iter().any(|it| {
        Some(&it.name) == name.as_ref()
            && it.issuer == ISSUER
            && it
                .resource_id
                .as_deref()
                .is_some_and(|id| is_for(binding, id))
    })
}

/// Whether a status records a credential of another issuer that this binding would give there.
pub fn records_elsewhere(binding: &WorkloadIdentityBinding) -> bool {
    let credentials = binding.status.iter().flat_map(|status| &status.credentials);
    credentials.into_iter().any(|it| it.issuer == OTHER_ISSUER)
}
