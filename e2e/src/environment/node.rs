//! A node of the environment's cluster, and what an operator in its pods has to be told of the environment.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use reqwest::Url;
use serde_json::{Value, json};

use super::setup::Environment;
use crate::{Node, NodeOptions, OperatorProcess};

/// The namespace of the operator.
const NAMESPACE: &str = "azwib-system";

/// The ConfigMap with the simulator's certificate authority, which a private cloud would have.
const AUTHORITIES: &str = "azure-ca";

impl Environment {
    /// Starts a node that runs the operator's pods. Each of these images has the operator that the tests run.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_node(
        &self,
        images: &[&str],
        renew_tokens_after: Option<Duration>,
    ) -> anyhow::Result<Node> {
        let operator = OperatorProcess::binary()?;
        let images = images.iter().map(|it| ((*it).to_owned(), operator.clone()));
        let port = |url: &str| {
            let port = url.parse::<Url>()?.port();
            port.with_context(|| format!("{url} has no port"))
        };
        let options = NodeOptions {
            namespace: NAMESPACE.to_owned(),
            images: images.collect(),
            loopback_ports: vec![port(self.simulator.arm())?, port(self.simulator.entra())?],
            renew_tokens_after,
            note_tokens: Some(self.records.secrets_file()),
            logs: Some(self.records.directory().to_owned()),
        };
        Node::start(&self.control_plane, options).await
    }

    /// Makes the operator's namespace, with the simulator's certificate authority in a ConfigMap: a private cloud has its own.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn prepare_namespace(&self) -> anyhow::Result<()> {
        let authority = std::fs::read_to_string(self.ca())?;
        let both = json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } },
            {
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": AUTHORITIES, "namespace": NAMESPACE },
                "data": { "ca.crt": authority },
            },
        ] });
        self.control_plane.apply(&both.to_string()).await?;
        Ok(())
    }

    /// Values of the chart `azwib` by which an operator finds this environment's Azure, and does not wait for minutes. What every user has
    /// to say is not among them: issuer, client id and image.
    pub fn chart_values(&self) -> Value {
        json!({
            "allowPrivateIssuer": true,
            "cloud": {
                "name": "custom",
                "authorityHost": self.simulator.entra(),
                "resourceManagerEndpoint": self.simulator.arm(),
                "resourceManagerAudience": "https://management.azure.com",
                "ca": { "configMap": AUTHORITIES },
            },
            "settings": { "resyncPeriod": "3s", "propagationDelay": "1s" },
        })
    }

    /// The same for a kustomization: variables of the operator, and the patch that mounts the certificate authority.
    pub fn kustomize_values(&self) -> (BTreeMap<&'static str, String>, Value) {
        let variables = BTreeMap::from([
            ("AZWIB_ALLOW_PRIVATE_ISSUER", "true".to_owned()),
            ("AZWIB_CLOUD", "custom".to_owned()),
            (
                "AZWIB_RESOURCE_MANAGER_ENDPOINT",
                self.simulator.arm().to_owned(),
            ),
            (
                "AZWIB_RESOURCE_MANAGER_AUDIENCE",
                "https://management.azure.com".to_owned(),
            ),
            ("AZWIB_CA_FILE", "/etc/azwib/ca/ca.crt".to_owned()),
            ("AZWIB_RESYNC_PERIOD", "3s".to_owned()),
            ("AZWIB_PROPAGATION_DELAY", "1s".to_owned()),
            // For the checks over the records.
            ("RUST_LOG", "trace".to_owned()),
        ]);
        let container = json!({
            "name": "operator",
            "volumeMounts": [{ "name": AUTHORITIES, "mountPath": "/etc/azwib/ca", "readOnly": true }],
        });
        let volume = json!({ "name": AUTHORITIES, "configMap": { "name": AUTHORITIES } });
        let patch = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "azwib-operator", "namespace": NAMESPACE },
            "spec": { "template": { "spec": { "containers": [container], "volumes": [volume] } } },
        });
        (variables, patch)
    }
}
