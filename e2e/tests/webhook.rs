//! The real webhook beside the control plane: what it gives to pods, and what a workload makes of that.

#![allow(
    clippy::unwrap_used,
    reason = "outside of test functions too, this file is a test"
)]

use std::time::Duration;

use anyhow::{Context, bail};
use azwib_e2e::{
    ControlPlane, ControlPlaneOptions, ProjectedToken, Webhook, WebhookOptions, wait::until,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "99999999-8888-7777-6666-555555555555";
const AUTHORITY: &str = "https://entra.example.com:8443/";
const AUDIENCE: &str = "api://AzureADTokenExchange";

const SERVICE_ACCOUNTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata:
  name: annotated
  namespace: default
  annotations:
    azure.workload.identity/client-id: 99999999-8888-7777-6666-555555555555
    azure.workload.identity/service-account-token-expiration: "7200"
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: plain, namespace: default }
"#;

async fn start() -> anyhow::Result<(ControlPlane, Webhook)> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let options = WebhookOptions {
        tenant_id: TENANT.to_owned(),
        authority_host: AUTHORITY.to_owned(),
    };
    let webhook = Webhook::start(&control_plane, options).await?;
    control_plane.apply(SERVICE_ACCOUNTS).await?;
    Ok((control_plane, webhook))
}

async fn create_pod(client: &Client, name: &str, labelled: bool, spec: Value) -> kube::Result<Pod> {
    let labels = if labelled {
        json!({ "azure.workload.identity/use": "true" })
    } else {
        json!({})
    };
    let pod = json!({ "metadata": { "name": name, "labels": labels }, "spec": spec });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    Api::default_namespaced(client.clone())
        .create(&PostParams::default(), &pod)
        .await
}

fn spec(service_account: &str) -> Value {
    json!({ "serviceAccountName": service_account, "containers": [{ "name": "app", "image": "app" }] })
}

fn environment(pod: &Pod) -> usize {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .map(|container| container.env.iter().flatten().count())
        .sum()
}

#[tokio::test]
async fn a_labelled_pod_carries_all_that_a_token_exchange_needs() -> anyhow::Result<()> {
    let (control_plane, _webhook) = start().await?;
    let client = control_plane.client().await?;

    let pod = create_pod(&client, "labelled", true, spec("annotated")).await?;
    let projected = ProjectedToken::of_pod(&client, &pod).await?;
    assert_eq!(projected.environment.client_id, CLIENT);
    assert_eq!(projected.environment.tenant_id, TENANT);
    assert_eq!(projected.environment.authority_host, AUTHORITY);
    assert_eq!(
        (projected.audience.as_str(), projected.expiration_seconds),
        (AUDIENCE, 7200)
    );

    let claims = projected.claims()?;
    assert_eq!(claims["sub"], "system:serviceaccount:default:annotated");
    assert_eq!(claims["aud"], json!([AUDIENCE]));
    assert_eq!(claims["kubernetes.io"]["pod"]["name"], "labelled");
    assert_eq!(
        claims["kubernetes.io"]["pod"]["uid"],
        json!(pod.metadata.uid)
    );
    let lifetime = claims["exp"]
        .as_i64()
        .zip(claims["iat"].as_i64())
        .map(|(exp, iat)| exp - iat);
    assert_eq!(lifetime, Some(7200));

    // An account that nobody annotated: the rest is there, an identity is not.
    let pod = create_pod(&client, "anonymous", true, spec("plain")).await?;
    let error = ProjectedToken::of_pod(&client, &pod).await.unwrap_err();
    assert!(error.to_string().contains("AZURE_CLIENT_ID"), "{error}");

    // Pods that a controller makes go the same way.
    let template = json!({
        "metadata": { "labels": { "app": "web", "azure.workload.identity/use": "true" } },
        "spec": spec("annotated"),
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": template },
    });
    control_plane.apply(&deployment.to_string()).await?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = until(
        "the Deployment's pod",
        Duration::from_secs(30),
        async || {
            Ok(pods
                .list(&ListParams::default().labels("app=web"))
                .await?
                .items
                .pop())
        },
    )
    .await?;
    assert_eq!(
        ProjectedToken::of_pod(&client, &pod)
            .await?
            .environment
            .client_id,
        CLIENT
    );
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_not_labelled_is_left_alone_and_may_bring_its_own_volume()
-> anyhow::Result<()> {
    let (control_plane, _webhook) = start().await?;
    let client = control_plane.client().await?;

    let pod = create_pod(&client, "plain", false, spec("annotated")).await?;
    assert_eq!(environment(&pod), 0);
    let error = ProjectedToken::of_pod(&client, &pod).await.unwrap_err();
    assert!(
        error.to_string().contains("AZURE_FEDERATED_TOKEN_FILE"),
        "{error}"
    );

    let projection =
        json!({ "path": "deep/token", "audience": "api://other", "expirationSeconds": 5000 });
    let own = json!({
        "serviceAccountName": "plain",
        "containers": [
            { "name": "sidecar", "image": "sidecar" },
            {
                "name": "app",
                "image": "app",
                "env": [
                    { "name": "AZURE_CLIENT_ID", "value": CLIENT },
                    { "name": "AZURE_TENANT_ID", "value": TENANT },
                    { "name": "AZURE_AUTHORITY_HOST", "value": AUTHORITY },
                    { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/secrets/azure/deep/token" },
                ],
                "volumeMounts": [
                    { "name": "decoy", "mountPath": "/secrets" },
                    { "name": "token", "mountPath": "/secrets/azure" },
                ],
            },
        ],
        "volumes": [
            { "name": "decoy", "emptyDir": {} },
            { "name": "token", "projected": { "sources": [{ "serviceAccountToken": projection }] } },
        ],
    });
    let pod = create_pod(&client, "own-volume", false, own).await?;
    let projected = ProjectedToken::of_pod(&client, &pod).await?;
    assert_eq!(
        (projected.audience.as_str(), projected.expiration_seconds),
        ("api://other", 5000)
    );
    assert_eq!(projected.claims()?["aud"], json!(["api://other"]));
    assert_eq!(
        projected.claims()?["sub"],
        "system:serviceaccount:default:plain"
    );
    Ok(())
}

#[tokio::test]
async fn a_pod_is_refused_without_its_service_account_or_without_the_webhook() -> anyhow::Result<()>
{
    let (control_plane, webhook) = start().await?;
    let client = control_plane.client().await?;
    match create_pod(&client, "orphan", true, spec("missing")).await {
        Err(kube::Error::Api(status)) => assert!(status.message.contains("missing"), "{status:?}"),
        other => bail!("the pod of a missing ServiceAccount was not refused: {other:?}"),
    }

    webhook.process().kill().await?;
    match create_pod(&client, "unlucky", true, spec("annotated")).await {
        Err(kube::Error::Api(status)) => {
            assert!(
                status
                    .message
                    .contains("mutation.azure-workload-identity.io"),
                "{status:?}"
            );
        }
        other => bail!("a labelled pod passed a webhook that is down: {other:?}"),
    }
    create_pod(&client, "unconcerned", false, spec("annotated"))
        .await
        .context("a pod without the label")?;
    Ok(())
}
