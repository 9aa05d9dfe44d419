//! The attacker: somebody who holds the aggregated role `edit` in one namespace, and nothing else.

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Environment, ManagedIdentity, Namespace, PATIENCE, annotation};
use azwib_e2e::workload::TokenExchange;
use azwib_e2e::{ProjectedToken, wait};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

const AUDIENCE: &str = "api://AzureADTokenExchange";
const CLIENT_ID: &str = "azure.workload.identity/client-id";

// Codes of Entra: the identity has no credential at all, and none for this subject.
const NO_CREDENTIALS: u32 = 70025;
const NO_SUBJECT: u32 = 700_213;

/// A tenant and its namespace, which an administrator looks at as well.
pub(super) struct Tenant<'a> {
    pub(super) shop: Namespace<'a>,
    pub(super) client: Client,
}

impl<'a> Tenant<'a> {
    /// A namespace with its tenant, whose role is in force.
    pub(super) async fn new(env: &'a Environment, purpose: &str) -> anyhow::Result<Self> {
        Self::of(env.namespace(purpose).await?).await
    }

    /// The tenant of a namespace that is there already.
    pub(super) async fn of(shop: Namespace<'a>) -> anyhow::Result<Self> {
        let control_plane = &shop.environment().control_plane;
        let namespace = shop.name();
        let manifest = format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: tenant, namespace: {namespace}}}}}\n---\n\
             {{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: tenant, namespace: {namespace}}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}}, \
             subjects: [{{kind: ServiceAccount, name: tenant, namespace: {namespace}}}]}}"
        );
        control_plane.apply(&manifest).await?;
        let client = control_plane
            .client_for_service_account(namespace, "tenant")
            .await?;
        let tenant = Self { shop, client };
        wait::until("the role to be in force", PATIENCE, async || {
            let answer = tenant.try_bind("probe", json!({ "identity": { "name": "probe" } }), true);
            Ok(answer.await.ok())
        })
        .await?;
        Ok(tenant)
    }

    pub(super) fn env(&self) -> &'a Environment {
        self.shop.environment()
    }

    pub(super) fn bindings(&self) -> Api<WorkloadIdentityBinding> {
        Api::namespaced(self.client.clone(), self.shop.name())
    }

    pub(super) fn service_accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), self.shop.name())
    }

    async fn try_bind(
        &self,
        name: &str,
        spec: Value,
        dry_run: bool,
    ) -> kube::Result<WorkloadIdentityBinding> {
        let binding = json!({ "metadata": { "name": name }, "spec": spec });
        let binding = serde_json::from_value(binding).map_err(kube::Error::SerdeError)?;
        let parameters = PostParams {
            dry_run,
            ..PostParams::default()
        };
        self.bindings().create(&parameters, &binding).await
    }

    /// Creates a binding with this spec, and gives the API server's answer.
    pub(super) async fn bind(
        &self,
        name: &str,
        spec: Value,
    ) -> kube::Result<WorkloadIdentityBinding> {
        self.try_bind(name, spec, false).await
    }

    /// Creates a minimal binding to this id.
    pub(super) async fn bind_to(
        &self,
        name: &str,
        id: &str,
    ) -> kube::Result<WorkloadIdentityBinding> {
        self.bind(name, json!({ "identity": { "resourceId": id } }))
            .await
    }

    /// Changes the spec of a binding.
    pub(super) async fn change(
        &self,
        name: &str,
        spec: Value,
    ) -> kube::Result<WorkloadIdentityBinding> {
        self.merge(name, json!({ "spec": spec })).await
    }

    /// Sends a merge patch of a binding.
    pub(super) async fn merge(
        &self,
        name: &str,
        patch: Value,
    ) -> kube::Result<WorkloadIdentityBinding> {
        let parameters = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.bindings().patch(name, &parameters, &patch).await
    }

    /// Asks for the deletion of a binding.
    pub(super) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let parameters = DeleteParams::default();
        self.bindings().delete(name, &parameters).await?;
        Ok(())
    }

    /// Deletes a binding and waits until it is gone.
    pub(super) async fn unbind(&self, name: &str) -> anyhow::Result<()> {
        self.delete(name).await?;
        self.shop.until_gone(name).await
    }

    /// Makes an account, or puts this into the one that is there.
    pub(super) async fn account(
        &self,
        name: &str,
        metadata: Value,
    ) -> anyhow::Result<ServiceAccount> {
        self.account_as("tenant", name, metadata).await
    }

    /// The same under the name of this field manager, which anybody can choose.
    pub(super) async fn account_as(
        &self,
        manager: &str,
        name: &str,
        mut metadata: Value,
    ) -> anyhow::Result<ServiceAccount> {
        metadata["name"] = json!(name);
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
        let parameters = PatchParams::apply(manager).force();
        let patch = Patch::Apply(account);
        let accounts = self.service_accounts();
        Ok(accounts.patch(name, &parameters, &patch).await?)
    }

    /// Asks Entra for a token of the identity from a pod that runs as this account. The tenant writes into the pod whatever it
    /// wants to, and needs no binding for that.
    pub(super) async fn exchange(
        &self,
        account: &str,
        identity: &ManagedIdentity,
    ) -> anyhow::Result<TokenExchange> {
        let accounts = self.service_accounts();
        // The garbage collector may just be at the account.
        let token = wait::until("a pod of the account", PATIENCE, async || {
            if accounts.get_opt(account).await?.is_none() {
                self.account(account, json!({})).await?;
            }
            match self.token(account, identity).await {
                Err(_) if accounts.get_opt(account).await?.is_none() => Ok(None),
                answer => answer.map(Some),
            }
        })
        .await?;
        let vault = "https://vault.azure.net/.default";
        token.exchange(vault, self.env().ca()).await
    }

    /// The token of a new pod.
    async fn token(
        &self,
        account: &str,
        identity: &ManagedIdentity,
    ) -> anyhow::Result<ProjectedToken> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.shop.name());
        let pod = serde_json::from_value(pod(account, identity, self.env()))?;
        let pod = pods.create(&PostParams::default(), &pod).await?;
        ProjectedToken::of_pod(&self.client, &pod).await
    }

    /// Whether Entra gives a pod of this account a token of the identity.
    pub(super) async fn acts_as(
        &self,
        account: &str,
        identity: &ManagedIdentity,
    ) -> anyhow::Result<bool> {
        Ok(match self.exchange(account, identity).await? {
            TokenExchange::Granted(token) => {
                let claims = token.claims()?;
                assert_eq!(claims["appid"], json!(identity.ids.client_id));
                true
            }
            // For want of a credential, and for no other mistake.
            TokenExchange::Refused(refusal) => {
                let code = refusal.error_codes.first();
                let expected = [NO_CREDENTIALS, NO_SUBJECT]
                    .iter()
                    .any(|it| code == Some(it));
                assert!(expected, "{refusal:?}");
                false
            }
        })
    }

    /// The client id that an account carries.
    pub(super) async fn carried(&self, account: &str) -> anyhow::Result<Option<String>> {
        let account = self.shop.service_accounts().get_opt(account).await?;
        Ok(account.and_then(|it| annotation(&it, CLIENT_ID).map(str::to_owned)))
    }

    /// Waits until the binding is told that no grant covers it, and gives the words.
    pub(super) async fn is_refused(&self, binding: &str) -> anyhow::Result<String> {
        let told = self.shop.failing(binding, "Ready", "NotGranted").await?;
        Ok(told.message)
    }

    /// Fails if the account has anything of the identity: an annotation, or a token.
    pub(super) async fn assert_powerless(
        &self,
        account: &str,
        identity: &ManagedIdentity,
    ) -> anyhow::Result<()> {
        assert_ne!(self.carried(account).await?, Some(identity.client_id()));
        assert!(!self.acts_as(account, identity).await?, "{account}");
        Ok(())
    }

    /// Waits until the operator has looked at everything that was written up to now, as far as a granted binding shows it that
    /// comes after all of that and is Ready.
    pub(super) async fn witness(&self) -> anyhow::Result<()> {
        let identity = self.shop.identity("witness").await?;
        let spec = json!({
            "identities": [{ "scope": identity.resource_id() }],
            "serviceAccounts": { "names": ["witness"] },
        });
        self.shop.grant("witness", spec).await?;
        self.shop.bind_to("witness", &identity).await?;
        self.shop.ready("witness").await?;
        Ok(())
    }
}

/// A pod as somebody writes it who needs no webhook.
fn pod(account: &str, identity: &ManagedIdentity, env: &Environment) -> Value {
    let variables = json!([
        { "name": "AZURE_CLIENT_ID", "value": identity.client_id() },
        { "name": "AZURE_TENANT_ID", "value": env.simulator.tenant() },
        { "name": "AZURE_AUTHORITY_HOST", "value": env.simulator.entra() },
        { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/token/azure" },
    ]);
    let token = json!({ "path": "azure", "audience": AUDIENCE, "expirationSeconds": 3600 });
    json!({
        "metadata": { "generateName": "pod-" },
        "spec": {
            "serviceAccountName": account,
            "containers": [{
                "name": "app", "image": "app", "env": variables,
                "volumeMounts": [{ "name": "token", "mountPath": "/token" }],
            }],
            "volumes": [{ "name": "token", "projected": { "sources": [{ "serviceAccountToken": token }] } }],
        },
    })
}
