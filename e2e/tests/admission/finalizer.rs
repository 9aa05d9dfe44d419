//! The finalizer of a binding is taken off by the operator, by whoever holds the verb `detach`, and by nobody else.
//!
//! No operator runs here but where a test says so: it would put back what a test takes off.

use azwib_e2e::environment::{Namespace, PATIENCE};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as KubernetesNamespace};
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::ways::{Bindings, FINALIZER, WAYS, Way, finalizers, manifest, merge, take_off};
use super::{Outcome, metadata};

const EDITOR: &str = "azwib-binding-editor";
const RESOURCE: &str = "--resource=workloadidentitybindings.azwib.dev";

async fn environment() -> anyhow::Result<&'static Environment> {
    static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();
    ENVIRONMENT
        .get_or_try_init(Environment::without_operator)
        .await
}

/// A namespace with the binding `orders`, which has the finalizer.
async fn shop(env: &'static Environment, purpose: &str) -> anyhow::Result<Namespace<'static>> {
    let shop = env.namespace(purpose).await?;
    bind(&shop, "orders").await?;
    Ok(shop)
}

/// A binding with the finalizer.
async fn bind(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    shop.bind(name, "identity: {name: orders}").await?;
    merge(
        &shop.bindings(),
        name,
        finalizers(json!([FINALIZER])),
        false,
    )
    .await?;
    Ok(())
}

/// A ServiceAccount of the namespace that holds this ClusterRole in it.
async fn user(shop: &Namespace<'_>, name: &str, role: &str) -> anyhow::Result<Client> {
    let namespace = shop.name();
    let control_plane = &shop.environment().control_plane;
    let manifest = format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}, namespace: {namespace}}}}}\n---\n\
         {{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: {name}, namespace: {namespace}}}, \
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}, \
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]}}"
    );
    control_plane.apply(&manifest).await?;
    control_plane
        .client_for_service_account(namespace, name)
        .await
}

/// The bindings as somebody sees them who may edit them, while the policy is in force.
async fn as_tenant(shop: &Namespace<'_>) -> anyhow::Result<Bindings> {
    let bindings = Api::namespaced(user(shop, "tenant", EDITOR).await?, shop.name());
    wait::until(
        "the policy and the role to be in force",
        PATIENCE,
        async || {
            let edit = merge(
                &bindings,
                "orders",
                metadata("labels", json!({ "a": "b" })),
                true,
            )
            .await;
            let strip = merge(&bindings, "orders", finalizers(json!([])), true).await;
            Ok((edit.is_ok() && is_refused(&strip)).then_some(()))
        },
    )
    .await?;
    Ok(bindings)
}

/// Gives the tenant these rights too, as the page on security does it.
async fn allow(shop: &Namespace<'_>, rights: &[&str]) -> anyhow::Result<()> {
    let control_plane = &shop.environment().control_plane;
    let role = ["create", "role", "more", "-n", shop.name()];
    control_plane.kubectl(&[&role[..], rights].concat()).await?;
    let tenant = format!("--serviceaccount={}:tenant", shop.name());
    let binding = [
        "create",
        "rolebinding",
        "more",
        "-n",
        shop.name(),
        "--role=more",
        &tenant,
    ];
    control_plane.kubectl(&binding).await.map(drop)
}

/// Refused by the policy, in words that say what to do.
fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Err(kube::Error::Api(answer)) if answer.code == 403
        && answer.message.contains("ValidatingAdmissionPolicy 'azwib-finalizer'")
        && answer.message.contains("leaves its federated identity credential in Azure")
        && answer.message.contains("azwib.dev/force-detach"))
}

#[tokio::test]
async fn an_editor_of_bindings_takes_the_finalizer_off_in_no_way() -> anyhow::Result<()> {
    let shop = shop(environment().await?, "strip").await?;
    let bindings = as_tenant(&shop).await?;
    for way in WAYS {
        let outcome = take_off(&bindings, way).await;
        assert!(is_refused(&outcome), "{way:?}: {outcome:?}");
    }

    let both = finalizers(json!([FINALIZER, "example.com/other"]));
    merge(&bindings, "orders", both, false).await?;
    bindings.delete("orders", &DeleteParams::default()).await?;
    for way in WAYS {
        // The API server takes no new finalizer on what is being deleted.
        if matches!(way, Way::Patch(["azwib.dev/cleanups"])) {
            continue;
        }
        let outcome = take_off(&bindings, way).await;
        assert!(is_refused(&outcome), "{way:?}, deleted: {outcome:?}");
    }
    let left = shop.bindings().get("orders").await?;
    assert_eq!(left.finalizers(), [FINALIZER, "example.com/other"]);
    assert!(left.metadata.deletion_timestamp.is_some());
    Ok(())
}

