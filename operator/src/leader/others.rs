//! Other processes of azwib that this one has no election with: another installation, with a Lease of its own, and those that hold the
//! Lease beside a process that takes no part. They would write to the same bindings.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use super::calls::Calls;
use super::observed::Observed;
use super::obstacle::Told;
use super::place::Place;
use super::timings::Timings;
use crate::error_chain;
use crate::runtime::clocks::Clocks;

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

/// Waits until nobody holds this Lease, for a process that takes no part in the election: it was given back, or has stood unchanged for
/// as long as it lasts. One that is missing has to stay so for as long: somebody may have deleted it, and who leads makes it anew. That it
/// cannot be read is no answer: it is tried again.
pub async fn until_nobody_leads(client: &Client, place: &Place, timings: Timings, clocks: &Clocks) {
    let calls = Calls::new(client.clone(), place, &timings);
    let mut observed = Observed::default();
    let mut told = Told::default();
    loop {
        let found = calls.get().await;
        let obstacle = match &found {
            Ok(lease) => {
                let now = clocks.read().boot;
                observed.see(lease.as_ref(), now);
                if observed.is_over(&timings, now) {
                    return;
                }
                match observed.holder() {
                    Some(holder) => format!("{holder} holds it"),
                    None => {
                        "there is none, or nobody stands in it; somebody may still lead".to_owned()
                    }
                }
            }
            Err(error) => error_chain(error),
        };
        if told.is_due(&obstacle) {
            tracing::warn!(
                obstacle,
                "this process takes no part in the election (--leader-elect=false), and waits until it can read that nobody leads by the \
                 Lease {place}: it was given back, or has stood as it is for {:?}",
                timings.lease_duration
            );
        }
        sleep(timings.retry_period).await;
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
