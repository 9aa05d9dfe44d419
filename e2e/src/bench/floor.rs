//! The floor under a creation: a bare client that makes the same writes to the API server and knows everything beforehand. It asks Azure
//! nothing, and reads nothing but the watch. What the operator takes beyond that is its own.

use anyhow::anyhow;
use azwib_crds::WorkloadIdentityBinding;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::setup::Setup;
use super::under_way::{Measured, Run};

/// Bindings that are written for at once: as many as the operator passes over at once.
const AT_ONCE: usize = 64;

/// The steps of which a status tells.
const STEPS: [&str; 4] = [
    "Granted",
    "IssuerReady",
    "ServiceAccountReady",
    "CredentialReady",
];

/// Writes for each binding that is created. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct BareClient(JoinHandle<anyhow::Result<()>>);

impl BareClient {
    /// Begins to follow the bindings of the cluster.
    ///
    /// # Errors
    /// There is no client.
    pub(super) async fn start(setup: &Setup) -> anyhow::Result<Self> {
        let client = setup.environment.client().await?;
        let issuer = setup.environment.issuer().to_owned();
        let bindings: Api<WorkloadIdentityBinding> = Api::all(client.clone());
        let created = watcher(bindings, watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .try_filter(|it| std::future::ready(it.finalizers().is_empty()));
        let writes = created
            .err_into()
            .try_for_each_concurrent(AT_ONCE, move |it| {
                let (client, issuer) = (client.clone(), issuer.clone());
                async move { write_all(&it, &issuer, &client).await }
            });
        Ok(Self(tokio::spawn(writes)))
    }

    /// Ends with what stops it: it follows the bindings for ever.
    async fn stopped(&mut self) -> anyhow::Error {
        match (&mut self.0).await {
            Ok(Ok(())) => anyhow!("the watch of the bindings has ended"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        }
    }
}

impl Run<'_> {
    /// Creates the bindings beside the bare client, and waits until it has said that all are Ready.
    pub(super) async fn floor(&self) -> anyhow::Result<Measured> {
        let mut client = BareClient::start(&self.setup).await?;
        self.tell(&format!("creating {} bindings", self.case.bindings));
        let created = tokio::select! {
            created = self.create(std::process::id()) => created?,
            error = client.stopped() => return Err(error),
        };
        Ok(Measured {
            figures: self.figures(&created),
            cpu: created.cpu,
        })
    }
}

impl Drop for BareClient {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The writes of the operator for a new binding, in its order: the finalizer, the account, the record of the write to Azure, Ready, and the
/// event about that.
async fn write_all(
    binding: &WorkloadIdentityBinding,
    issuer: &str,
    client: &Client,
) -> anyhow::Result<()> {
    let (namespace, name) = (binding.namespace().unwrap_or_default(), binding.name_any());
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), &namespace);
    let finalizer = json!({ "metadata": {
        "resourceVersion": binding.resource_version(), "finalizers": ["azwib.dev/cleanup"],
    } });
    let parameters = PatchParams::default();
    let patched = bindings
        .patch_metadata(&name, &parameters, &Patch::Merge(finalizer))
        .await?;

    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
        "name": name, "namespace": namespace,
        "annotations": {
            "azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000001",
            "azure.workload.identity/tenant-id": "00000000-0000-0000-0000-000000000002",
            "azure.workload.identity/service-account-token-expiration": "3600",
        },
        "ownerReferences": [{
            "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "name": name, "uid": binding.uid(),
        }],
    } });
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let parameters = PatchParams::apply("floor").force();
    accounts
        .patch_metadata(&name, &parameters, &Patch::Apply(account))
        .await?;

    let mut stored = binding.clone();
    stored.metadata.resource_version = patched.metadata.resource_version;
    for is_ready in [false, true] {
        stored.status = Some(serde_json::from_value(status(&stored, issuer, is_ready))?);
        stored = bindings
            .replace_status(&name, &PostParams::default(), &stored)
            .await?;
    }
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let event: Event = serde_json::from_value(json!({
        "metadata": { "name": format!("{name}.floor"), "namespace": namespace },
        "eventTime": format!("{:.6}", Timestamp::now()), "type": "Normal", "reason": "Ready", "action": "Reconciling",
        "note": "pods with the ServiceAccount can sign in to Azure", "reportingController": "floor",
        "reportingInstance": "floor",
        "regarding": {
            "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "namespace": namespace, "name": name,
            "uid": binding.uid(), "resourceVersion": stored.resource_version(),
        },
    }))?;
    events.create(&PostParams::default(), &event).await?;
    Ok(())
}

/// A status as long as those that the operator writes.
fn status(binding: &WorkloadIdentityBinding, issuer: &str, is_ready: bool) -> Value {
    let (namespace, name) = (binding.namespace().unwrap_or_default(), binding.name_any());
    let resource_id = binding.spec.identity.resource_id.as_deref();
    let condition = |type_: &str, is_true: bool| {
        json!({
            "type": type_, "status": if is_true { "True" } else { "False" },
            "reason": if is_true { "InPlace" } else { "Creating" }, "lastTransitionTime": Timestamp::now().to_string(),
            "observedGeneration": binding.metadata.generation,
            "message": "the federated identity credential azwib-0123456789abcdef of the managed identity is in place",
        })
    };
    let steps = STEPS
        .iter()
        .map(|step| condition(step, is_ready || *step != "CredentialReady"));
    let conditions: Vec<_> = steps.chain([condition("Ready", is_ready)]).collect();
    json!({
        "observedGeneration": binding.metadata.generation,
        "identity": {
            "resourceId": resource_id, "clientId": "00000000-0000-0000-0000-000000000001",
            "principalId": "00000000-0000-0000-0000-000000000003", "tenantId": "00000000-0000-0000-0000-000000000002",
        },
        "serviceAccount": { "name": name, "origin": "Created" },
        "credentials": [{
            "resourceId": resource_id, "name": "azwib-0123456789abcdef", "issuer": issuer,
            "subject": format!("system:serviceaccount:{namespace}:{name}"), "audience": "api://AzureADTokenExchange",
            "origin": if is_ready { "Created" } else { "Pending" },
        }],
        "conditions": conditions,
    })
}