/// It shows of each way that nothing but the policy stands in it.
#[tokio::test]
async fn a_holder_of_detach_takes_the_finalizer_off_in_every_way() -> anyhow::Result<()> {
    let shop = shop(environment().await?, "ways").await?;
    let bindings = as_tenant(&shop).await?;
    allow(&shop, &["--verb=detach", RESOURCE]).await?;
    until_detachable(&bindings).await?;
    for way in WAYS {
        let put_on = finalizers(json!([FINALIZER]));
        merge(&bindings, "orders", put_on, false).await?;
        take_off(&bindings, way).await?;
        let left = bindings.get("orders").await?;
        assert!(
            !left.finalizers().contains(&FINALIZER.to_owned()),
            "{way:?}"
        );
    }
    Ok(())
}

/// Waits until the finalizer of `orders` may be taken off.
async fn until_detachable(bindings: &Bindings) -> anyhow::Result<()> {
    wait::until("the role to be in force", PATIENCE, async || {
        let strip = merge(bindings, "orders", finalizers(json!([])), true).await;
        Ok(strip.is_ok().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_write_to_the_status_leaves_the_finalizer() -> anyhow::Result<()> {
    let shop = shop(environment().await?, "status").await?;
    let bindings = as_tenant(&shop).await?;
    let resource = "--resource=workloadidentitybindings.azwib.dev/status";
    allow(&shop, &["--verb=patch,update", resource]).await?;
    let patch = Patch::Merge(
        json!({ "metadata": { "finalizers": null }, "status": { "observedGeneration": 7 } }),
    );
    let written = wait::until("the role to be in force", PATIENCE, async || {
        let parameters = PatchParams::default();
        Ok(bindings
            .patch_status("orders", &parameters, &patch)
            .await
            .ok())
    })
    .await?;
    let (uid, foreign) = (written.uid().unwrap(), json!({ "observedGeneration": 7 }));
    shop.environment()
        .records
        .note_foreign_status(&uid, foreign)?;
    assert_eq!(written.status.unwrap().observed_generation, 7);
    assert_eq!(written.metadata.finalizers.unwrap(), [FINALIZER]);
    Ok(())
}

#[tokio::test]
async fn the_operator_takes_the_finalizer_off_a_deleted_binding() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = shop(env, "operator").await?;
    as_tenant(&shop).await?;
    let operator = env
        .control_plane
        .client_for_service_account("azwib-system", "azwib-operator")
        .await?;
    let deletion = DeleteParams::default();
    shop.bindings().delete("orders", &deletion).await?;
    let bindings: Bindings = Api::namespaced(operator, shop.name());
    merge(&bindings, "orders", finalizers(json!([])), false).await?;
    shop.until_gone("orders").await
}

#[tokio::test]
async fn a_holder_of_detach_takes_the_finalizer_off_those_bindings_that_the_role_names()
-> anyhow::Result<()> {
    let shop = shop(environment().await?, "detach").await?;
    bind(&shop, "stock").await?;
    let bindings = as_tenant(&shop).await?;
    let rights = ["--verb=detach", RESOURCE, "--resource-name=orders"];
    allow(&shop, &rights).await?;
    until_detachable(&bindings).await?;
    let other = merge(&bindings, "stock", finalizers(json!([])), false).await;
    assert!(is_refused(&other), "{other:?}");

    bindings.delete("orders", &DeleteParams::default()).await?;
    merge(&bindings, "orders", finalizers(json!([])), false).await?;
    shop.until_gone("orders").await
}

#[tokio::test]
async fn an_admin_of_a_namespace_cannot_hand_out_the_verb_detach() -> anyhow::Result<()> {
    let shop = shop(environment().await?, "admin").await?;
    as_tenant(&shop).await?;
    let admin = user(&shop, "boss", "admin").await?;
    let roles: Api<Role> = Api::namespaced(admin.clone(), shop.name());
    let role = async |verb: &str| {
        let role = json!({ "metadata": { "name": verb }, "rules": [{
            "apiGroups": ["azwib.dev"], "resources": ["workloadidentitybindings"], "verbs": [verb],
        }] });
        let role: Role = serde_json::from_value(role).unwrap();
        roles.create(&PostParams::default(), &role).await
    };
    wait::until("the role to be in force", PATIENCE, async || {
        Ok(role("patch").await.ok())
    })
    .await?;
    let refusal = role("detach").await.unwrap_err().to_string();
    assert!(refusal.contains("not currently held"), "{refusal}");

    let bindings: Bindings = Api::namespaced(admin, shop.name());
    let strip = merge(&bindings, "orders", finalizers(json!([])), false).await;
    assert!(is_refused(&strip), "{strip:?}");
    Ok(())
}

#[tokio::test]
async fn whoever_may_edit_a_binding_edits_all_but_the_finalizer() -> anyhow::Result<()> {
    let shop = shop(environment().await?, "edit").await?;
    let bindings = as_tenant(&shop).await?;
    let both = json!([FINALIZER, "example.com/other"]);
    for patch in [
        json!({ "spec": { "suspend": true } }),
        metadata("labels", json!({ "team": "shop" })),
        finalizers(both),
        finalizers(json!(["example.com/other", FINALIZER])),
        finalizers(json!([FINALIZER])),
    ] {
        merge(&bindings, "orders", patch, false).await?;
    }
    let mut read = bindings.get("orders").await?;
    read.spec.suspend = false;
    let update = PostParams::default();
    bindings.replace("orders", &update, &read).await?;

    // One that the operator has not seen yet.
    let new = manifest("new");
    let apply = PatchParams::apply("tenant");
    bindings.patch("new", &apply, &Patch::Apply(new)).await?;
    for patch in [
        json!({ "spec": { "suspend": true } }),
        finalizers(json!(["example.com/other"])),
        finalizers(Value::Null),
        finalizers(json!([FINALIZER])),
    ] {
        merge(&bindings, "new", patch, false).await?;
    }
    let strip = merge(&bindings, "new", finalizers(Value::Null), false).await;
    assert!(is_refused(&strip), "{strip:?}");
    Ok(())
}

#[tokio::test]
async fn the_garbage_collector_takes_its_own_finalizers_off() -> anyhow::Result<()> {
    let shop = shop(environment().await?, "collector").await?;
    as_tenant(&shop).await?;
    bind(&shop, "stock").await?;
    for (name, deletion, finalizer) in [
        ("orders", DeleteParams::foreground(), "foregroundDeletion"),
        ("stock", DeleteParams::orphan(), "orphan"),
    ] {
        let deleted = shop.bindings().delete(name, &deletion).await?.left();
        let waits_for = deleted.and_then(|it| it.metadata.finalizers).unwrap();
        assert!(waits_for.iter().any(|it| it == finalizer), "{waits_for:?}");
        shop.until(name, "let go by the garbage collector", |binding| {
            binding.finalizers() == [FINALIZER]
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn bindings_go_with_their_owner_and_with_their_namespace() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("goes").await?;
    let identity = shop.identity("orders").await?;
    for name in ["orders", "stock"] {
        shop.bind_to(name, &identity).await?;
        shop.ready(name).await?;
    }
    as_tenant(&shop).await?;

    let owners: Api<ConfigMap> = Api::namespaced(shop.client().clone(), shop.name());
    let owner = serde_json::from_value(metadata("name", json!("owner")))?;
    let owner = owners.create(&PostParams::default(), &owner).await?;
    let owned =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid() }]);
    merge(
        &shop.bindings(),
        "stock",
        metadata("ownerReferences", owned),
        false,
    )
    .await?;
    owners.delete("owner", &DeleteParams::default()).await?;
    shop.until_gone("stock").await?;

    let namespaces: Api<KubernetesNamespace> = Api::all(shop.client().clone());
    namespaces
        .delete(shop.name(), &DeleteParams::default())
        .await?;
    wait::until("the end of the namespace", PATIENCE, async || {
        Ok(namespaces
            .get_opt(shop.name())
            .await?
            .is_none()
            .then_some(()))
    })
    .await?;
    let left = env.arm().await?.credentials(identity.resource_id()).await?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
