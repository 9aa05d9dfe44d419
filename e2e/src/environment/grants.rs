//! Grants of a test: what the platform team writes.

use azwib_crds::{IdentityGrant, IdentityGrantStatus};
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::Namespace;
use crate::wait::{self, PATIENCE};

impl Namespace<'_> {
    /// The grants of the cluster.
    pub fn grants(&self) -> Api<IdentityGrant> {
        Api::all(self.client().clone())
    }

    /// The name of a grant of this namespace's own.
    pub fn grant_name(&self, purpose: &str) -> String {
        format!("{purpose}-{}", self.name())
    }

    /// Grants all identities of the resource group to all accounts of the namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn grant_all(&self, purpose: &str) -> anyhow::Result<()> {
        self.grant(purpose, json!({})).await
    }

    /// The same, with this put over its spec.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn grant(&self, purpose: &str, spec: Value) -> anyhow::Result<()> {
        let mut whole = json!({
            "identities": [{ "scope": self.resource_group_id() }],
            "namespaces": { "names": [self.name()] },
        });
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        let name = self.grant_name(purpose);
        let grant = json!({
            "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant", "metadata": { "name": name },
            "spec": whole,
        });
        let by_git = PatchParams::apply("gitops").force();
        self.grants()
            .patch(&name, &by_git, &Patch::Apply(grant))
            .await?;
        Ok(())
    }

    /// Deletes a grant and waits until it is gone.
    ///
    /// # Errors
    /// It is not gone in time.
    pub async fn revoke(&self, purpose: &str) -> anyhow::Result<()> {
        let (grants, name) = (self.grants(), self.grant_name(purpose));
        grants.delete(&name, &DeleteParams::default()).await?;
        wait::until("the end of the grant", PATIENCE, async || {
            Ok(grants.get_opt(&name).await?.is_none().then_some(()))
        })
        .await
    }

    /// Waits until the status of a grant is as asked.
    ///
    /// # Errors
    /// It is not in time: with its last status.
    pub async fn grant_until(
        &self,
        purpose: &str,
        what: &str,
        test: impl Fn(&IdentityGrantStatus) -> bool,
    ) -> anyhow::Result<()> {
        let (grants, name) = (self.grants(), self.grant_name(purpose));
        let mut last = None;
        let outcome = wait::until(
            &format!("grant {name} to be {what}"),
            PATIENCE,
            async || {
                last = grants.get(&name).await?.status;
                let told = last.as_ref().filter(|it| !it.conditions.is_empty());
                Ok(told.is_some_and(&test).then_some(()))
            },
        )
        .await;
        outcome.map_err(|error| error.context(format!("last status: {}", json!(last))))
    }

    /// Sets labels of the namespace; null removes one.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn label(&self, labels: Value) -> anyhow::Result<()> {
        let namespaces: Api<KubernetesNamespace> = Api::all(self.client().clone());
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        let by_hand = PatchParams::default();
        namespaces.patch(self.name(), &by_hand, &patch).await?;
        Ok(())
    }
}
