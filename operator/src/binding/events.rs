//! Events about bindings: transitions only. A failed event is logged and never fails a pass.

use azwib_crds::WorkloadIdentityBinding;
use k8s_controller::events::{Event, EventRecorder, EventType, Reporter};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reason::{ConditionType, Reason};
use crate::kubeutil::conditions::find;

/// Name under which events are reported.
const CONTROLLER: &str = "azwib.dev/workloadidentitybinding";

/// Publishes what happens to bindings.
#[derive(Debug)]
pub struct Events {
    recorder: EventRecorder,
}

impl Events {
    pub fn new(client: kube::Client, instance: Option<String>) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance,
        };
        Self {
            recorder: EventRecorder::new(client, reporter),
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
    pub async fn credential_left(
        &self,
        binding: &WorkloadIdentityBinding,
        credential: &str,
        why: &str,
    ) {
        let note =
            format!("the federated identity credential {credential} is left in Azure: {why}");
        self.publish(
            binding,
            EventType::Warning,
            "CredentialLeft",
            "Delete",
            &note,
        )
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
        let event = Event {
            type_,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note: Some(note.to_owned()),
            related: None,
        };
        if let Err(error) = self.recorder.publish(binding, &event).await {
            tracing::debug!(
                reason,
                error = &error as &dyn std::error::Error,
                "the event was not published"
            );
        }
    }
}
