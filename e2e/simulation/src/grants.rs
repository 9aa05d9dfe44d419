//! What grants allow: a second reading of the rule, made of the stored objects.

use std::collections::BTreeSet;
use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use jiff::Timestamp;
use serde_json::Value;

use crate::bindings::{account, identity_id};
use crate::kubernetes::{Cluster, Kind};

/// Whether one of these grants lets an account of a namespace use an identity.
pub(crate) fn covered(
    grants: &[Value],
    namespaces: &[Value],
    (namespace, account): (&str, &str),
    identity: &str,
) -> bool {
    let labels = namespaces
        .iter()
        .find(|it| it["metadata"]["name"] == namespace)
        .map(|it| it["metadata"]["labels"].clone())
        .unwrap_or_default();
    let is_for = |grant: &Value| {
        let spec = &grant["spec"];
        let scopes = spec["identities"].as_array().into_iter().flatten();
        let mut scopes = scopes.filter_map(|it| it["scope"].as_str());
        let in_scope = scopes.any(|scope| {
            let (scope, id) = (scope.to_ascii_lowercase(), identity.to_ascii_lowercase());
            id == scope || id.starts_with(&format!("{scope}/"))
        });
        let names = spec["namespaces"]["names"].as_array().into_iter().flatten();
        let by_name = names.into_iter().any(|it| it == namespace);
        let selector = spec["namespaces"]["selector"]["matchLabels"].as_object();
        let by_label = selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
        });
        let accounts = spec["serviceAccounts"]["names"].as_array();
        let of_account = accounts.is_none_or(|names| names.iter().any(|it| it == account));
        in_scope && (by_name || by_label) && of_account
    };
    grants.iter().any(is_for)
}

/// Whether the binding might leave its credential behind, as grants were at some time since then: each answer that there was.
pub(crate) fn might_retain(
    cluster: &Cluster,
    binding: &WorkloadIdentityBinding,
    since: Timestamp,
) -> BTreeSet<bool> {
    let allows = |version| {
        let mut grants = cluster.at_version(Kind::Grant, version);
        grants.retain(|it| it["spec"]["allowRetain"] == true);
        let namespaces = cluster.at_version(Kind::Namespace, version);
        covered(&grants, &namespaces, account(binding), identity_id(binding))
    };
    versions_since(cluster, since).map(allows).collect()
}

/// The versions that grants and namespaces have had since then, the one that stood at that time included.
pub(crate) fn versions_since(
    cluster: &Cluster,
    since: Timestamp,
) -> impl Iterator<Item = u64> + use<> {
    let changes = cluster.changed_at(&[Kind::Grant, Kind::Namespace]);
    let stood = changes.iter().rposition(|(_, at)| *at < since);
    let versions = changes.into_iter().map(|(version, _)| version);
    versions.skip(stood.unwrap_or(0))
}

/// How many credentials of an identity the accounts under one of these grants may use, where exactly one of them covers this and it has a
/// quota; and which grant that is.
pub(crate) fn quota_of<'a>(
    grants: &'a [Value],
    namespaces: &[Value],
    account: (&str, &str),
    identity: &str,
) -> Option<(&'a Value, u64)> {
    let mut covering = grants
        .iter()
        .filter(|grant| covered(std::slice::from_ref(*grant), namespaces, account, identity));
    let (only, None) = (covering.next()?, covering.next()) else {
        return None;
    };
    let quota = only["spec"]["maxCredentialsPerIdentity"].as_u64()?;
    Some((only, quota))
}

/// Whether a grant covers a binding as things are now.
pub(crate) fn is_covered(cluster: &Cluster, binding: &WorkloadIdentityBinding) -> bool {
    let (grants, namespaces) = (cluster.all(Kind::Grant), cluster.all(Kind::Namespace));
    covered(&grants, &namespaces, account(binding), identity_id(binding))
}

/// The longest time in a row in which no grant covered this, up to now.
pub(crate) fn longest_without(
    cluster: &Cluster,
    now: Timestamp,
    account: (&str, &str),
    identity: &str,
) -> Duration {
    let mut since: Option<Timestamp> = Some(Timestamp::UNIX_EPOCH);
    let mut longest = Duration::ZERO;
    let mut began = false;
    let span = |from: Timestamp, to: Timestamp| {
        Duration::try_from(to.duration_since(from)).unwrap_or_default()
    };
    for (version, at) in cluster.changed_at(&[Kind::Grant, Kind::Namespace]) {
        let grants = cluster.at_version(Kind::Grant, version);
        let namespaces = cluster.at_version(Kind::Namespace, version);
        if covered(&grants, &namespaces, account, identity) {
            if let Some(since) = since.take().filter(|_| began) {
                longest = longest.max(span(since, at));
            }
            began = true;
        } else if began && since.is_none() {
            since = Some(at);
        }
    }
    match since {
        Some(since) if began => longest.max(span(since, now)),
        // Never covered.
        Some(_) => Duration::MAX,
        None => longest,
    }
}
