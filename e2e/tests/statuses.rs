//! Statuses that somebody else has written: a restored backup, a clone of the cluster, `kubectl replace --subresource=status`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use azure_simulator::control::api::{FaultAction, Matcher};
use azwib_crds::{CredentialName, Issuer, WorkloadIdentityBinding};
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, condition, observed};
use azwib_e2e::{Environment, wait};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

/// Another cluster's.
const OTHER_ISSUER: &str = "https://oidc.other.example/cluster/";

fn ready(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Puts a status over that of a binding, as `kubectl replace --subresource=status` does.
async fn put_status(shop: &Namespace<'_>, status: serde_json::Value) -> anyhow::Result<()> {
    let patch = Patch::Json::<()>(serde_json::from_value(json!([
        { "op": "add", "path": "/status", "value": status.clone() }
    ]))?);
    let by_hand = PatchParams::default();
    let bindings = shop.bindings();
    let put = bindings.patch_status("orders", &by_hand, &patch).await?;
    let records = &shop.environment().records;
    records.note_foreign_status(&put.uid().unwrap(), status)
}

/// Statuses that are not this binding's as it is: an older one, an empty one, one without its record, a foreign record.
fn wrong_statuses(good: &serde_json::Value) -> Vec<(&'static str, serde_json::Value)> {
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut status = good.clone();
        change(&mut status);
        status
    };
    vec![
        ("emptied", json!({ "observedGeneration": -1 })),
        (
            "without a record",
            with(&|it| it["credentials"] = json!([])),
        ),
        (
            "with a record of a foreign name",
            with(&|it| it["credentials"][0]["name"] = json!("azwib-of-another")),
        ),
        (
            "with a record of a wrong origin",
            with(&|it| it["credentials"][0]["origin"] = json!("Adopted")),
        ),
        (
            "of another identity",
            with(&|it| {
                let id = it["identity"]["resourceId"].as_str().unwrap_or_default();
                let other = json!(format!("{id}-of-another"));
                it["identity"]["resourceId"] = other.clone();
                it["credentials"][0]["resourceId"] = other;
            }),
        ),
        (
            "of an older generation, without a record",
            with(&|it| {
                it["observedGeneration"] = json!(0);
                it["credentials"] = json!([]);
                it["conditions"] = json!([]);
            }),
        ),
    ]
}

#[tokio::test]
async fn a_status_that_somebody_else_has_written_is_put_right_at_once() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let shop = env.namespace("foreign-status").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let good = json!(binding.status);
    let credentials = json!(binding.status.unwrap().credentials);
    for (what, status) in wrong_statuses(&good) {
        put_status(&shop, status).await?;
        shop.until("orders", what, |binding| {
            ready(binding)
                && binding
                    .status
                    .as_ref()
                    .is_some_and(|it| json!(it.credentials) == credentials)
        })
        .await?;
    }
    assert_eq!(
        shop.operator_writes("orders").await?,
        1,
        "nothing was written to Azure"
    );
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_credential_whose_record_was_lost_goes_with_its_binding() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    for (number, what) in (0..).zip(["emptied", "without a record", "of a foreign name"]) {
        let shop = env.namespace("lost-record").await?;
        let orders = shop.identity("orders").await?;
        let first = env.operator_with_other(&[]).await?;
        shop.bind_to("orders", &orders).await?;
        let good = json!(shop.ready("orders").await?.status);
        first.kill().await?;
        let (_, status) = wrong_statuses(&good).swap_remove(number);
        put_status(&shop, status).await?;
        shop.bindings()
            .delete("orders", &DeleteParams::default())
            .await?;
        let second = env.operator_with_other(&[]).await?;
        shop.until_gone("orders").await?;
        assert_eq!(shop.credentials(&orders).await?, [], "{what}");
        second.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_time_that_is_ahead_takes_ready_from_no_good_binding() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let operator = env.operator_with_other(&[]).await?;
    let shop = env.namespace("clock-ahead").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let mut status = json!(shop.ready("orders").await?.status);
    let ahead = "2999-01-02T03:04:05Z";
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = json!(ahead);
    }
    put_status(&shop, status).await?;
    let judged = shop
        .until("orders", "with times that can be", |binding| {
            let conditions = binding.status.iter().flat_map(|it| &it.conditions);
            conditions
                .into_iter()
                .all(|it| !json!(it.last_transition_time).to_string().contains("2999"))
        })
        .await?;
    assert!(ready(&judged), "{judged:?}");
    operator.kill().await?;
    Ok(())
}

