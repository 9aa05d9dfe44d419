//! What grants do, shown with a binding of a namespace that the examples grant nothing.

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use kube::Api;

use super::progress::Progress;
use crate::Environment;
use crate::environment::{condition, observed};
use crate::wait::{PATIENCE, until};

/// The namespace, and the name of its binding and of its grant.
const NAMESPACE: &str = "guests";
const NAME: &str = "guest";

/// What the binding said.
#[derive(Debug)]
pub(super) struct Guest {
    pub refused: String,
    pub admitted: String,
    pub announced: String,
    pub taken: String,
}

impl Guest {
    /// Has a binding refused, admitted by a grant, and its grant taken back.
    ///
    /// # Errors
    /// One of these does not come about in time.
    pub(super) async fn invite(
        environment: &Environment,
        identity: &str,
        progress: &mut Progress,
    ) -> anyhow::Result<Self> {
        let control_plane = &environment.control_plane;
        let bindings: Api<WorkloadIdentityBinding> =
            Api::namespaced(environment.client().await?, NAMESPACE);
        let said = async |type_: &str, reason: &str| {
            until(
                &format!("the binding to say {reason}"),
                PATIENCE,
                async || {
                    let binding = bindings.get(NAME).await?;
                    let found = condition(&binding, type_)
                        .filter(|it| observed(&binding) && it.reason == reason);
                    let granted = condition(&binding, "Granted");
                    Ok(found.and(granted).map(|it| it.message.clone()))
                },
            )
            .await
            .context("showing what grants do")
        };
        progress.begin("applying a binding that no grant covers");
        control_plane
            .apply(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}\n---\n\
                 {{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {NAME}, \
                 namespace: {NAMESPACE}}}, spec: {{identity: {{resourceId: {identity}}}}}}}"
            ))
            .await?;
        let refused = said("Ready", "NotGranted").await?;
        progress.begin("applying a grant that covers it");
        control_plane
            .apply(&format!(
                "{{apiVersion: azwib.dev/v1alpha1, kind: IdentityGrant, metadata: {{name: {NAME}}}, spec: \
                 {{identities: [{{scope: {identity}}}], namespaces: {{names: [{NAMESPACE}]}}}}}}"
            ))
            .await?;
        let admitted = said("Ready", "Succeeded").await?;
        progress.begin("taking the grant back: kubectl delete azgrant guest");
        control_plane.kubectl(&["delete", "azgrant", NAME]).await?;
        let announced = said("Ready", "NotGranted").await?;
        let taken = said("CredentialReady", "Revoked").await?;
        Ok(Self {
            refused,
            admitted,
            announced,
            taken,
        })
    }
}
