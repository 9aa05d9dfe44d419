//! Whether the objects are stored in the version that this operator knows. With newer CustomResourceDefinitions they may not be: what
//! the operator writes is then converted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use sha2::{Digest, Sha256};

/// How many bytes of the digest stand for a version.
const DIGEST_BYTES: usize = 8;

/// Says in the log which kinds are stored in another version.
pub(super) async fn say_if_stored_otherwise(
    client: &Client,
    definitions: &[CustomResourceDefinition],
) {
    for definition in definitions {
        let (group, kind) = (&definition.spec.group, &definition.spec.names.kind);
        let own = definition.spec.versions.iter().find(|it| it.storage);
        let Some(own) = own.map(|it| &it.name) else {
            continue;
        };
        let resources = client
            .list_api_group_resources(&format!("{group}/{own}"))
            .await;
        // What cannot be asked is told by who asks for the fields.
        let Ok(resources) = resources else { return };
        if is_stored_otherwise(&resources, (group, own, kind)) {
            tracing::warn!(
                kind,
                version = own,
                "the API server stores objects of this kind in another version than this operator knows: the \
                 CustomResourceDefinition is of a newer azwib; install the operator of that version"
            );
        }
    }
}

/// Whether the discovery of our version names another one as that in which objects are stored. Nothing is said where it names none.
fn is_stored_otherwise(
    served: &APIResourceList,
    (group, version, kind): (&str, &str, &str),
) -> bool {
    let mut resources = served.resources.iter();
    let resource = resources.find(|it| it.kind == kind && !it.name.contains('/'));
    let stored = resource.and_then(|it| it.storage_version_hash.as_deref());
    stored.is_some_and(|stored| stored != hash(group, version, kind))
}

/// What discovery shows for a version of a kind. Source: `StorageVersionHash` in `k8s.io/apiserver/pkg/endpoints/discovery`.
fn hash(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    STANDARD.encode(&digest[..DIGEST_BYTES])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_stored_in_another_version_is_told_by_its_hash() {
        let own = ("azwib.dev", "v1alpha1", "IdentityGrant");
        let served = |hash: Option<String>| -> APIResourceList {
            let resource = json!({
                "name": "identitygrants", "singularName": "", "namespaced": false, "kind": "IdentityGrant", "verbs": [],
                "storageVersionHash": hash,
            });
            let list = json!({ "groupVersion": "azwib.dev/v1alpha1", "resources": [resource] });
            serde_json::from_value(list).unwrap()
        };
        let (group, version, kind) = own;
        let same = hash(group, version, kind);
        assert!(!is_stored_otherwise(&served(Some(same)), own));
        let newer = hash(group, "v1beta1", kind);
        assert!(is_stored_otherwise(&served(Some(newer)), own));
        assert!(!is_stored_otherwise(&served(None), own));
    }
}
