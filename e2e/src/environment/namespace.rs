//! What a test has for itself: a namespace, and a resource group of the same name in Azure.

use azure_simulator::control::api::{Matcher, NewIdentity};
use azwib_crds::{CredentialName, Issuer, WorkloadIdentityBinding};
use k8s_openapi::api::core::v1::{Namespace as KubernetesNamespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use uuid::Uuid;

use super::setup::Environment;
use crate::wait::{self, PATIENCE};

/// A namespace and its resource group.
#[derive(Clone)]
pub struct Namespace<'a> {
    environment: &'a Environment,
    client: Client,
    name: String,
}

/// A managed identity of a test.
#[derive(Debug, Clone)]
pub struct ManagedIdentity {
    pub resource_group: String,
    pub name: String,
    /// As Azure gave them out.
    pub ids: NewIdentity,
}

impl ManagedIdentity {
    /// ARM id, in the spelling that people write.
    pub fn resource_id(&self) -> &str {
        &self.ids.id
    }

    pub fn client_id(&self) -> String {
        self.ids.client_id.to_string()
    }
}

impl Environment {
    /// A namespace of a test's own, with a resource group of the same name in which the operator has its role.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub async fn namespace(&self, purpose: &str) -> anyhow::Result<Namespace<'_>> {
        let namespace = self.namespace_without_role(purpose).await?;
        namespace.grant_operator().await?;
        Ok(namespace)
    }

    /// A namespace that was there before, such as that of the operator itself; no resource group belongs to it.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn existing_namespace(&self, name: &str) -> anyhow::Result<Namespace<'_>> {
        Ok(Namespace {
            environment: self,
            client: self.client().await?,
            name: name.to_owned(),
        })
    }

    /// The same, without a role of the operator.
    ///
    /// # Errors
    /// As for [`Self::namespace`].
    pub async fn namespace_without_role(&self, purpose: &str) -> anyhow::Result<Namespace<'_>> {
        let name = format!("{purpose}-{}", &Uuid::new_v4().simple().to_string()[..6]);
        let client = self.client().await?;
        let namespaces: Api<KubernetesNamespace> = Api::all(client.clone());
        let namespace: KubernetesNamespace =
            serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        self.control().create_resource_group(&name).await?;
        Ok(Namespace {
            environment: self,
            client,
            name,
        })
    }
}

