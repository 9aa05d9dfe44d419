//! Two replicas of a new version in the place of a released one, and the released one again: whoever is Ready stays so, and nothing is
//! written to Azure. `make test-upgrade`
//! builds the released operator and names it here; without it there is nothing to upgrade from.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, condition, repository};
use azwib_e2e::{Environment, EnvironmentOptions, OperatorProcess, wait};
use futures::TryStreamExt;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

/// Names the released operator.
const BINARY: &str = "AZWIB_UPGRADE_FROM_BIN";

/// Names its folder of manifests, as `config/` was then.
const CONFIG: &str = "AZWIB_UPGRADE_FROM_CONFIG";

/// Marks the binding whose change ends the watch.
const END: &str = "example.com/end";

/// Specs of all kinds, beside the identity.
const KINDS: [&str; 5] = [
    "",
    ", deletionPolicy: Retain",
    ", serviceAccount: {creation: WhenCredentialReady, tokenExpirationSeconds: 7200}",
    ", credential: {audience: example, adoption: Never}",
    ", serviceAccount: {name: shared, role: Additional}",
];
const OF_EACH_KIND: usize = 10;

fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
}

/// What a binding records: what cleanup, repair and a pod depend on.
fn records(binding: &WorkloadIdentityBinding) -> serde_json::Value {
    let status = binding.status.clone().unwrap_or_default();
    let since = condition(binding, "Ready").map(|ready| ready.last_transition_time.clone());
    json!({
        "identity": status.identity,
        "serviceAccount": status.service_account,
        "credentials": status.credentials,
        "readySince": since,
        "finalizers": binding.finalizers(),
    })
}

async fn all_records(shop: &Namespace<'_>) -> anyhow::Result<BTreeMap<String, serde_json::Value>> {
    let bindings = shop.bindings().list(&ListParams::default()).await?;
    let records = bindings.iter().map(|it| (it.name_any(), records(it)));
    Ok(records.collect())
}

/// Fifty bindings, all Ready: an identity has one of each kind.
async fn fifty_ready(shop: &Namespace<'_>) -> anyhow::Result<Vec<ManagedIdentity>> {
    let mut identities = Vec::new();
    for number in 0..OF_EACH_KIND {
        let identity = shop.identity(&format!("identity-{number}")).await?;
        for (kind, spec) in KINDS.iter().enumerate() {
            let spec = format!("identity: {{resourceId: {}}}{spec}", identity.resource_id());
            shop.bind(&format!("b-{kind}-{number}"), &spec).await?;
        }
        identities.push(identity);
    }
    wait::until("all bindings to be Ready", PATIENCE, async || {
        let bindings = shop.bindings().list(&ListParams::default()).await?;
        let ready = bindings.iter().filter(|it| is_ready(it)).count();
        Ok((ready == KINDS.len() * OF_EACH_KIND).then_some(()))
    })
    .await?;
    further_passes(shop).await?;
    Ok(identities)
}

/// Waits until the operator has looked at every identity twice.
async fn further_passes(shop: &Namespace<'_>) -> anyhow::Result<()> {
    for number in 0..OF_EACH_KIND {
        shop.further_listings(&format!("identity-{number}"), 2)
            .await?;
    }
    Ok(())
}

/// Every version of every binding after this one, up to the one that is marked. The API server ends watches when a definition changes, and
/// may have forgotten by then what came before: they are listed then.
async fn versions_until_marked(
    bindings: Api<WorkloadIdentityBinding>,
    mut last: String,
) -> anyhow::Result<Vec<WorkloadIdentityBinding>> {
    let is_marked = |it: &WorkloadIdentityBinding| it.annotations().contains_key(END);
    let mut seen = Vec::new();
    while !seen.iter().any(is_marked) {
        let events = match bindings.watch(&WatchParams::default(), &last).await {
            // The API server takes up a definition that has just changed.
            Err(kube::Error::Api(answer)) if answer.code == 429 => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            events => events?,
        };
        let mut events = pin!(events);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Modified(binding) => {
                    last = binding.resource_version().context("no version")?;
                    seen.push(binding);
                }
                WatchEvent::Bookmark(bookmark) => last = bookmark.metadata.resource_version,
                WatchEvent::Error(expired) if expired.code == 410 => {
                    let all = bindings.list(&ListParams::default()).await?;
                    last = all.metadata.resource_version.context("no version")?;
                    seen.extend(all.items);
                    break;
                }
                event => anyhow::bail!("a binding came or went: {event:?}"),
            }
            if seen.last().is_some_and(is_marked) {
                break;
            }
        }
    }
    Ok(seen)
}

/// The writes of the operator that Azure has seen, whatever came of them.
async fn azure_writes(env: &Environment) -> anyhow::Result<Vec<String>> {
    let requests = env.control().requests().await?;
    let writes = requests.iter().filter(|it| {
        let is_write = matches!(it.method.as_str(), "PUT" | "PATCH" | "DELETE");
        it.caller == Some(env.operator_client_id()) && is_write
    });
    Ok(writes
        .map(|it| format!("{} {}", it.method, it.path))
        .collect())
}

/// The released operator, as the only process.
async fn old(env: &Environment, binary: PathBuf) -> anyhow::Result<OperatorProcess> {
    env.operator_with(env.operator_flags(), BTreeMap::new(), Some(binary))
        .await
}

