//! A ServiceAccount as it is, cut down to what azwib looks at.
//!
//! The watch knows every account of the cluster, and what the API server keeps about the owners of an account's fields is
//! many times the account.

use std::borrow::Cow;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_runtime::reflector::Lookup;

use super::{ANNOTATIONS, MANAGED_BY, TRACKING_MARKS, owner_reference_to};
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::field_ownership::{applied_by, other_owners};

/// A ServiceAccount that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExistingAccount {
    namespace: Option<Box<str>>,
    name: Box<str>,
    uid: Option<Box<str>>,
    /// Those of our annotations that it carries, whoever wrote them.
    annotations: Vec<(&'static str, Box<str>)>,
    /// The value of the label that says who manages it.
    managed_by: Option<Cow<'static, str>>,
    /// A tool that keeps the account elsewhere has left its mark.
    is_tracked: bool,
    /// Names and UIDs of the bindings that it refers to as its owners, exactly as azwib does.
    owners: Vec<(Box<str>, Box<str>)>,
    applied: Applied,
    /// Who else owns one of our annotations.
    other_owners: Vec<OtherOwner>,
}

/// What our manager owns by server-side apply, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Applied {
    annotations: Vec<Cow<'static, str>>,
    labels: Vec<Cow<'static, str>>,
    /// UIDs.
    owners: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OtherOwner {
    annotation: &'static str,
    manager: Box<str>,
    /// By server-side apply.
    applied: bool,
}

impl ExistingAccount {
    /// From the metadata of an account.
    pub fn of(meta: &ObjectMeta) -> Self {
        let carried = |key: &str| meta.annotations.as_ref()?.get(key);
        let marked = |key: &&str| {
            [&meta.labels, &meta.annotations]
                .into_iter()
                .flatten()
                .any(|fields| fields.contains_key(*key))
        };
        let owned = applied_by(meta, FIELD_MANAGER);
        Self {
            namespace: meta.namespace.as_deref().map(Box::from),
            name: meta.name.as_deref().unwrap_or_default().into(),
            uid: meta.uid.as_deref().map(Box::from),
            annotations: ANNOTATIONS
                .into_iter()
                .filter_map(|key| Some((key, carried(key)?.as_str().into())))
                .collect(),
            managed_by: meta
                .labels
                .as_ref()
                .and_then(|labels| labels.get(MANAGED_BY))
                .map(|by| known(by)),
            is_tracked: TRACKING_MARKS.iter().any(marked),
            owners: meta
                .owner_references
                .iter()
                .flatten()
                .filter(|it| **it == owner_reference_to(&it.name, &it.uid))
                .map(|it| (it.name.as_str().into(), it.uid.as_str().into()))
                .collect(),
            applied: Applied {
                annotations: owned.annotations.iter().map(|it| known(it)).collect(),
                labels: owned.labels.iter().map(|it| known(it)).collect(),
                owners: owned
                    .owner_references
                    .iter()
                    .map(|uid| uid.as_str().into())
                    .collect(),
            },
            other_owners: ANNOTATIONS
                .into_iter()
                .flat_map(|annotation| {
                    other_owners(meta, FIELD_MANAGER, annotation).map(move |(manager, applied)| {
                        OtherOwner {
                            annotation,
                            manager: manager.into(),
                            applied,
                        }
                    })
                })
                .collect(),
        }
    }

    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// The value of one of our annotations, whoever wrote it.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| &**value)
    }

    /// Those of our annotations that it carries under our manager, as they are.
    pub fn carried_annotations(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.annotations
            .iter()
            .filter(|(key, _)| self.applied.annotations.iter().any(|it| it == key))
            .map(|(key, value)| (*key, &**value))
    }

    /// The value of the label that says who manages it.
    pub fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    /// Whether another manager holds one of our annotations by server-side apply, or a tool that keeps the account elsewhere
    /// has left its mark.
    pub fn is_kept_elsewhere(&self) -> bool {
        self.is_tracked || self.other_owners.iter().any(|other| other.applied)
    }

    /// Another manager that owns this annotation of ours.
    pub fn other_owner(&self, annotation: &str) -> Option<&str> {
        let mut others = self.other_owners.iter();
        let found = others.find(|other| other.annotation == annotation);
        found.map(|other| &*other.manager)
    }

    /// The annotations that our manager owns, in order.
    pub fn applied_annotations(&self) -> impl Iterator<Item = &str> {
        self.applied.annotations.iter().map(|it| &**it)
    }

    /// The labels that our manager owns, in order.
    pub fn applied_labels(&self) -> impl Iterator<Item = &str> {
        self.applied.labels.iter().map(|it| &**it)
    }

    /// The UIDs of the owner references that our manager owns, in order.
    pub fn applied_owners(&self) -> impl Iterator<Item = &str> {
        self.applied.owners.iter().map(|it| &**it)
    }

    /// Whether it refers to all these owners. Each is looked up once: an account may have thousands.
    pub fn refers_to(&self, references: &[OwnerReference]) -> bool {
        let owners: BTreeSet<_> = self
            .owners
            .iter()
            .map(|(name, uid)| (&**uid, &**name))
            .collect();
        references.iter().all(|it| {
            owners.contains(&(it.uid.as_str(), it.name.as_str()))
                && *it == owner_reference_to(&it.name, &it.uid)
        })
    }
}

/// The names that azwib writes itself are not stored once more for each account.
fn known(text: &str) -> Cow<'static, str> {
    ANNOTATIONS
        .into_iter()
        .chain([MANAGED_BY, FIELD_MANAGER])
        .find(|known| *known == text)
        .map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

/// What the store of the watch files it under.
impl Lookup for ExistingAccount {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        ServiceAccount::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ServiceAccount::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ServiceAccount::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ServiceAccount::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        self.namespace.as_deref().map(Cow::Borrowed)
    }

    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}
