//! Operators that are started again with other flags, over bindings that were resolved with the old ones.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Namespace, PATIENCE, annotation, condition};
use azwib_e2e::{Environment, wait};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

fn defaults(env: &Environment, group: &str) -> Vec<String> {
    vec![
        format!("--default-subscription={}", env.simulator.subscription()),
        format!("--default-resource-group={group}"),
    ]
}

/// What must not change: the account, and the writes that Azure has seen.
async fn written(shop: &Namespace<'_>) -> anyhow::Result<(Option<String>, usize)> {
    let account = shop.service_accounts().get("orders").await?;
    let writes = shop.operator_writes("orders").await?;
    Ok((account.resource_version(), writes))
}

fn ready(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
}

#[tokio::test]
async fn an_identity_given_by_name_is_completed_from_each_default() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("by-name").await?;
    let _operator = env
        .operator_with_other(&defaults(&env, shop.name()))
        .await?;
    let subscription = env.simulator.subscription();
    let group = shop.name();
    let forms = [
        ("both", String::new()),
        ("of-group", format!(", resourceGroup: {group}")),
        (
            "of-subscription",
            format!(", subscriptionId: {subscription}"),
        ),
        (
            "of-neither",
            format!(", resourceGroup: {group}, subscriptionId: {subscription}"),
        ),
    ];
    for (name, more) in &forms {
        shop.identity(name).await?;
        shop.bind(name, &format!("identity: {{name: {name}{more}}}"))
            .await?;
    }
    for (name, _) in &forms {
        let binding = shop.ready(name).await?;
        let resolved = binding.status.unwrap().identity.unwrap();
        let id = shop.identity_id(name);
        let recorded = resolved.resource_id.as_deref().unwrap_or_default();
        assert!(recorded.eq_ignore_ascii_case(&id), "{resolved:?}");
    }
    Ok(())
}

#[tokio::test]
async fn another_default_moves_no_binding_and_the_old_one_finds_everything_in_place()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("changed-default").await?;
    let other = env.namespace("other-group").await?;
    shop.identity("orders").await?;
    other.identity("orders").await?;
    let first = env
        .operator_with_other(&defaults(&env, shop.name()))
        .await?;
    shop.bind("orders", "identity: {name: orders}").await?;
    shop.ready("orders").await?;
    let before = written(&shop).await?;
    first.kill().await?;

    let second = env
        .operator_with_other(&defaults(&env, other.name()))
        .await?;
    let changed = shop
        .failing("orders", "IdentityResolved", "IdentityChanged")
        .await?;
    assert_eq!(
        changed.message,
        format!(
            "this binding was resolved to {}, but the operator's defaults now make it {}: nothing is changed; restore \
             --default-subscription and --default-resource-group, or delete the binding and create it again",
            shop.identity_id("orders"),
            other.identity_id("orders")
        )
    );
    let binding = shop.bindings().get("orders").await?;
    assert_eq!(
        condition(&binding, "Stalled").unwrap().reason,
        "IdentityChanged"
    );
    assert_eq!(written(&shop).await?, before);
    assert_eq!(other.operator_writes("orders").await?, 0);
    second.kill().await?;

    let _third = env
        .operator_with_other(&defaults(&env, shop.name()))
        .await?;
    shop.until("orders", "Ready again", ready).await?;
    assert_eq!(written(&shop).await?, before);
    Ok(())
}

