//! Who else keeps an account: a tool that applies it from somewhere, such as Git.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use crate::azure::safe_line;
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::field_ownership::other_appliers;

/// Marks of tools that keep the object elsewhere, as labels or annotations.
///
/// `app.kubernetes.io/instance` is none of them: policies and charts set it everywhere. Argo CD, which tracks by it on request, shows
/// itself by one of these, or by what it applies.
pub(in crate::binding) const TRACKING_MARKS: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "meta.helm.sh/release-name",
];

/// So many names of annotations and labels that mean nothing to us are read of each manager's: those that OpenShift applies
/// come first in the order of names, and prove nothing.
pub(in crate::binding) const OTHER_ANNOTATIONS: usize = 64;

/// OpenShift applies these fields to every account, by force: an image pull secret, and what it remembers of that
/// (`openshift.io/image-registry-pull-secrets_service-account-controller`).
const OF_THE_PLATFORM: [&str; 2] = ["f:secrets", "f:imagePullSecrets"];
const ANNOTATION_OF_THE_PLATFORM: &str = "f:openshift.io/";

/// How it is known that somebody else keeps an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// A field manager that applies some of it.
    Manager(Box<str>),
    /// A mark that a tool has left on it.
    Mark(&'static str),
}

impl Keeper {
    /// The other keeper of the account with this metadata, if it has one.
    pub(super) fn of(meta: &ObjectMeta) -> Option<Self> {
        let applies = other_appliers(meta, FIELD_MANAGER).find(|(_, fields)| is_kept_by(fields));
        if let Some((manager, _)) = applies {
            return Some(Self::Manager(safe_line(manager).into()));
        }
        let is_marked = |mark: &&str| {
            [&meta.labels, &meta.annotations]
                .into_iter()
                .flatten()
                .any(|fields| fields.contains_key(*mark))
        };
        TRACKING_MARKS.into_iter().find(is_marked).map(Self::Mark)
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(manager) => write!(f, "the field manager \"{manager}\" applies it"),
            Self::Mark(mark) => write!(f, "it carries {mark}"),
        }
    }
}

/// Whether a manager that applies these fields keeps the account: not where they are all of the platform's.
fn is_kept_by(fields: &Map<String, Value>) -> bool {
    owned(fields).any(|(field, inner)| match field {
        "f:metadata" => inner.as_object().is_some_and(|metadata| {
            owned(metadata).any(|(field, inner)| match (field, inner.as_object()) {
                ("f:annotations", Some(annotations)) => {
                    // Without anything in it, it is the map itself that is owned; and behind as many as are read there may
                    // be another.
                    annotations.is_empty()
                        || annotations.len() >= OTHER_ANNOTATIONS
                        || owned(annotations)
                            .any(|(field, _)| !field.starts_with(ANNOTATION_OF_THE_PLATFORM))
                }
                _ => true,
            })
        }),
        field => !OF_THE_PLATFORM.contains(&field),
    })
}

/// The fields of a set, without the one that stands for the whole.
fn owned(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    fields
        .iter()
        .filter(|(field, _)| *field != ".")
        .map(|(field, inner)| (field.as_str(), inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(fields: &str) -> ObjectMeta {
        managed("Apply", fields)
    }

    fn managed(operation: &str, fields: &str) -> ObjectMeta {
        serde_yaml_ng::from_str(&format!(
            "{{managedFields: [{{manager: gitops, operation: {operation}, fieldsV1: {fields}}}]}}"
        ))
        .unwrap()
    }

    #[test]
    fn whoever_applies_anything_keeps_the_account() {
        for fields in [
            "{f:metadata: {f:labels: {f:team: {}}}}",
            "{f:metadata: {f:annotations: {f:team: {}}}}",
            "{f:metadata: {f:annotations: {}}}",
            "{f:metadata: {f:finalizers: {.: {}, 'v:\"x\"': {}}}}",
            "{f:metadata: {f:ownerReferences: {'k:{\"uid\":\"u\"}': {}}}}",
            "{f:automountServiceAccountToken: {}}",
            "{f:metadata: {f:annotations: {f:azure.workload.identity/client-id: {}}}}",
            "{f:imagePullSecrets: {}, f:metadata: {f:annotations: {f:openshift.io/a: {}, f:team: {}}}}",
            "{f:secrets: {}, f:metadata: {f:labels: {f:openshift.io/a: {}}}}",
        ] {
            assert_eq!(
                Keeper::of(&applied(fields)),
                Some(Keeper::Manager("gitops".into())),
                "{fields}"
            );
            assert_eq!(Keeper::of(&managed("Update", fields)), None, "{fields}");
        }
    }

    #[test]
    fn what_the_platform_applies_to_every_account_keeps_none() {
        for fields in [
            "{}",
            "{f:secrets: {'k:{\"name\":\"a\"}': {.: {}, f:name: {}}}}",
            "{f:imagePullSecrets: {'k:{\"name\":\"a\"}': {}}}",
            "{f:metadata: {f:annotations: {f:openshift.io/internal-registry-pull-secret-ref: {}}}}",
            "{f:secrets: {}, f:imagePullSecrets: {}, f:metadata: {f:annotations: {.: {}, f:openshift.io/a: {}}}}",
        ] {
            assert_eq!(Keeper::of(&applied(fields)), None, "{fields}");
        }
    }

    #[test]
    fn a_label_that_everybody_sets_proves_no_keeper() {
        let meta = serde_yaml_ng::from_str("{labels: {app.kubernetes.io/instance: x}}").unwrap();
        assert_eq!(Keeper::of(&meta), None);
    }
}
