//! What the local control plane gives to the tests that stand on it.

#![allow(
    clippy::unwrap_used,
    reason = "outside of test functions too, this file is a test"
)]

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use azwib_e2e::assets::KubernetesVersion;
use azwib_e2e::{ControlPlane, ControlPlaneOptions, ServiceAccountKeys, wait::until};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, Secret, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn create_namespace(client: &Client, name: &str, labels: Value) -> anyhow::Result<()> {
    let namespace = from_json(json!({ "metadata": { "name": name, "labels": labels } }));
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    until(
        "the namespace's default ServiceAccount",
        LIMIT,
        async || {
            Ok(Api::<ServiceAccount>::namespaced(client.clone(), name)
                .get_opt("default")
                .await?)
        },
    )
    .await?;
    Ok(())
}

fn deployment(security_context: Value) -> Deployment {
    from_json(json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "web", "securityContext": security_context }] },
            },
        },
    }))
}

fn claims(token: &str) -> anyhow::Result<(Value, Value)> {
    let part = |index: usize| -> anyhow::Result<Value> {
        let segment = token
            .split('.')
            .nth(index)
            .context("a token has three parts")?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment)?)?)
    };
    Ok((part(0)?, part(1)?))
}

#[tokio::test]
async fn controllers_admission_and_garbage_collection_are_those_of_a_real_cluster()
-> anyhow::Result<()> {
    let started = Instant::now();
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    eprintln!("ready after {:?}", started.elapsed());
    let client = control_plane.client().await?;
    let version = client.apiserver_version().await?.git_version;
    assert_eq!(version, KubernetesVersion::asked()?.full);

    create_namespace(&client, "open", json!({})).await?;
    create_namespace(
        &client,
        "restricted",
        json!({ "pod-security.kubernetes.io/enforce": "restricted" }),
    )
    .await?;
    for namespace in ["open", "restricted"] {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        deployments
            .create(
                &PostParams::default(),
                &deployment(json!({ "privileged": true })),
            )
            .await?;
    }
    let pods_of = |namespace| Api::<Pod>::namespaced(client.clone(), namespace);
    until("a pod made from the Deployment", LIMIT, async || {
        Ok(pods_of("open")
            .list(&ListParams::default())
            .await?
            .items
            .pop())
    })
    .await?;
    until("the refusal of the privileged pod", LIMIT, async || {
        let deployment = Api::<Deployment>::namespaced(client.clone(), "restricted")
            .get("web")
            .await?;
        let conditions = deployment
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        Ok(conditions.into_iter().find(|condition| {
            condition
                .message
                .as_deref()
                .is_some_and(|text| text.contains("violates PodSecurity"))
        }))
    })
    .await?;
    assert!(
        pods_of("restricted")
            .list(&ListParams::default())
            .await?
            .items
            .is_empty()
    );

    // Owned objects go with their owner, and a namespace takes everything along.
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "open");
    deployments
        .delete("web", &DeleteParams::background())
        .await?;
    until("garbage collection of the pod", LIMIT, async || {
        Ok(pods_of("open")
            .list(&ListParams::default())
            .await?
            .items
            .is_empty()
            .then_some(()))
    })
    .await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .delete("restricted", &DeleteParams::default())
        .await?;
    until("the end of the namespace", LIMIT, async || {
        Ok(namespaces
            .get_opt("restricted")
            .await?
            .is_none()
            .then_some(()))
    })
    .await
}