#[tokio::test]
async fn another_issuer_moves_no_credential_and_the_old_one_finds_everything_in_place()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("changed-issuer").await?;
    let orders = shop.identity("orders").await?;
    let first = env.operator_with_other(&[]).await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = written(&shop).await?;
    first.kill().await?;

    let new_issuer = "https://oidc.example/moved/";
    let second = env
        .operator_with_other(&[format!("--issuer={new_issuer}")])
        .await?;
    let changed = shop
        .failing("orders", "IssuerReady", "IssuerChanged")
        .await?;
    assert_eq!(
        changed.message,
        format!(
            "the credential that this binding records was made for the issuer {}, but the operator runs with \
             --issuer={new_issuer}: nothing is changed; restore the issuer if it was this cluster's. If the status came from \
             another cluster (a clone, a backup), or the issuer is to stay, delete the binding and create it again: what it \
             records is left in Azure as it is, since another cluster may use it",
            env.issuer()
        )
    );
    let binding = shop.bindings().get("orders").await?;
    for step in ["IdentityResolved", "ServiceAccountReady", "CredentialReady"] {
        assert_eq!(
            condition(&binding, step).unwrap().status,
            "Unknown",
            "another cluster may have done it: {step}"
        );
    }
    assert_eq!(
        condition(&binding, "Stalled").unwrap().reason,
        "IssuerChanged"
    );
    assert_eq!(written(&shop).await?, before);
    second.kill().await?;

    let third = env.operator_with_other(&[]).await?;
    shop.until("orders", "Ready again", ready).await?;
    assert_eq!(written(&shop).await?, before);
    third.kill().await?;

    // What another issuer has recorded may be another cluster's: it is left, and that is told.
    let left = shop.credentials(&orders).await?;
    let _fourth = env
        .operator_with_other(&[format!("--issuer={new_issuer}")])
        .await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, left);
    let told = shop.event("CredentialLeft").await?;
    assert!(told.contains(env.issuer()), "{told}");
    assert!(told.contains("another cluster may use it"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_request_for_a_reconcile_makes_one_fresh_read_and_one_fresh_listing() -> anyhow::Result<()>
{
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let shop = env.namespace("requested").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let reads = async || {
        let reads = shop.operator_requests("GET", "orders").await?;
        let of_list = |path: &str| {
            path.to_ascii_lowercase()
                .ends_with("/federatedidentitycredentials")
        };
        let lists = reads.iter().filter(|read| of_list(&read.path)).count();
        anyhow::Ok((reads.len() - lists, lists))
    };
    let (gets, lists) = reads().await?;
    let request = async |when: &str| {
        let annotations = json!({ "azwib.dev/reconcile-requested-at": when });
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        let patched = shop
            .bindings()
            .patch("orders", &PatchParams::default(), &patch)
            .await?;
        anyhow::Ok(patched.status)
    };
    for (count, when) in (1..).zip(["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"]) {
        let before = request(when).await?;
        wait::until("fresh reads", PATIENCE, async || {
            Ok((reads().await? >= (gets + count, lists + count)).then_some(()))
        })
        .await?;
        // A pass that nobody asked fresh reads for: it repairs the account with what is known.
        let annotations = json!({ "azure.workload.identity/client-id": null });
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        let drifted = shop
            .service_accounts()
            .patch("orders", &PatchParams::default(), &patch)
            .await?;
        shop.account_until("orders", "repaired", |account| {
            account.is_some_and(|account| {
                account.metadata.uid == drifted.metadata.uid
                    && annotation(account, "azure.workload.identity/client-id").is_some()
            })
        })
        .await?;
        let after = shop.ready("orders").await?;
        assert_eq!(reads().await?, (gets + count, lists + count));
        assert_eq!(
            after.status.unwrap().credentials,
            before.unwrap().credentials
        );
    }
    // After a change of the spec what was read a moment ago will do: nobody says that it is wrong.
    let (gets, lists) = reads().await?;
    let longer = json!({ "serviceAccount": { "tokenExpirationSeconds": 7200 } });
    shop.change("orders", longer).await?;
    shop.ready("orders").await?;
    assert_eq!(reads().await?, (gets, lists));
    assert_eq!(shop.operator_writes("orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn requests_in_a_loop_make_one_read_in_thirty_seconds() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let shop = env.namespace("loop").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = shop.operator_requests("GET", "orders").await?.len();
    let began = Instant::now();
    for number in 0..200 {
        let annotations = json!({ "azwib.dev/reconcile-requested-at": number.to_string() });
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        shop.bindings()
            .patch("orders", &PatchParams::default(), &patch)
            .await?;
    }
    // The last of them is served, too.
    let reads = async || anyhow::Ok(shop.operator_requests("GET", "orders").await?.len() - before);
    wait::until("two rounds of reads", PATIENCE, async || {
        Ok((reads().await? >= 4).then_some(()))
    })
    .await?;
    let rounds = 1 + usize::try_from(began.elapsed().as_secs() / 30)?;
    assert!(
        reads().await? <= 2 * rounds,
        "{rounds} rounds of a GET and a LIST"
    );
    Ok(())
}

#[tokio::test]
async fn a_newcomer_trusts_no_old_read_and_what_it_finds_reaches_the_others() -> anyhow::Result<()>
{
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let shop = env.namespace("newcomer").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    let read = Instant::now();
    env.arm().await?.delete(orders.resource_id()).await?;
    let successor = shop.identity("orders").await?;
    assert_ne!(successor.client_id(), orders.client_id());
    wait::until("the read to be an old one", PATIENCE, async || {
        Ok((read.elapsed() > Duration::from_secs(31)).then_some(()))
    })
    .await?;
    shop.bind_to("second", &successor).await?;
    let client_id = |binding: &WorkloadIdentityBinding| {
        let status = binding.status.clone().unwrap_or_default();
        status.identity.map(|identity| identity.client_id)
    };
    let second = shop.ready("second").await?;
    assert_eq!(client_id(&second), Some(successor.client_id()));
    let named = |binding: &WorkloadIdentityBinding| {
        ready(binding) && client_id(binding) == Some(successor.client_id())
    };
    shop.until("first", "Ready with the new client id", named)
        .await?;
    assert_eq!(shop.credentials(&successor).await?.len(), 2);
    Ok(())
}
