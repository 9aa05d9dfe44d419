//! What the demo shows, for people who see azwib for the first time.

use kube::ResourceExt;

use super::{Demo, PROPAGATION_DELAY, REVOCATION_GRACE, SHOWN};
use crate::assets;

impl Demo {
    /// The bindings, what the webhook has injected, and what came of the exchange. Never a token.
    pub(super) fn report(&self) -> String {
        let Self {
            bindings,
            pod,
            token,
            identity,
            guest,
            access,
            ..
        } = self;
        let bindings = indent(bindings);
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let pod_spec = pod.spec.as_ref();
        let account = pod_spec
            .and_then(|spec| spec.service_account_name.as_deref())
            .unwrap_or_default();
        let variables = &token.environment;
        let (client_id, principal_id) = (
            &identity.client_id,
            identity.principal_id.as_deref().unwrap_or_default(),
        );
        let (authority, tenant) = (
            variables.authority_host.trim_end_matches('/'),
            &variables.tenant_id,
        );
        format!(
            "
The bindings of examples/, as `kubectl get azwib -A -o wide` shows them. All are Ready: each has its ServiceAccount in
the cluster and its federated identity credential in Azure (here: the simulator).

{bindings}
Pod {name}, made by the Deployment of examples/{SHOWN} in namespace {namespace}.
From the annotations that azwib wrote to ServiceAccount {account}, the webhook injected:

  AZURE_CLIENT_ID={}
  AZURE_TENANT_ID={}
  AZURE_AUTHORITY_HOST={}
  AZURE_FEDERATED_TOKEN_FILE={}
  (and at that path a ServiceAccount token for audience {}, valid for {} s)

The exchange, with just that, as Azure's SDKs do it inside of the pod:

  POST {authority}/{tenant}/oauth2/v2.0/token
  sent:     a token of system:serviceaccount:{namespace}:{account}
  received: a {} token for Azure Key Vault, valid for {} s
            appid {client_id} (the client id of the managed identity)
            oid   {principal_id} (its principal id)

OK: the pod acts as {}.

A binding in a namespace that no IdentityGrant covers (the examples are covered by examples/07-grant.yaml):

  refused:   {}
  granted:   {}
  revoked:   {}
  at last:   {}
",
            variables.client_id,
            variables.tenant_id,
            variables.authority_host,
            variables.federated_token_file,
            token.audience,
            token.expiration_seconds,
            access.token_type,
            access.expires_in,
            identity.resource_id.as_deref().unwrap_or_default(),
            guest.refused,
            guest.admitted,
            guest.announced,
            guest.taken,
        )
    }

    /// What to do while it stays.
    ///
    /// # Errors
    /// The path of kubectl is not known.
    pub(super) fn invitation(&self) -> anyhow::Result<String> {
        let environment = &self.environment;
        let kubectl = assets::control_plane()?.kubectl;
        let tools = kubectl.parent().unwrap_or(&kubectl).display();
        Ok(format!(
            "
Look around, in another terminal:

  export KUBECONFIG={}
  export PATH=$PATH:{tools}   # if you have no kubectl

  kubectl describe azwib orders -n shop
  kubectl get serviceaccount orders -n shop -o yaml
  kubectl annotate serviceaccount orders -n shop azure.workload.identity/client-id-   # azwib puts it back
  kubectl delete azwib orders -n shop   # takes credential and account along, the account within a minute
  kubectl apply -f examples/01-minimal.yaml
  tail -f {}/operator-*.log

Pods stay Pending: there is no node to run them. The operator runs as a process on this machine, with the RBAC of
config/rbac and the flags {PROPAGATION_DELAY} (the default is 10s: Azure takes longer than the simulator) and
{REVOCATION_GRACE} (the default is 5m).

Azure is simulated: Resource Manager at {}, Entra at {},
certificate authority {}.
Its control API, for fixtures, roles and faults, is at {} (e2e/azure-simulator/README.md).

Ctrl-C ends all of it.
",
            environment.control_plane.kubeconfig().display(),
            environment.control_plane.directory().display(),
            environment.simulator.arm(),
            environment.simulator.entra(),
            environment.ca().display(),
            environment.simulator.control_url(),
        ))
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