/// A binding that is Ready, left by an operator that runs on; its next resync is far away.
async fn a_good_one<'a>(
    env: &'a Environment,
    purpose: &str,
) -> anyhow::Result<(Namespace<'a>, ManagedIdentity, WorkloadIdentityBinding)> {
    let shop = env.namespace(purpose).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let good = shop.ready("orders").await?;
    Ok((shop, orders, good))
}

#[tokio::test]
async fn an_older_object_that_kubectl_puts_over_the_status_gets_its_record_back_at_once()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let (shop, orders, good) = a_good_one(&env, "replaced").await?;
    let mut older = json!(good);
    older["metadata"] = json!({ "name": "orders", "namespace": shop.name() });
    older["status"] = json!({
        "observedGeneration": 1,
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Creating", "message": "as it was once",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    });
    let file = std::env::temp_dir().join(format!("{}.json", shop.name()));
    std::fs::write(&file, older.to_string())?;
    let path = file.display().to_string();
    let replace = ["replace", "--subresource=status", "-f", path.as_str()];
    env.control_plane.kubectl(&replace).await?;
    std::fs::remove_file(&file)?;
    let uid = good.uid().unwrap();
    env.records
        .note_foreign_status(&uid, older["status"].clone())?;
    let records = |binding: &WorkloadIdentityBinding| json!(binding.status)["credentials"].clone();
    shop.until("orders", "as before", |binding| {
        ready(binding) && records(binding) == records(&good)
    })
    .await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn who_fights_over_a_status_is_answered_every_quarter_of_a_minute() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let (shop, _, good) = a_good_one(&env, "fought-over").await?;
    let records = |binding: &WorkloadIdentityBinding| json!(binding.status)["credentials"].clone();
    let began = Instant::now();
    for _ in 0..7 {
        put_status(&shop, json!({ "observedGeneration": -1 })).await?;
        shop.until("orders", "put right", |binding| {
            records(binding) == records(&good)
        })
        .await?;
    }
    // Five answers go at once.
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(25), "{took:?}");
    shop.ready("orders").await?;
    Ok(())
}

