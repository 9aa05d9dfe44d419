//! Who may do what with grants: those roles that are made for it, and no tenant.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use azwib_crds::{IdentityGrant, WorkloadIdentityBinding};
use azwib_e2e::environment::{PATIENCE, repository};
use azwib_e2e::{ControlPlane, ControlPlaneOptions, wait};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::{Api, Client};
use serde_json::json;

const NAMESPACE: &str = "shop";
const READS: [&str; 4] = ["get", "get status", "list", "watch"];
const WRITES: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// A cluster as it is installed, with a grant.
async fn installed() -> anyhow::Result<ControlPlane> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let default = repository().join("config/default").display().to_string();
    let kubectl = async |args: &[&str]| control_plane.kubectl(args).await;
    kubectl(&["apply", "-k", &default]).await?;
    kubectl(&["wait", "--for=condition=Established", "crd", "--all"]).await?;
    kubectl(&["create", "namespace", NAMESPACE]).await?;
    let client = control_plane.client().await?;
    let grants: Api<IdentityGrant> = Api::all(client.clone());
    grants.create(&PostParams::default(), &grant()).await?;
    let bindings: Api<WorkloadIdentityBinding> = Api::all(client);
    wait::until("both kinds to be served", PATIENCE, async || {
        let all = ListParams::default();
        let listed = (bindings.list(&all).await, grants.list(&all).await);
        Ok((listed.0.is_ok() && listed.1.is_ok()).then_some(()))
    })
    .await?;
    Ok(control_plane)
}

fn grant() -> IdentityGrant {
    let scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-shop";
    serde_json::from_value(json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant", "metadata": { "name": "shop" },
        "spec": { "identities": [{ "scope": scope }], "namespaces": { "names": [NAMESPACE] } },
    }))
    .unwrap()
}

/// Somebody who holds this ClusterRole in all of the cluster, which is more than a tenant has.
async fn holder(control_plane: &ControlPlane, role: &str) -> anyhow::Result<Client> {
    let user = format!("holder-of-{role}");
    let kubectl = async |args: &[&str]| control_plane.kubectl(args).await;
    kubectl(&["create", "serviceaccount", &user, "-n", NAMESPACE]).await?;
    let subject = format!("--serviceaccount={NAMESPACE}:{user}");
    let role = format!("--clusterrole={role}");
    kubectl(&["create", "clusterrolebinding", &user, &role, &subject]).await?;
    control_plane
        .client_for_service_account(NAMESPACE, &user)
        .await
}

/// Whether a request got past authorization. Anything but that is a mistake of the test.
fn is_allowed<T>(answer: kube::Result<T>) -> bool {
    match answer {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 403 => false,
        Err(other) => panic!("{other}"),
    }
}

/// What somebody may do with grants. Each is tried on the API server, and nothing is changed.
async fn may(client: &Client) -> BTreeSet<&'static str> {
    let grants: Api<IdentityGrant> = Api::all(client.clone());
    let list = ListParams::default();
    let post = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let patch = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let delete = DeleteParams::default().dry_run();
    let change = Patch::Merge(json!({ "spec": { "allowRetain": true } }));
    let status = Patch::Merge(json!({ "status": { "observedGeneration": 1 } }));
    let mut new = grant();
    new.metadata.name = Some("new".to_owned());
    let mut current = grant();
    // So that an update is refused for its version, which comes after authorization.
    current.metadata.resource_version = Some("1".to_owned());
    let update = match grants.replace("shop", &post, &current).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(current),
        answer => answer,
    };
    let tried = [
        ("get", is_allowed(grants.get("shop").await)),
        ("get status", is_allowed(grants.get_status("shop").await)),
        ("list", is_allowed(grants.list(&list).await)),
        (
            "watch",
            is_allowed(grants.watch(&WatchParams::default(), "0").await),
        ),
        ("create", is_allowed(grants.create(&post, &new).await)),
        (
            "patch",
            is_allowed(grants.patch("shop", &patch, &change).await),
        ),
        ("update", is_allowed(update)),
        ("delete", is_allowed(grants.delete("shop", &delete).await)),
        (
            "deletecollection",
            is_allowed(grants.delete_collection(&delete, &list).await),
        ),
        (
            "patch status",
            is_allowed(grants.patch_status("shop", &patch, &status).await),
        ),
    ];
    let allowed = tried.into_iter().filter(|(_, allowed)| *allowed);
    allowed.map(|(verb, _)| verb).collect()
}

async fn may_list_bindings(client: &Client) -> bool {
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), NAMESPACE);
    is_allowed(bindings.list(&ListParams::default()).await)
}

#[tokio::test]
async fn no_role_of_a_tenant_reads_or_writes_grants() -> anyhow::Result<()> {
    let control_plane = installed().await?;
    for role in [
        "admin",
        "edit",
        "view",
        "azwib-binding-editor",
        "azwib-binding-viewer",
    ] {
        let tenant = holder(&control_plane, role).await?;
        wait::until("the role to be in force", PATIENCE, async || {
            Ok(may_list_bindings(&tenant).await.then_some(()))
        })
        .await?;
        assert_eq!(may(&tenant).await, BTreeSet::new(), "{role}");
    }
    Ok(())
}

#[tokio::test]
async fn grants_are_written_with_the_role_of_their_editor_and_read_with_that_of_their_viewer()
-> anyhow::Result<()> {
    let control_plane = installed().await?;
    let reads = BTreeSet::from(READS);
    let expected = BTreeMap::from([
        ("azwib-grant-viewer", reads.clone()),
        (
            "azwib-grant-editor",
            reads.into_iter().chain(WRITES).collect(),
        ),
    ]);
    for (role, expected) in expected {
        let client = holder(&control_plane, role).await?;
        wait::until("the role to be in force", PATIENCE, async || {
            Ok((!may(&client).await.is_empty()).then_some(()))
        })
        .await?;
        assert_eq!(may(&client).await, expected, "{role}");
        assert!(!may_list_bindings(&client).await, "{role}");
    }
    Ok(())
}
