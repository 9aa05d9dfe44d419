//! The real azure-workload-identity webhook, as a process beside the control plane.

use std::{fs, time::Duration};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    ControlPlane, assets, certificates::CertificateAuthority, supervisor::Process, wait::until,
};

// Names as in the upstream chart.
const NAMESPACE: &str = "azure-workload-identity-system";
const SERVICE_ACCOUNT: &str = "azure-wi-webhook-admin";
const ROLE: &str = "azure-wi-webhook-manager-role";
const ROLE_BINDING: &str = "azure-wi-webhook-manager-rolebinding";
const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
const WEBHOOK: &str = "mutation.azure-workload-identity.io";

/// The label that a pod asks for injection with.
const USE_LABEL: &str = "azure.workload.identity/use";

/// Under a second is usual.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What the webhook puts into pods, besides what the ServiceAccount says.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// `AZURE_TENANT_ID` of pods whose ServiceAccount names none.
    pub tenant_id: String,
    /// `AZURE_AUTHORITY_HOST`: the URL of Microsoft Entra.
    pub authority_host: String,
}

/// The running webhook. It ends with the control plane's environment.
#[derive(Debug)]
pub struct Webhook {
    process: Process,
}

impl Webhook {
    /// Starts the webhook with a ServiceAccount of its own, registers it with the API server, and waits until labelled
    /// pods go through it.
    ///
    /// # Errors
    /// It cannot be built or started, or does not answer in time: with the end of its log.
    pub async fn start(
        control_plane: &ControlPlane,
        options: WebhookOptions,
    ) -> anyhow::Result<Self> {
        let program = spawn_blocking(assets::webhook).await??;
        control_plane.apply(&access().to_string()).await?;
        let kubeconfig = control_plane
            .kubeconfig_for_service_account(NAMESPACE, SERVICE_ACCOUNT)
            .await?;

        let file = |name: &str| control_plane.directory().join(format!("webhook-{name}"));
        let ca = CertificateAuthority::new("azwib local webhook")?;
        let serving = ca.issue_for_loopback("azure-wi-webhook-webhook-service")?;
        fs::write(file("tls.crt"), serving.certificate_pem)?;
        fs::write(file("tls.key"), serving.key_pem)?;
        fs::write(
            file("cloud.json"),
            cloud(&options.authority_host).to_string(),
        )?;
        let address_file = file("address");

        let flag = |name: &str, value: &std::path::Path| format!("--{name}={}", value.display());
        let args = vec![
            flag("kubeconfig", &kubeconfig),
            flag("tls-cert-file", &file("tls.crt")),
            flag("tls-private-key-file", &file("tls.key")),
            flag("address-file", &address_file),
        ];
        let mut command = control_plane.command(&program, "webhook", args);
        command.env.extend([
            ("AZURE_TENANT_ID".into(), options.tenant_id),
            // The one cloud whose endpoints come from a file.
            ("AZURE_ENVIRONMENT".into(), "AzureStackCloud".into()),
            (
                "AZURE_ENVIRONMENT_FILEPATH".into(),
                file("cloud.json").to_string_lossy().into_owned(),
            ),
        ]);
        let process = control_plane.supervisor().spawn(command).await?;
        let address = until("the webhook to listen", READY_LIMIT, async || {
            if let Some(exit) = process.exit() {
                bail!("the webhook ended with {exit}");
            }
            Ok(fs::read_to_string(&address_file).ok())
        })
        .await
        .with_context(|| process.log_tail())?;
        control_plane
            .apply(&configuration(&address, &ca.pem()).to_string())
            .await?;
        await_injection(control_plane)
            .await
            .with_context(|| process.log_tail())?;
        Ok(Self { process })
    }

    /// The webhook's process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// What the upstream chart grants to a webhook that does not rotate its own certificate.
fn access() -> Value {
    let subject =
        json!({ "kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE });
    let role =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE });
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } },
        { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": SERVICE_ACCOUNT, "namespace": NAMESPACE } },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": ROLE },
            "rules": [{ "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"] }],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": ROLE_BINDING },
            "roleRef": role, "subjects": [subject],
        },
    ]})
}

/// An environment file as go-autorest reads it. The webhook uses only Entra's endpoint.
fn cloud(authority_host: &str) -> Value {
    json!({ "name": "AzureStackCloud", "activeDirectoryEndpoint": authority_host })
}

fn configuration(address: &str, ca_pem: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": CONFIGURATION },
        "webhooks": [{
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": {
                "url": format!("https://{address}/mutate-v1-pod"),
                "caBundle": STANDARD.encode(ca_pem),
            },
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "objectSelector": { "matchLabels": { USE_LABEL: "true" } },
            "reinvocationPolicy": "IfNeeded",
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
            "sideEffects": "None",
        }],
    })
}

/// The API server learns of a new configuration a moment after it is stored: pods of that moment would pass untouched.
async fn await_injection(control_plane: &ControlPlane) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(control_plane.client().await?);
    let probe: Pod = serde_json::from_value(json!({
        "metadata": { "name": "probe", "labels": { USE_LABEL: "true" } },
        "spec": { "containers": [{ "name": "probe", "image": "probe" }] },
    }))?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    until(
        "labelled pods to go through the webhook",
        READY_LIMIT,
        async || {
            let admitted = pods.create(&dry_run, &probe).await?;
            let containers = admitted.spec.unwrap_or_default().containers;
            let injected = containers
                .iter()
                .any(|container| container.env.as_ref().is_some_and(|env| !env.is_empty()));
            Ok(injected.then_some(()))
        },
    )
    .await
}
