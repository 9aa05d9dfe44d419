//! Server-side apply of metadata, with the API server's conflicts as values.

/// A field that another manager owns with another value, as the API server reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// Path as the API server spells it, such as `.metadata.annotations.azure.workload.identity/client-id`.
    pub field: String,
    /// The API server's words, which name the other manager: `conflict with "helm"`.
    pub message: String,
}

/// The conflicts in a refusal of a server-side apply; empty when it was refused for another reason.
pub fn conflicts(error: &kube::Error) -> Vec<FieldConflict> {
    match error {
        kube::Error::Api(status) if status.code == 409 => status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| FieldConflict {
                field: cause.field.clone(),
                message: cause.message.clone(),
            })
            .collect(),
        _ => Vec::new(),
    }
}