fn forbidden() -> FaultAction {
    FaultAction::Respond {
        status: 403,
        code: "AuthorizationFailed".to_owned(),
        message: "The client 'azwib' does not have authorization to perform action 'read' over scope 'orders'.".to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

/// A binding that went and left its credential, as it was to.
async fn retained(shop: &Namespace<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    let spec = |more: &str| format!("identity: {{resourceId: {}}}{more}", orders.resource_id());
    shop.bind("orders", &spec(", deletionPolicy: Retain"))
        .await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(orders).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_has_never_made_a_credential_deletes_none_that_another_has_left() -> anyhow::Result<()>
{
    let env = Environment::without_operator().await?;
    let first = env.operator_with_other(&[]).await?;
    let shop = env.namespace("retained").await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    retained(&shop, &orders).await?;
    let left = shop.credentials(&orders).await?;

    let suspended = format!("identity: {{resourceId: {id}}}, suspend: true");
    shop.bind("orders", &suspended).await?;
    let says = |reason: &'static str| {
        move |binding: &WorkloadIdentityBinding| {
            condition(binding, "Ready").is_some_and(|it| it.reason == reason)
        }
    };
    shop.until("orders", "suspended", says("Suspended")).await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, left, "suspended");

    // The identity cannot be read, by a process that has not read it yet; its credentials could be.
    first.kill().await?;
    let identity_alone = Matcher {
        method: Some("GET".to_owned()),
        path: Some(id.to_owned()),
        ..Matcher::default()
    };
    let outage = env.outage(identity_alone, forbidden()).await?;
    let _second = env.operator_with_other(&[]).await?;
    shop.bind_to("orders", &orders).await?;
    shop.until("orders", "not resolved", says("AuthorizationFailed"))
        .await?;
    shop.unbind("orders").await?;
    outage.end().await?;
    assert_eq!(shop.credentials(&orders).await?, left, "never resolved");

    // Whichever live binding of that account and identity is there has it.
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

/// A status as the same binding has it in a cluster with another issuer.
fn of_other_cluster(
    good: &WorkloadIdentityBinding,
    shop: &Namespace<'_>,
) -> anyhow::Result<(String, serde_json::Value)> {
    let issuer = Issuer::parse(OTHER_ISSUER)?;
    let name = CredentialName::derive(&issuer, shop.name(), "orders").to_string();
    let mut status = json!(good.status);
    let record = &mut status["credentials"][0];
    (record["name"], record["issuer"]) = (json!(name), json!(OTHER_ISSUER));
    Ok((name, status))
}

#[tokio::test]
async fn a_clone_with_its_status_reports_no_step_as_done_and_leaves_the_other_clusters_credential()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env.operator_with_other(&[]).await?;
    let (shop, orders, good) = a_good_one(&env, "cloned").await?;
    shop.unbind("orders").await?;
    let (name, status) = of_other_cluster(&good, &shop)?;
    let subject = format!("system:serviceaccount:{}:orders", shop.name());
    let arm = env.arm().await?;
    let audience = "api://AzureADTokenExchange";
    arm.put_credential(
        orders.resource_id(),
        &name,
        OTHER_ISSUER,
        &subject,
        audience,
    )
    .await?;
    let theirs = shop.credentials(&orders).await?;
    let accounts = shop.service_accounts();
    wait::until("the end of the account", PATIENCE, async || {
        Ok(accounts.get_opt("orders").await?.is_none().then_some(()))
    })
    .await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, suspend: true",
        orders.resource_id()
    );
    for reason in ["IssuerChanged", "Suspended"] {
        // It makes nothing before it has that status.
        shop.bind("orders", &spec).await?;
        shop.until("orders", "suspended", |it| condition(it, "Ready").is_some())
            .await?;
        put_status(&shop, status.clone()).await?;
        if reason == "IssuerChanged" {
            shop.change("orders", json!({ "suspend": false })).await?;
        }
        let cloned = shop
            .until("orders", reason, |it| {
                condition(it, "Ready").is_some_and(|it| it.reason == reason)
            })
            .await?;
        let namespaced = ["get", "azwib", "-n", shop.name()];
        let shown = env.control_plane.kubectl(&namespaced).await?;
        assert!(shown.contains(reason), "{shown}");
        for step in ["IdentityResolved", "ServiceAccountReady", "CredentialReady"] {
            let said = &condition(&cloned, step).unwrap().status;
            assert_ne!(said, "True", "{step} of a clone, {reason}");
        }
        let account = cloned.status.as_ref().unwrap().service_account.as_ref();
        assert_eq!(account, None, "{reason}");
        assert!(accounts.get_opt("orders").await?.is_none(), "{reason}");
        shop.unbind("orders").await?;
        let left = shop.credentials(&orders).await?;
        assert_eq!(left, theirs, "{reason}");
    }
    let told = shop.event("CredentialLeft").await?;
    assert!(told.contains(OTHER_ISSUER), "{told}");

    // Created again, it gets a credential for this cluster, beside the other's.
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, theirs);
    Ok(())
}

