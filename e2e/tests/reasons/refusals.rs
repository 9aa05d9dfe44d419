//! The API server refuses what azwib has to write: a policy, or a webhook that nobody answers for.

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::rule::{Rule, create};
use azwib_e2e::environment::{Namespace, PATIENCE, condition};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1 as k8s;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

const WORDING: &str = "every object needs the label team";

/// Refuses updates of the bindings of this namespace, their status not among them; in force when this returns.
async fn frozen(shop: &Namespace<'_>, probe: &str) -> anyhow::Result<Rule> {
    let bindings = ("azwib.dev", "workloadidentitybindings");
    let rule = Rule::deny(shop, bindings, "UPDATE", WORDING).await?;
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "probe": "true" } } }));
    wait::until("the rule to be in force", PATIENCE, async || {
        let refused = shop.bindings().patch(probe, &dry, &patch).await;
        Ok(refused.is_err().then_some(()))
    })
    .await?;
    Ok(rule)
}

fn reason<'a>(binding: &'a WorkloadIdentityBinding, type_: &str) -> &'a str {
    condition(binding, type_).map_or("", |it| it.reason.as_str())
}

#[tokio::test]
async fn a_policy_that_refuses_the_finalizer_is_named_until_it_is_lifted() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("frozen").await?;
    let orders = shop.identity("orders").await?;
    let probe = shop.identity("probe").await?;
    shop.bind_to("probe", &probe).await?;
    shop.ready("probe").await?;
    let rule = frozen(&shop, "probe").await?;

    shop.bind_to("orders", &orders).await?;
    let refused = shop.failing("orders", "Ready", "BindingRefused").await?;
    assert!(refused.message.contains(WORDING), "{refused:?}");
    let binding = shop.bindings().get("orders").await?;
    assert_eq!(reason(&binding, "Reconciling"), "BindingRefused");
    assert!(binding.metadata.finalizers.is_none());
    let note = shop.event("BindingRefused").await?;
    assert!(note.contains(WORDING), "{note}");
    assert_eq!(shop.operator_writes("orders").await?, 0);
    let probe = shop.bindings().get("probe").await?;
    assert_eq!(condition(&probe, "Ready").unwrap().status, "True");

    rule.lift().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_whose_finalizer_may_not_go_says_that_the_rest_is_cleaned_up()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("frozen-end").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let rule = frozen(&shop, "orders").await?;

    let bindings = shop.bindings();
    bindings.delete("orders", &DeleteParams::default()).await?;
    let refused = shop.failing("orders", "Ready", "BindingRefused").await?;
    assert!(refused.message.contains(WORDING), "{refused:?}");
    let binding = bindings.get("orders").await?;
    for step in ["CredentialReady", "ServiceAccountReady"] {
        assert_eq!(reason(&binding, step), "CleanedUp", "{step}");
    }
    assert_eq!(binding.status.unwrap().credentials, []);
    assert_eq!(shop.credentials(&orders).await?, []);

    rule.lift().await?;
    shop.until_gone("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_nobody_answers_for_is_named_and_a_cleanup_that_it_holds_up_is_let_go()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("dead").await?;
    let orders = shop.identity("orders").await?;
    let late = shop.identity("late").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(shop.client().clone());
    let webhook = json!({
        "metadata": { "name": shop.name() },
        "webhooks": [{
            "name": "accounts.policy.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 3,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": shop.name() } },
            "clientConfig": { "url": "https://127.0.0.1:9/validate" },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["serviceaccounts"] }],
        }],
    });
    create(&webhooks, webhook).await?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let probe: k8s::ServiceAccount =
        serde_json::from_value(json!({ "metadata": { "name": "probe" } }))?;
    wait::until("the webhook to be in force", PATIENCE, async || {
        let refused = shop.service_accounts().create(&dry, &probe).await;
        Ok(refused.is_err().then_some(()))
    })
    .await?;

    shop.bind_to("late", &late).await?;
    let step = "ServiceAccountReady";
    let refused = shop.failing("late", step, "ServiceAccountRefused").await?;
    let cause = "failed calling webhook \"accounts.policy.example.com\"";
    assert!(refused.message.contains(cause), "{refused:?}");
    assert_eq!(shop.operator_writes("late").await?, 0);

    let bindings = shop.bindings();
    bindings.delete("orders", &DeleteParams::default()).await?;
    let refused = shop
        .failing("orders", step, "ServiceAccountRefused")
        .await?;
    assert!(refused.message.contains(cause), "{refused:?}");
    let binding = bindings.get("orders").await?;
    assert_eq!(reason(&binding, "Ready"), "ServiceAccountRefused");
    assert_eq!(reason(&binding, "CredentialReady"), "CleanedUp");
    assert_eq!(shop.credentials(&orders).await?, []);

    let namespaces: Api<k8s::Namespace> = Api::all(shop.client().clone());
    let let_go = json!({ "metadata": { "annotations": { "azwib.dev/force-detach": "true" } } });
    let by_hand = PatchParams::default();
    let let_go = Patch::Merge(let_go);
    namespaces.patch(shop.name(), &by_hand, &let_go).await?;
    shop.until_gone("orders").await?;
    let note = shop.event("ForceDetached").await?;
    assert!(note.contains(cause), "{note}");

    let at_once = DeleteParams::default();
    webhooks.delete(shop.name(), &at_once).await?;
    shop.ready("late").await?;
    Ok(())
}

