//! config/admission on a real API server: the operator works under it, whoever has its token can do no more, and nobody else takes its
//! finalizer off.
#![allow(clippy::unwrap_used, clippy::panic)]

mod finalizer;
mod ways;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Namespace, PATIENCE};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

const CLIENT_ID: &str = "azure.workload.identity/client-id";
const DEAD: &str = "00000000-0000-4000-8000-000000000000";

/// A namespace with an account of somebody's, one of the operator's, and whoever has stolen the operator's token.
struct Scene<'a> {
    shop: Namespace<'a>,
    thief: Client,
}

impl<'a> Scene<'a> {
    async fn set(env: &'a Environment, purpose: &str) -> anyhow::Result<Self> {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        let manifest = format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: victim, namespace: {}, labels: {{team: shop}}, \
             annotations: {{note: kept}}}}, imagePullSecrets: [{{name: registry}}]}}",
            shop.name()
        );
        env.control_plane.apply(&manifest).await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        let thief = env
            .control_plane
            .client_for_service_account("azwib-system", "azwib-operator")
            .await?;
        let scene = Self { shop, thief };
        wait::until("the policies to be in force", PATIENCE, async || {
            let label = json!({ "metadata": { "labels": { "probe": "x" } } });
            let account = scene.merge("victim", label.clone(), true).await;
            let binding = scene.merge_binding(label, true).await;
            Ok((is_refused(&account) && is_refused(&binding)).then_some(()))
        })
        .await?;
        Ok(scene)
    }

    fn accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.thief.clone(), self.shop.name())
    }

    async fn merge(&self, account: &str, patch: Value, dry_run: bool) -> Outcome {
        let parameters = PatchParams {
            dry_run,
            ..PatchParams::default()
        };
        let accounts = self.accounts();
        let patch = Patch::Merge(patch);
        accounts.patch(account, &parameters, &patch).await.map(drop)
    }

    async fn apply(&self, account: &str, metadata: Value) -> Outcome {
        let mut object =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
        object["metadata"]["name"] = json!(account);
        let parameters = PatchParams::apply("azwib").force();
        let accounts = self.accounts();
        let patch = Patch::Apply(object);
        accounts.patch(account, &parameters, &patch).await.map(drop)
    }

    async fn create(&self, mut account: Value) -> Outcome {
        account["metadata"]["name"] = json!("new");
        let account = serde_json::from_value(account).unwrap();
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        self.accounts().create(&dry, &account).await.map(drop)
    }

    async fn merge_binding(&self, patch: Value, dry_run: bool) -> Outcome {
        let bindings: Api<WorkloadIdentityBinding> =
            Api::namespaced(self.thief.clone(), self.shop.name());
        let parameters = PatchParams {
            dry_run,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        bindings
            .patch("orders", &parameters, &patch)
            .await
            .map(drop)
    }
}

type Outcome = Result<(), kube::Error>;

/// Refused by one of the policies, not by RBAC or for want of sense.
fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Err(kube::Error::Api(answer))
        if answer.code == 403 && answer.message.contains("ValidatingAdmissionPolicy 'azwib-operator-"))
}

fn owner(kind: &str, uid: &str) -> Value {
    let api_version = if kind == "WorkloadIdentityBinding" {
        "azwib.dev/v1alpha1"
    } else {
        "v1"
    };
    json!({ "apiVersion": api_version, "kind": kind, "name": "gone", "uid": uid })
}

fn metadata(field: &str, value: Value) -> Value {
    json!({ "metadata": { field: value } })
}

#[tokio::test]
async fn a_stolen_token_cannot_have_the_garbage_collector_delete_somebodys_account()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let scene = Scene::set(env, "collected").await?;
    let dead = owner("WorkloadIdentityBinding", DEAD);
    let blocking = json!({ "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "name": "orders",
                           "uid": DEAD, "controller": true });
    let ownership = json!([{ "manager": "azwib", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                         "fieldsV1": { "f:metadata": { "f:labels": { "f:azwib.dev/origin": {} } } } }]);
    for patch in [
        metadata("ownerReferences", json!([dead])),
        metadata("ownerReferences", json!([owner("ConfigMap", DEAD)])),
        metadata("labels", json!({ "azwib.dev/origin": "Created" })),
        metadata("labels", json!({ "app.kubernetes.io/managed-by": "azwib" })),
        metadata("managedFields", ownership),
        json!({ "metadata": { "ownerReferences": [dead], "labels": { "azwib.dev/origin": "Created" } } }),
    ] {
        let outcome = scene.merge("victim", patch.clone(), false).await;
        assert!(is_refused(&outcome), "{patch}: {outcome:?}");
    }
    for fields in [
        json!({ "ownerReferences": [dead] }),
        json!({ "labels": { "azwib.dev/origin": "Created" } }),
        json!({ "labels": { "app.kubernetes.io/managed-by": "azwib" } }),
    ] {
        let outcome = scene.apply("victim", fields.clone()).await;
        assert!(is_refused(&outcome), "{fields}: {outcome:?}");
    }
    for references in [
        json!([owner("ConfigMap", DEAD)]),
        json!([owner("Secret", DEAD), dead]),
        json!([blocking]),
    ] {
        let patch = metadata("ownerReferences", references);
        let outcome = scene.merge("orders", patch.clone(), false).await;
        assert!(is_refused(&outcome), "{patch}: {outcome:?}");
    }
    // Its annotations it may write, and after that, too, it owns nothing else.
    scene
        .apply("victim", json!({ "annotations": { CLIENT_ID: "x" } }))
        .await?;
    let patch = metadata("ownerReferences", json!([dead]));
    assert!(is_refused(&scene.merge("victim", patch, false).await));
    let victim = scene.shop.service_accounts().get("victim").await?;
    assert_eq!(victim.owner_references(), []);
    Ok(())
}

