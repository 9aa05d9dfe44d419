//! A ServiceAccount as it is, cut down to what azwib looks at.
//!
//! The watch knows every account of the cluster, and what the API server keeps about the owners of an account's fields is
//! many times the account.

use std::borrow::Cow;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_runtime::reflector::Lookup;

use super::keeper::Keeper;
use super::marks::{ANNOTATIONS, MANAGED_BY, ORIGIN, owner_reference_to};
use crate::azure::safe_line;
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::field_ownership::{
    OwnedMetadata, applied_by, last_other_manager, other_owners,
};

/// A ServiceAccount that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExistingAccount {
    namespace: Option<Box<str>>,
    name: Box<str>,
    uid: Option<Box<str>>,
    /// Those of our annotations that it carries, whoever wrote them.
    annotations: Vec<(&'static str, Box<str>)>,
    /// Who else keeps the account.
    keeper: Option<Keeper>,
    /// Names and UIDs of the bindings that it refers to as its owners, exactly as azwib does.
    owners: Vec<(Box<str>, Box<str>)>,
    /// Kind and name of an owner that is none of our bindings.
    other_reference: Option<Box<str>>,
    applied: Applied,
    /// Who else owns one of our annotations.
    other_owners: Vec<OtherOwner>,
    /// Who else has changed an account last that we have to do with.
    last_editor: Option<Box<str>>,
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
}

impl ExistingAccount {
    /// From the metadata of an account.
    pub fn of(meta: &ObjectMeta) -> Self {
        let carried = |key: &str| meta.annotations.as_ref()?.get(key);
        let is_ours = |it: &&OwnerReference| **it == owner_reference_to(&it.name, &it.uid);
        let references = || meta.owner_references.iter().flatten();
        let owned = applied_by(meta, FIELD_MANAGER);
        let is_touched = owned != OwnedMetadata::default();
        Self {
            namespace: meta.namespace.as_deref().map(Box::from),
            name: meta.name.as_deref().unwrap_or_default().into(),
            uid: meta.uid.as_deref().map(Box::from),
            annotations: ANNOTATIONS
                .into_iter()
                .filter_map(|key| Some((key, carried(key)?.as_str().into())))
                .collect(),
            keeper: Keeper::of(meta),
            owners: references()
                .filter(is_ours)
                .map(|it| (it.name.as_str().into(), it.uid.as_str().into()))
                .collect(),
            other_reference: references()
                .find(|it| !is_ours(it))
                .map(|it| safe_line(&format!("{} {}", it.kind, it.name)).into()),
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
                    other_owners(meta, FIELD_MANAGER, annotation).map(move |manager| OtherOwner {
                        annotation,
                        manager: safe_line(manager).into(),
                    })
                })
                .collect(),
            last_editor: last_other_manager(meta, FIELD_MANAGER)
                .filter(|_| is_touched)
                .map(|manager| safe_line(manager).into()),
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

    /// Whether azwib has made it: our manager owns something by server-side apply that it applies only to what it made.
    ///
    /// What is owned counts, not its value: policies that own common labels may give the label another one, and
    /// whoever changes the label by hand takes it over alone.
    pub fn is_made_by_us(&self) -> bool {
        let marks = [ORIGIN, MANAGED_BY];
        self.applied_labels().any(|label| marks.contains(&label)) || !self.applied.owners.is_empty()
    }

    /// Who else keeps the account.
    pub fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// Kind and name of an owner that is none of our bindings.
    pub fn other_reference(&self) -> Option<&str> {
        self.other_reference.as_deref()
    }

    /// Who else has changed it last, as far as that can be told.
    pub fn last_editor(&self) -> Option<&str> {
        self.last_editor.as_deref()
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

    /// The references to bindings that our manager owns.
    pub fn own_references(&self) -> impl Iterator<Item = OwnerReference> {
        self.owners
            .iter()
            .filter(|(_, uid)| self.applied.owners.contains(uid))
            .map(|(name, uid)| owner_reference_to(name, uid))
    }

    /// Those of these owners that it does not refer to. Each is looked up once: an account may have thousands.
    pub fn missing<'a>(
        &self,
        references: &'a [OwnerReference],
    ) -> impl Iterator<Item = &'a OwnerReference> {
        let owners: BTreeSet<_> = self
            .owners
            .iter()
            .map(|(name, uid)| (&**uid, &**name))
            .collect();
        references.iter().filter(move |it| {
            !owners.contains(&(it.uid.as_str(), it.name.as_str()))
                || **it != owner_reference_to(&it.name, &it.uid)
        })
    }
}

/// The names that azwib writes itself are not stored once more for each account.
fn known(text: &str) -> Cow<'static, str> {
    ANNOTATIONS
        .into_iter()
        .chain([ORIGIN, MANAGED_BY])
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
