//! Events about bindings: transitions only. A failed event is logged and never fails a pass.

use std::marker::PhantomData;

use azwib_crds::WorkloadIdentityBinding;
use k8s_controller::events::{Event, EventRecorder, EventType, PublishError, Reporter};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};

use super::reason::{ConditionType, Reason};
use crate::kubeutil::conditions::find;

/// Name under which events are reported.
const CONTROLLER: &str = "azwib.dev/workloadidentitybinding";

/// Publishes what happens to bindings.
pub struct Events {
    client: Client,
    recorder: EventRecorder,
}

impl Events {
    pub fn new(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance,
        };
        Self {
            recorder: EventRecorder::new(client.clone(), reporter),
            client,
        }
    }

    /// Tells of a change of `Ready`, from its conditions before and after a pass.
    pub async fn ready_changed(
        &self,
        binding: &WorkloadIdentityBinding,
        before: &[Condition],
        after: &[Condition],
    ) {
        let ready = |conditions| find(conditions, ConditionType::Ready.as_str());
        let Some(now) = ready(after) else { return };
        if ready(before)
            .is_some_and(|before| before.status == now.status && before.reason == now.reason)
        {
            return;
        }
        let good = [
            Reason::Succeeded,
            Reason::Propagating,
            Reason::Creating,
            Reason::WaitingForTurn,
        ];
        let type_ = if good.iter().any(|reason| reason.as_str() == now.reason) {
            EventType::Normal
        } else {
            EventType::Warning
        };
        self.publish(binding, type_, &now.reason, "Reconcile", &now.message)
            .await;
    }

    /// Tells that a good binding could not be looked at; its status stays as it is.
    pub async fn not_looked_at(
        &self,
        binding: &WorkloadIdentityBinding,
        reason: Reason,
        message: &str,
    ) {
        self.publish(
            binding,
            EventType::Warning,
            reason.as_str(),
            "Reconcile",
            message,
        )
        .await;
    }

    /// Tells that a credential was not deleted with its binding.
    pub async fn credential_left(&self, binding: &ObjectMeta, credential: &str, why: &str) {
        let note =
            format!("the federated identity credential {credential} is left in Azure: {why}");
        self.publish_about(
            binding,
            EventType::Warning,
            "CredentialLeft",
            "Delete",
            &note,
        )
        .await;
    }

    /// Tells that a binding was let go although its cleanup failed.
    pub async fn detached(&self, binding: &ObjectMeta, why: &str) {
        let note = format!("let go as asked; what it made in Azure may be left: {why}");
        self.publish_about(
            binding,
            EventType::Warning,
            "ForceDetached",
            "Delete",
            &note,
        )
        .await;
    }

    /// Tells a binding that it cannot be read.
    pub async fn unreadable(&self, binding: &ObjectMeta, message: &str) {
        let reason = Reason::InvalidSpec.as_str();
        self.publish_about(binding, EventType::Warning, reason, "Reconcile", message)
            .await;
    }

    async fn publish(
        &self,
        binding: &WorkloadIdentityBinding,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        self.publish_about(&binding.metadata, type_, reason, action, note)
            .await;
    }

    /// In a namespace that is being deleted nothing can be created, events neither: they are then about the Namespace.
    async fn publish_about(
        &self,
        binding: &ObjectMeta,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let event = |note: String| Event {
            type_,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note: Some(note),
            related: None,
        };
        let about = metadata::<WorkloadIdentityBinding>(binding.clone());
        let outcome = match self.recorder.publish(&about, &event(note.to_owned())).await {
            Err(PublishError::Kube(error)) if is_terminating(&error) => {
                let name = binding.name.as_deref().unwrap_or_default();
                let note = format!("binding {name}: {note}");
                self.publish_about_namespace(binding, &event(note)).await
            }
            outcome => outcome,
        };
        if let Err(error) = outcome {
            tracing::debug!(
                reason,
                error = &error as &dyn std::error::Error,
                "the event was not published"
            );
        }
    }

    async fn publish_about_namespace(
        &self,
        binding: &ObjectMeta,
        event: &Event,
    ) -> Result<(), PublishError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let name = binding.namespace.as_deref().unwrap_or_default();
        match namespaces.get_metadata_opt(name).await? {
            Some(namespace) => {
                let about = metadata::<Namespace>(namespace.metadata);
                self.recorder.publish(&about, event).await
            }
            None => Ok(()),
        }
    }
}

fn metadata<K>(metadata: ObjectMeta) -> PartialObjectMeta<K>
where
    K: Resource<DynamicType = ()>,
{
    PartialObjectMeta {
        types: None,
        metadata,
        _phantom: PhantomData,
    }
}

fn is_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(answer) if answer
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .any(|cause| cause.reason == "NamespaceTerminating"))
}