#[tokio::test]
async fn a_stolen_token_changes_nothing_of_an_account_but_what_the_operator_writes()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let scene = Scene::set(env, "fields").await?;
    for account in ["victim", "orders"] {
        for patch in [
            metadata(
                "annotations",
                json!({ "eks.amazonaws.com/role-arn": "arn:x" }),
            ),
            metadata("labels", json!({ "team": "thieves" })),
            metadata("finalizers", json!(["azwib.dev/cleanup"])),
            json!({ "imagePullSecrets": [{ "name": "other" }] }),
            json!({ "secrets": [{ "name": "other" }] }),
            json!({ "automountServiceAccountToken": true }),
        ] {
            let outcome = scene.merge(account, patch.clone(), true).await;
            assert!(is_refused(&outcome), "{account} {patch}: {outcome:?}");
        }
    }
    for patch in [
        metadata("annotations", json!({ "note": null })),
        metadata("annotations", json!({ "note": "changed" })),
        metadata("labels", json!({ "team": null })),
        json!({ "imagePullSecrets": null }),
    ] {
        let outcome = scene.merge("victim", patch.clone(), true).await;
        assert!(is_refused(&outcome), "{patch}: {outcome:?}");
    }
    for account in [
        metadata("annotations", json!({ "note": "x" })),
        metadata("labels", json!({ "team": "shop" })),
        metadata("finalizers", json!(["azwib.dev/cleanup"])),
        metadata("ownerReferences", json!([owner("ConfigMap", DEAD)])),
        json!({ "metadata": {}, "imagePullSecrets": [{ "name": "other" }] }),
        json!({ "metadata": {}, "secrets": [{ "name": "other" }] }),
        json!({ "metadata": {}, "automountServiceAccountToken": false }),
    ] {
        let outcome = scene.create(account.clone()).await;
        assert!(is_refused(&outcome), "{account}: {outcome:?}");
    }
    scene
        .create(metadata("annotations", json!({ CLIENT_ID: "x" })))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_stolen_token_changes_nothing_of_a_binding_but_the_operators_finalizer()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let scene = Scene::set(env, "bindings").await?;
    for patch in [
        json!({ "spec": { "suspend": true } }),
        json!({ "spec": { "deletionPolicy": "Retain" } }),
        metadata("labels", json!({ "team": "thieves" })),
        metadata("annotations", json!({ "azwib.dev/force-detach": "true" })),
        metadata("ownerReferences", json!([owner("ConfigMap", DEAD)])),
        metadata(
            "finalizers",
            json!(["azwib.dev/cleanup", "example.com/other"]),
        ),
        metadata("finalizers", json!([])),
        metadata("finalizers", Value::Null),
    ] {
        let outcome = scene.merge_binding(patch.clone(), true).await;
        assert!(is_refused(&outcome), "{patch}: {outcome:?}");
    }
    // The operator itself can let it go.
    scene.shop.unbind("orders").await
}

#[tokio::test]
async fn the_policies_have_nothing_that_the_api_server_warns_of() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(env.client().await?);
    for name in [
        "azwib-operator-service-accounts",
        "azwib-operator-bindings",
        "azwib-finalizer",
    ] {
        let policy = wait::until("the policy to be checked", PATIENCE, async || {
            let policy = policies.get(name).await?;
            let status = policy.status.as_ref();
            let is_checked = status.is_some_and(|status| status.type_checking.is_some());
            Ok(is_checked.then_some(policy))
        })
        .await?;
        let checked = policy.status.unwrap().type_checking.unwrap();
        assert_eq!(checked.expression_warnings, None, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_overlay_for_older_clusters_is_everything_but_the_policies() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let rendered = async |overlay: &str| -> anyhow::Result<Vec<String>> {
        let path = azwib_e2e::environment::repository()
            .join("config")
            .join(overlay);
        let all = env
            .control_plane
            .kubectl(&["kustomize", &path.to_string_lossy()])
            .await?;
        Ok(all.split("\n---\n").map(str::to_owned).collect())
    };
    let older = rendered("overlays/before-1.30").await?;
    let mut rest = rendered("default").await?;
    rest.retain(|object| !object.contains("kind: ValidatingAdmissionPolicy"));
    assert_eq!(older.len(), rest.len());
    for object in &rest {
        assert!(
            older.iter().any(|it| it.trim() == object.trim()),
            "{object}"
        );
    }
    Ok(())
}
