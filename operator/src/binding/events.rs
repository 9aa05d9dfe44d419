//! Events about bindings: transitions only. A failed event is logged and never fails a pass.

use std::marker::PhantomData;

use azwib_crds::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use k8s_controller::events::{Event, EventRecorder, EventType, PublishError, Reporter};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource};

use super::reason::{ConditionType, Reason};
use crate::kubeutil::conditions::find;

/// Name under which events are reported.
const CONTROLLER: &str = "azwib.dev/workloadidentitybinding";

/// Why an event is published: the closed set of reasons, a stable interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventReason {
    /// `Ready` has this reason now; or it would, had the binding not been good when last seen.
    Ready(Reason),
    IdentityReplaced,
    CredentialLeft,
    ForceDetached,
}

impl EventReason {
    /// Every reason of an event: those that `Ready` can have, then what happens at the end of a binding.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL
            .iter()
            .filter(|reason| !reason.is_of_step_done())
            .map(|reason| Self::Ready(*reason))
            .chain([
                Self::IdentityReplaced,
                Self::CredentialLeft,
                Self::ForceDetached,
            ])
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready(reason) => reason.as_str(),
            Self::IdentityReplaced => "IdentityReplaced",
            Self::CredentialLeft => "CredentialLeft",
            Self::ForceDetached => "ForceDetached",
        }
    }

    /// `Normal` for progress and for what was asked for, `Warning` for what stops a binding or leaves something behind.
    pub fn type_(self) -> EventType {
        match self {
            Self::Ready(
                Reason::Succeeded
                | Reason::Pending
                | Reason::Propagating
                | Reason::Creating
                | Reason::WaitingForTurn
                | Reason::WaitingForCredential
                | Reason::Suspended,
            ) => EventType::Normal,
            _ => EventType::Warning,
        }
    }

    /// What it means, in one line, as the reference of events prints it.
    pub fn description(self) -> &'static str {
        match self {
            Self::Ready(reason) => reason.description(),
            Self::IdentityReplaced => {
                "The managed identity was deleted and made again under the same id: it has another client id, and pods that \
                 are running have to be restarted."
            }
            Self::CredentialLeft => {
                "The binding went, and a credential that it recorded stays: it is not provably ours."
            }
            Self::ForceDetached => {
                "The binding was let go as asked although its cleanup failed: its credential may be left in Azure."
            }
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Ready(_) | Self::IdentityReplaced => "Reconcile",
            Self::CredentialLeft | Self::ForceDetached => "Delete",
        }
    }
}

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
        if let Some(reason) = Reason::named(&now.reason) {
            let reason = EventReason::Ready(reason);
            self.publish(&binding.metadata, reason, &now.message).await;
        }
    }

    /// Tells that a good binding could not be looked at; its status stays as it is.
    pub async fn not_looked_at(
        &self,
        binding: &WorkloadIdentityBinding,
        reason: Reason,
        message: &str,
    ) {
        self.publish(&binding.metadata, EventReason::Ready(reason), message)
            .await;
    }

    /// Tells that the identity is another one under the same id, from what was resolved before and what is now.
    pub async fn identity_replaced(
        &self,
        binding: &WorkloadIdentityBinding,
        now: &WorkloadIdentityBindingStatus,
    ) {
        let client_id = |status: &WorkloadIdentityBindingStatus| {
            let identity = status.identity.as_ref();
            identity.map(|identity| identity.client_id.clone())
        };
        let before = binding.status.as_ref().and_then(client_id);
        let (Some(before), Some(now)) = (before, client_id(now)) else {
            return;
        };
        if before != now {
            let note = format!(
                "the managed identity was made again: its client id was {before} and is {now}; restart the pods that use \
                 its service account, which keep the old one"
            );
            self.publish(&binding.metadata, EventReason::IdentityReplaced, &note)
                .await;
        }
    }

    /// Tells that a credential was not deleted with its binding.
    pub async fn credential_left(&self, binding: &ObjectMeta, credential: &str, why: &str) {
        let note =
            format!("the federated identity credential {credential} is left in Azure: {why}");
        self.publish(binding, EventReason::CredentialLeft, &note)
            .await;
    }

    /// Tells that a binding was let go although its cleanup failed.
    pub async fn detached(&self, binding: &ObjectMeta, why: &str) {
        let note = format!("let go as asked; what it made in Azure may be left: {why}");
        self.publish(binding, EventReason::ForceDetached, &note)
            .await;
    }

    /// Tells a binding that it cannot be read.
    pub async fn unreadable(&self, binding: &ObjectMeta, message: &str) {
        self.publish(binding, EventReason::Ready(Reason::InvalidSpec), message)
            .await;
    }

    /// In a namespace that is being deleted nothing can be created, events neither: they are then about the Namespace.
    async fn publish(&self, binding: &ObjectMeta, reason: EventReason, note: &str) {
        let event = |note: String| Event {
            type_: reason.type_(),
            reason: reason.as_str().to_owned(),
            action: reason.action().to_owned(),
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
                reason = reason.as_str(),
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