#[tokio::test]
async fn conditions_of_others_that_fill_the_list_keep_no_binding_from_its_own() -> anyhow::Result<()>
{
    // As many as the schema takes.
    const ALL: usize = 32;
    let env = Environment::without_operator().await?;
    let shop = env.namespace("crowded").await?;
    let orders = shop.identity("orders").await?;
    let of_others: Vec<_> = (0..ALL)
        .map(|number| {
            json!({
                "type": format!("example.com/Other{number}"), "status": "True", "reason": "Seen", "message": "by others",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            })
        })
        .collect();
    let full =
        |generation: i64| json!({ "observedGeneration": generation, "conditions": of_others });
    shop.bind_to("orders", &orders).await?;
    put_status(&shop, full(-1)).await?;
    let _operator = env.operator_with_other(&[]).await?;
    let stand_first = |binding: &WorkloadIdentityBinding| {
        let conditions = json!(binding.status)["conditions"].clone();
        let others: Vec<_> = conditions
            .as_array()
            .into_iter()
            .flatten()
            .filter(|it| it["type"].as_str().is_some_and(|it| it.contains('/')))
            .cloned()
            .collect();
        assert!(others.len() >= ALL - 8, "{conditions}");
        assert_eq!(others, of_others[..others.len()]);
    };
    stand_first(&shop.ready("orders").await?);
    // Over a status of ours as well.
    put_status(&shop, full(1)).await?;
    stand_first(&shop.ready("orders").await?);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_foreign_status_takes_ready_from_no_good_binding_while_azure_cannot_be_looked_at()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env.operator_with_other(&[]).await?;
    let (shop, orders, good) = a_good_one(&env, "unseen").await?;
    let outage = shop.outage(service_unavailable()).await?;
    shop.event("AzureUnavailable").await?;
    let (_, of_other_issuer) = of_other_cluster(&good, &shop)?;
    let is_own = |binding: &WorkloadIdentityBinding| {
        json!(binding.status)["credentials"] == json!(good.status)["credentials"]
    };
    let mut foreign = wrong_statuses(&json!(good.status));
    foreign.truncate(3);
    foreign.push(("of another issuer", of_other_issuer));
    for (what, status) in foreign {
        let before = shop.bindings().get("orders").await?;
        put_status(&shop, status.clone()).await?;
        let again = |binding: &WorkloadIdentityBinding| ready(binding) && is_own(binding);
        let versions = shop.versions_until(&before, what, again).await?;
        for version in versions {
            // None where it was emptied.
            let reason = condition(&version, "Ready").map_or("", |it| &it.reason);
            assert!(["", "Succeeded"].contains(&reason), "{what}: {reason}");
        }
    }
    outage.end().await?;
    shop.ready("orders").await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_credential_that_may_be_left_behind_a_suspended_binding_is_told() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    // A process that has known the record, and one that has not.
    for is_restarted in [false, true] {
        let mut operator = env.operator_with_other(&[]).await?;
        let (shop, orders, _) = a_good_one(&env, "suspended-leak").await?;
        shop.change("orders", json!({ "suspend": true })).await?;
        let observed = |it: &WorkloadIdentityBinding| observed(it) && ready(it);
        shop.until("orders", "suspended and Ready", observed)
            .await?;
        let credential = Matcher {
            method: Some("GET".to_owned()),
            path: Some(format!("{}/**", orders.resource_id())),
            ..Matcher::default()
        };
        let outage = env.outage(credential, forbidden()).await?;
        if is_restarted {
            operator.kill().await?;
        }
        put_status(&shop, json!({ "observedGeneration": -1 })).await?;
        shop.bindings()
            .delete("orders", &DeleteParams::default())
            .await?;
        if is_restarted {
            operator = env.operator_with_other(&[]).await?;
        }
        shop.until_gone("orders").await?;
        let told = shop.event("CredentialLeft").await?;
        let name = shop.credential_name("orders")?;
        for part in [
            &*name,
            "its record was lost, and it cannot be read",
            "AuthorizationFailed",
        ] {
            assert!(told.contains(part), "{told}");
        }
        outage.end().await?;
        assert_eq!(shop.credentials(&orders).await?.len(), 1);
        operator.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_in_other_letters_than_ascii_wake_who_has_the_old_client_id() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let _operator = env
        .operator_with_other(&["--resync-period=1h".to_owned()])
        .await?;
    let shop = env.namespace("letters").await?;
    let subscription = env.simulator.subscription();
    let group = format!("{}-größe", shop.name());
    let control = env.control();
    control.create_resource_group(&group).await?;
    let scope = |group: &str| format!("/subscriptions/{subscription}/resourceGroups/{group}");
    env.grant_operator(&scope(&group)).await?;
    let id = |group: &str| {
        let scope = scope(group);
        format!("{scope}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders")
    };
    control.create_identity(&group, "orders").await?;
    for (name, group) in [
        ("orders", group.clone()),
        ("stock", group.replace("größe", "GRÖSSE")),
    ] {
        let spec = format!("identity: {{resourceId: {}}}", id(&group));
        shop.bind(name, &spec).await?;
        shop.ready(name).await?;
    }
    env.arm().await?.delete(&id(&group)).await?;
    let made_again = control.create_identity(&group, "orders").await?.client_id;
    // Only one of them asks for a look.
    let request =
        json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "1" } } });
    shop.bindings()
        .patch("orders", &PatchParams::default(), &Patch::Merge(request))
        .await?;
    for name in ["orders", "stock"] {
        shop.until(name, "of the identity that was made again", |binding| {
            let identity = binding.status.as_ref().and_then(|it| it.identity.as_ref());
            ready(binding) && identity.is_some_and(|it| it.client_id == made_again.to_string())
        })
        .await?;
    }
    Ok(())
}