#[tokio::test]
async fn conditions_of_other_writers_stay() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("others").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let reviewed = json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "status": { "conditions": [{
            "type": "example.com/Reviewed", "status": "True", "reason": "ByHand", "message": "looked at",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }] },
    });
    let reviewer = PatchParams::apply("reviewer");
    let bindings = shop.bindings();
    bindings
        .patch_status("orders", &reviewer, &Patch::Apply(&reviewed))
        .await?;
    let spec = json!({ "spec": { "credential": { "audience": "api://another" } } });
    let by_hand = PatchParams::default();
    bindings
        .patch("orders", &by_hand, &Patch::Merge(&spec))
        .await?;
    let binding = shop.ready("orders").await?;
    let reviewed = condition(&binding, "example.com/Reviewed").unwrap();
    assert_eq!(reviewed.message, "looked at");
    Ok(())
}

#[tokio::test]
async fn a_rule_that_freezes_accounts_is_named_to_whom_it_stops_until_it_is_lifted()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("frozen-accounts").await?;
    let orders = shop.identity("orders").await?;
    let given = shop.identity("given").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let account = json!({ "metadata": { "name": "given" } });
    create(&shop.service_accounts(), account).await?;
    let wording = "service accounts are changed through tickets only";
    let rule = Rule::deny(&shop, ("", "serviceaccounts"), "UPDATE", wording).await?;
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "probe": "true" } } }));
    wait::until("the rule to be in force", PATIENCE, async || {
        let refused = shop.service_accounts().patch("given", &dry, &patch).await;
        Ok(refused.is_err().then_some(()))
    })
    .await?;

    // An account that was there before, and a deletion.
    shop.bind_to("given", &given).await?;
    let step = "ServiceAccountReady";
    let refused = shop.failing("given", step, "ServiceAccountRefused").await?;
    assert!(refused.message.contains(wording), "{refused:?}");
    let bindings = shop.bindings();
    bindings.delete("orders", &DeleteParams::default()).await?;
    let refused = shop
        .failing("orders", step, "ServiceAccountRefused")
        .await?;
    assert!(refused.message.contains(wording), "{refused:?}");
    let binding = bindings.get("orders").await?;
    assert_eq!(reason(&binding, "CredentialReady"), "CleanedUp");
    assert_eq!(shop.credentials(&orders).await?, []);

    rule.lift().await?;
    shop.ready("given").await?;
    shop.until_gone("orders").await?;
    Ok(())
}