#[tokio::test]
async fn tokens_name_the_configured_issuer_and_are_verified_by_the_published_keys()
-> anyhow::Result<()> {
    let keys = ServiceAccountKeys::generate()?;
    let options =
        ControlPlaneOptions::with_issuer("https://oidc.example.com/cluster/", keys.clone());
    let control_plane = ControlPlane::start(options).await?;

    let file = control_plane
        .token_file_for_service_account("default", "default", "api://AzureADTokenExchange")
        .await?;
    let (header, claims) = claims(&std::fs::read_to_string(file)?)?;
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["kid"], keys.jwks()["keys"][0]["kid"]);
    assert_eq!(claims["iss"], "https://oidc.example.com/cluster/");
    assert_eq!(claims["sub"], "system:serviceaccount:default:default");
    assert_eq!(claims["aud"], json!(["api://AzureADTokenExchange"]));

    // The key set that is to be published is the one that the API server itself would publish.
    let served: Value = serde_json::from_str(
        &control_plane
            .kubectl(&["get", "--raw", "/openid/v1/jwks"])
            .await?,
    )?;
    assert_eq!(&served, keys.jwks());
    let discovery = control_plane
        .kubectl(&["get", "--raw", "/.well-known/openid-configuration"])
        .await?;
    let discovery: Value = serde_json::from_str(&discovery)?;
    assert_eq!(
        discovery["jwks_uri"],
        "https://oidc.example.com/cluster/openid/v1/jwks"
    );
    Ok(())
}

#[tokio::test]
async fn a_service_account_may_do_what_rbac_grants_and_the_audit_log_names_it() -> anyhow::Result<()>
{
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    control_plane
        .apply(
            r#"
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader, namespace: default }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: reader, namespace: default }
rules: [{ apiGroups: [""], resources: [pods], verbs: [list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: reader, namespace: default }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader }
subjects: [{ kind: ServiceAccount, name: reader, namespace: default }]
"#,
        )
        .await?;
    let reader = control_plane
        .client_for_service_account("default", "reader")
        .await?;
    Api::<Pod>::default_namespaced(reader.clone())
        .list(&ListParams::default())
        .await?;
    let refused = Api::<Secret>::default_namespaced(reader)
        .list(&ListParams::default())
        .await;
    match refused {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403),
        other => bail!("listing secrets was not refused: {other:?}"),
    }

    let log = control_plane.audit_log()?;
    let seen = |resource: &str, code: u16| {
        log.iter().any(|event| {
            event.user.username == "system:serviceaccount:default:reader"
                && event.verb == "list"
                && event
                    .object_ref
                    .as_ref()
                    .and_then(|object| object.resource.as_deref())
                    == Some(resource)
                && event
                    .response_status
                    .as_ref()
                    .and_then(|status| status.code)
                    == Some(code)
        })
    };
    assert!(seen("pods", 200) && seen("secrets", 403));

    let error = control_plane
        .kubectl(&["get", "pods", "-n", "default", "missing"])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("\"missing\" not found"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn the_api_server_comes_back_on_its_address_with_its_objects() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let client = control_plane.client().await?;
    create_namespace(&client, "kept", json!({})).await?;

    control_plane.stop_api_server().await?;
    let during = Api::<Namespace>::all(control_plane.client().await?)
        .get("kept")
        .await;
    assert!(
        matches!(during, Err(ref error) if !matches!(error, kube::Error::Api(_))),
        "{during:?}"
    );

    control_plane.start_api_server().await?;
    Api::<Namespace>::all(client.clone()).get("kept").await?;
    // The controllers have come through the outage as well.
    create_namespace(&client, "after", json!({})).await
}

#[tokio::test]
async fn two_control_planes_run_side_by_side() -> anyhow::Result<()> {
    let options = ControlPlaneOptions::unpublished()?;
    let (one, other) = tokio::join!(
        ControlPlane::start(options.clone()),
        ControlPlane::start(options)
    );
    let (one, other) = (one?, other?);
    create_namespace(&one.client().await?, "mine", json!({})).await?;
    let elsewhere = Api::<Namespace>::all(other.client().await?)
        .get_opt("mine")
        .await?;
    assert!(elsewhere.is_none());

    let directory = one.directory().to_owned();
    drop(one);
    assert!(!directory.exists());
    create_namespace(&other.client().await?, "mine", json!({})).await
}