impl<'a> Namespace<'a> {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn environment(&self) -> &'a Environment {
        self.environment
    }

    pub fn bindings(&self) -> Api<WorkloadIdentityBinding> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub fn service_accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Gives the operator its role on the resource group.
    ///
    /// # Errors
    /// The simulator refuses.
    pub async fn grant_operator(&self) -> anyhow::Result<()> {
        self.environment
            .grant_operator(&self.resource_group_id())
            .await
    }

    /// ARM id of the resource group.
    pub fn resource_group_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.environment.simulator.subscription(),
            self.name
        )
    }

    /// The ARM id that an identity of this name has, or would have.
    pub fn identity_id(&self, name: &str) -> String {
        format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
            self.resource_group_id()
        )
    }

    /// Makes a managed identity.
    ///
    /// # Errors
    /// The simulator refuses.
    pub async fn identity(&self, name: &str) -> anyhow::Result<ManagedIdentity> {
        let ids = self
            .environment
            .control()
            .create_identity(&self.name, name)
            .await?;
        Ok(ManagedIdentity {
            resource_group: self.name.clone(),
            name: name.to_owned(),
            ids,
        })
    }

    /// The name of the credential of this account.
    ///
    /// # Errors
    /// The environment's issuer is none.
    pub fn credential_name(&self, service_account: &str) -> anyhow::Result<String> {
        let issuer = Issuer::parse(self.environment.issuer())?;
        Ok(CredentialName::derive(&issuer, &self.name, service_account).to_string())
    }

    /// Matches requests to an identity of this namespace and all below it.
    pub fn requests_to(&self, method: &str, identity: &str) -> Matcher {
        Matcher {
            method: Some(method.to_owned()),
            path: Some(format!("{}/**", self.identity_id(identity))),
            ..Matcher::default()
        }
    }

    /// Applies a binding with this spec, in YAML flow style without the outer braces.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn bind(&self, name: &str, spec: &str) -> anyhow::Result<()> {
        let manifest = format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, namespace: {}}}, \
             spec: {{{spec}}}}}",
            self.name
        );
        self.environment
            .control_plane
            .apply(&manifest)
            .await
            .map(drop)
    }

    /// Applies a minimal binding to this identity.
    ///
    /// # Errors
    /// As for [`Self::bind`].
    pub async fn bind_to(&self, name: &str, identity: &ManagedIdentity) -> anyhow::Result<()> {
        self.bind(
            name,
            &format!("identity: {{resourceId: {}}}", identity.resource_id()),
        )
        .await
    }

    /// Applies minimal bindings to this identity, all in one go.
    ///
    /// # Errors
    /// As for [`Self::bind`].
    pub async fn bind_all_to(
        &self,
        names: &[String],
        identity: &ManagedIdentity,
    ) -> anyhow::Result<()> {
        let (namespace, id) = (&self.name, identity.resource_id());
        let manifests: Vec<_> = names
            .iter()
            .map(|name| {
                format!(
                    "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, \
                     namespace: {namespace}}}, spec: {{identity: {{resourceId: {id}}}}}}}"
                )
            })
            .collect();
        let manifest = manifests.join("\n---\n");
        self.environment
            .control_plane
            .apply(&manifest)
            .await
            .map(drop)
    }

    /// Deletes a binding and waits until it is gone.
    ///
    /// # Errors
    /// It is not gone in time.
    pub async fn unbind(&self, name: &str) -> anyhow::Result<()> {
        self.bindings()
            .delete(name, &DeleteParams::default())
            .await?;
        self.until_gone(name).await
    }

    /// Waits until a binding is gone.
    ///
    /// # Errors
    /// It is not gone in time.
    pub async fn until_gone(&self, name: &str) -> anyhow::Result<()> {
        let bindings = self.bindings();
        wait::until(
            &format!("the end of binding {name}"),
            PATIENCE,
            async || Ok(bindings.get_opt(name).await?.is_none().then_some(())),
        )
        .await
    }

    /// Waits until a binding is as asked, and gives it.
    ///
    /// # Errors
    /// It is not in time: with its last status.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        test: impl Fn(&WorkloadIdentityBinding) -> bool,
    ) -> anyhow::Result<WorkloadIdentityBinding> {
        let bindings = self.bindings();
        let mut last = None;
        let outcome = wait::until(
            &format!("binding {name} to be {what}"),
            PATIENCE,
            async || {
                let binding = bindings.get(name).await?;
                let found = test(&binding).then(|| binding.clone());
                last = binding.status;
                Ok(found)
            },
        )
        .await;
        outcome.map_err(|error| error.context(format!("last status: {}", serde_json::json!(last))))
    }

    /// Waits until a binding is Ready in its present generation.
    ///
    /// # Errors
    /// As for [`Self::until`].
    pub async fn ready(&self, name: &str) -> anyhow::Result<WorkloadIdentityBinding> {
        self.until(name, "Ready", |binding| {
            observed(binding)
                && condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
        })
        .await
    }

    /// Waits until this condition is not true for this reason, and gives the condition.
    ///
    /// # Errors
    /// As for [`Self::until`].
    pub async fn failing(
        &self,
        name: &str,
        type_: &str,
        reason: &str,
    ) -> anyhow::Result<Condition> {
        let binding = self
            .until(name, &format!("{type_}=False for {reason}"), |binding| {
                observed(binding)
                    && condition(binding, type_)
                        .is_some_and(|it| it.status == "False" && it.reason == reason)
            })
            .await?;
        condition(&binding, type_)
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("no condition {type_}"))
    }

    /// Waits until an account is as asked, and gives it; None stands for no account.
    ///
    /// # Errors
    /// It is not in time: with what it is.
    pub async fn account_until(
        &self,
        name: &str,
        what: &str,
        test: impl Fn(Option<&ServiceAccount>) -> bool,
    ) -> anyhow::Result<Option<ServiceAccount>> {
        let accounts = self.service_accounts();
        let mut last = None;
        let outcome = wait::until(
            &format!("service account {name} to be {what}"),
            PATIENCE,
            async || {
                last = accounts.get_opt(name).await?;
                Ok(test(last.as_ref()).then(|| last.clone()))
            },
        )
        .await;
        outcome.map_err(|error| error.context(format!("it is {}", serde_json::json!(last))))
    }
}

/// Whether the status speaks of the present generation.
pub fn observed(binding: &WorkloadIdentityBinding) -> bool {
    binding
        .status
        .as_ref()
        .map(|status| status.observed_generation)
        == binding.metadata.generation
}

/// The condition of this type.
pub fn condition<'a>(binding: &'a WorkloadIdentityBinding, type_: &str) -> Option<&'a Condition> {
    binding
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// The value of an annotation.
pub fn annotation<'a>(account: &'a ServiceAccount, key: &str) -> Option<&'a str> {
    account
        .metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}
