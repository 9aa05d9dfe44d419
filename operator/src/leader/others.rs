//! Whether another installation of azwib runs in the cluster. Two of them would write to the same bindings, each with a Lease of its
//! own.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::elector::Place;

/// Says in the log which other namespaces have a Lease of azwib's that somebody holds. It is asked once, at the start.
pub async fn say_if_another_is_installed(client: &Client, own: &Place) {
    let leases: Api<Lease> = Api::all(client.clone());
    let of_azwib = ListParams::default().fields(&format!("metadata.name={}", own.name));
    let found = match leases.list(&of_azwib).await {
        Ok(found) => found.items,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::info!(
                error,
                "cannot read whether another azwib is installed in this cluster"
            );
            return;
        }
    };
    for (namespace, holder) in held_elsewhere(&found, own) {
        tracing::error!(
            namespace,
            holder,
            "another azwib is installed in this cluster, and both write to the same bindings: uninstall one of them, and delete its Lease \
             \"{}\" if nothing holds it any more",
            own.name
        );
    }
}

/// Where else somebody holds such a Lease, and who does.
fn held_elsewhere<'a>(leases: &'a [Lease], own: &Place) -> Vec<(String, &'a str)> {
    let elsewhere = leases.iter().filter(|lease| {
        let namespace = lease.namespace();
        lease.name_any() == own.name && namespace.as_deref() != Some(&own.namespace)
    });
    elsewhere
        .filter_map(|lease| {
            let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
            (!holder.is_empty()).then(|| (lease.namespace().unwrap_or_default(), holder))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_lease_that_somebody_holds_in_another_namespace_tells_of_another_installation() {
        let lease = |namespace: &str, name: &str, holder: &str| -> Lease {
            serde_json::from_value(json!({
                "metadata": { "namespace": namespace, "name": name }, "spec": { "holderIdentity": holder },
            }))
            .unwrap()
        };
        let own = Place {
            namespace: "azwib-system".to_owned(),
            name: "azwib-operator".to_owned(),
        };
        let leases = [
            lease("azwib-system", "azwib-operator", "own"),
            lease("released", "azwib-operator", ""),
            lease("other", "something", "x"),
            lease("other", "azwib-operator", "pod-1"),
        ];
        let found = held_elsewhere(&leases, &own);
        assert_eq!(found, [("other".to_owned(), "pod-1")]);
    }
}