/// Two replicas of the new operator, both of them ready.
async fn new(env: &Environment) -> anyhow::Result<[OperatorProcess; 2]> {
    let start = async || {
        let mut flags = env.operator_flags();
        let election = [
            "--leader-election-namespace=azwib-system",
            "--leader-elect-lease-duration=3s",
            "--leader-elect-renew-deadline=2s",
            "--leader-elect-retry-period=500ms",
            "--request-timeout=2s",
        ];
        flags.extend(election.map(str::to_owned));
        let elects = [("AZWIB_LEADER_ELECT".to_owned(), "true".to_owned())];
        let operator = env.operator_with(flags, elects.into(), None).await?;
        operator.probe_until("/readyz", 200, "ok").await?;
        anyhow::Ok(operator)
    };
    Ok([start().await?, start().await?])
}

/// The released operator and its manifests, where they are named.
fn released() -> Option<[PathBuf; 2]> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    Some([named(BINARY)?, named(CONFIG)?])
}

#[tokio::test]
async fn bindings_of_the_released_version_stay_ready_and_nothing_is_written() -> anyhow::Result<()>
{
    let Some([binary, released]) = released() else {
        eprintln!(
            "skipped: {BINARY} and {CONFIG} name no released version; run `make test-upgrade`"
        );
        return Ok(());
    };
    let env = Environment::start(EnvironmentOptions {
        start_operator: false,
        install_crd: false,
        config: None,
        // The released one has no such flag, and the new one is to find out by itself.
        grants: None,
        ..EnvironmentOptions::default()
    })
    .await?;
    let kubectl = async |arguments: &[&str]| env.control_plane.kubectl(arguments).await;
    let apply = async |config: &Path| {
        let manifests = config.join("default");
        kubectl(&["apply", "-k", manifests.to_str().context("no text")?]).await?;
        let crd = "crd/workloadidentitybindings.azwib.dev";
        kubectl(&["wait", "--for=condition=Established", crd]).await
    };
    let latest = repository().join("config");
    apply(&released).await?;

    let first_old = old(&env, binary.clone()).await?;
    let shop = env.namespace("upgrade").await?;
    let identities = fifty_ready(&shop).await?;
    let before = all_records(&shop).await?;
    let writes = azure_writes(&env).await?;
    assert_eq!(writes.len(), KINDS.len() * OF_EACH_KIND, "{writes:?}");

    let first = shop.bindings().list(&ListParams::default()).await?;
    let first = first.metadata.resource_version.context("no version")?;
    let watch = tokio::spawn(versions_until_marked(shop.bindings(), first));
    // As the page on versions says: the end of the old process, manifests, the new one.
    first_old.terminate().await?;
    apply(&latest).await?;
    let replicas = new(&env).await?;
    further_passes(&shop).await?;

    // What was there before is only audited. Then it is granted, and from then on grants are required.
    let reasons = granted_reasons(&shop).await?;
    assert_eq!(reasons, ["WouldBeRefused".to_owned()].into(), "{reasons:?}");
    shop.grant("all", json!({ "allowRetain": true })).await?;
    wait::until("all to be granted", PATIENCE, async || {
        let reasons = granted_reasons(&shop).await?;
        Ok((reasons == ["Granted".to_owned()].into()).then_some(()))
    })
    .await?;
    let ungranted = env.namespace("ungranted").await?;
    let orders = ungranted.identity("orders").await?;
    ungranted.bind_to("orders", &orders).await?;
    ungranted.failing("orders", "Granted", "NotGranted").await?;

    // And back: the old version knows nothing of the Lease, so it starts when nobody holds it. It knows nothing of grants
    // either, and would give this one what it asks for.
    ungranted.unbind("orders").await?;
    for replica in replicas {
        assert_eq!(replica.exit(), None, "{}", replica.log_tail());
        replica.terminate().await?;
    }
    apply(&released).await?;
    let second_old = old(&env, binary).await?;
    further_passes(&shop).await?;
    second_old.terminate().await?;
    apply(&latest).await?;
    let replicas = new(&env).await?;
    further_passes(&shop).await?;

    let end = json!({ "metadata": { "annotations": { END: "" } } });
    let parameters = PatchParams::default();
    shop.bindings()
        .patch("b-0-0", &parameters, &Patch::Merge(end))
        .await?;
    let versions = tokio::time::timeout(PATIENCE, watch).await???;
    for version in &versions {
        assert!(is_ready(version), "{version:?}");
    }
    assert_eq!(azure_writes(&env).await?, writes);
    assert_eq!(all_records(&shop).await?, before);
    for replica in &replicas {
        assert_eq!(replica.exit(), None, "{}", replica.log_tail());
    }

    lets_go(&shop, &identities[0]).await
}

/// Why the bindings are granted, or not.
async fn granted_reasons(shop: &Namespace<'_>) -> anyhow::Result<BTreeSet<String>> {
    let bindings = shop.bindings().list(&ListParams::default()).await?;
    let granted = bindings.iter().map(|it| condition(it, "Granted"));
    let reasons = granted.map(|it| it.map_or_else(String::new, |it| it.reason.clone()));
    Ok(reasons.collect())
}

/// The new version removes what the old one made, and keeps what it was to keep.
async fn lets_go(shop: &Namespace<'_>, identity: &ManagedIdentity) -> anyhow::Result<()> {
    let there = shop.credentials(identity).await?.len();
    for (name, left) in [("b-0-0", there - 1), ("b-1-0", there - 1)] {
        shop.unbind(name).await?;
        assert_eq!(shop.credentials(identity).await?.len(), left, "{name}");
    }
    Ok(())
}
