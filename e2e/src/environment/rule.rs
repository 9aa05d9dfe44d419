//! Rules that a cluster's administrator makes: the API server refuses what breaks them.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Namespace;
use crate::wait;

/// A rule of the cluster's administrator for one namespace. It stays when a test fails, and harms no other.
pub struct Rule {
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    name: String,
}

impl Rule {
    /// Refuses these operations on this resource in the namespace, with this message.
    pub async fn deny(
        shop: &Namespace<'_>,
        resource: (&str, &str),
        operation: &str,
        message: &str,
    ) -> anyhow::Result<Self> {
        Self::deny_unless(shop, resource, operation, "false", message).await
    }

    /// The same, but for those of which this CEL expression is true.
    pub async fn deny_unless(
        shop: &Namespace<'_>,
        (group, resource): (&str, &str),
        operation: &str,
        allowed: &str,
        message: &str,
    ) -> anyhow::Result<Self> {
        let name = shop.name().to_owned();
        let rule = Self {
            policies: Api::all(shop.client().clone()),
            bindings: Api::all(shop.client().clone()),
            name: name.clone(),
        };
        let rules = json!([{
            "apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource],
        }]);
        let policy = json!({
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": { "resourceRules": rules },
                "validations": [{ "expression": format!("request.namespace != '{name}' || ({allowed})"), "message": message }],
            },
        });
        create(&rule.policies, policy).await?;
        let binding = json!({
            "metadata": { "name": name },
            "spec": { "policyName": name, "validationActions": ["Deny"] },
        });
        create(&rule.bindings, binding).await?;
        Ok(rule)
    }

    /// Refuses the events of the namespace; in force when this returns.
    ///
    /// # Errors
    /// The API server does not answer, or does not know the rule in time.
    pub async fn no_events(shop: &Namespace<'_>) -> anyhow::Result<Self> {
        let events = ("events.k8s.io", "events");
        let rule = Self::deny(shop, events, "CREATE", "events are sold out").await?;
        let api: Api<Event> = Api::namespaced(shop.client().clone(), shop.name());
        let event = json!({
            "metadata": { "name": "probe" }, "eventTime": "2026-01-02T03:04:05.000000Z", "action": "Probe", "reason": "Probe",
            "type": "Normal", "reportingController": "azwib.dev/probe", "reportingInstance": "probe",
            "regarding": { "apiVersion": "v1", "kind": "Namespace", "name": shop.name(), "namespace": shop.name() },
        });
        let event: Event = serde_json::from_value(event)?;
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        wait::until("the rule to be in force", wait::PATIENCE, async || {
            let refused = api.create(&dry, &event).await;
            let told = refused.is_err_and(|it| it.to_string().contains("sold out"));
            Ok(told.then_some(()))
        })
        .await?;
        Ok(rule)
    }

    /// Takes the rule away.
    pub async fn lift(self) -> anyhow::Result<()> {
        let at_once = DeleteParams::default();
        self.bindings.delete(&self.name, &at_once).await?;
        self.policies.delete(&self.name, &at_once).await?;
        Ok(())
    }
}

/// Creates this object.
pub async fn create<K>(api: &Api<K>, object: Value) -> anyhow::Result<()>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let object = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}
