//! How far the watch is behind a list.

use azwib_crds::ManagedIdentityId;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::bindings::Bindings;
use super::found::Guarded;
use super::keys::keys;
use crate::kubeutil::versions::order;
use crate::ledger::BindingRef;

/// A binding as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub binding: BindingRef,
    uid: Option<String>,
    version: Option<u64>,
}

impl Listed {
    /// By the metadata of an item.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            binding: BindingRef {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
            },
            uid: metadata.uid.clone(),
            version: metadata.resource_version.as_deref().and_then(order),
        }
    }
}

impl Bindings {
    /// Whether the watch has shown this version of a binding, or a later one.
    pub fn shows(&self, listed: &Listed) -> bool {
        self.kept(&listed.binding).is_some_and(|kept| {
            let is_later = kept
                .order()
                .zip(listed.version)
                .is_some_and(|(shown, listed)| shown >= listed);
            kept.uid() == listed.uid.as_deref() && is_later
        })
    }

    /// Those that the watch shows in a version of that list or an earlier one, or in one that nobody can compare.
    pub fn known_at(&self, list: Option<&str>) -> Vec<BindingRef> {
        let list = list.and_then(order);
        let kept = self.store().state();
        let of_then = kept.iter().filter(|kept| {
            kept.order()
                .zip(list)
                .is_none_or(|(shown, list)| shown <= list)
        });
        of_then.map(|kept| kept.reference()).collect()
    }

    /// Whether the watch shows a binding of this name.
    pub fn has(&self, binding: &BindingRef) -> bool {
        self.kept(binding).is_some()
    }

    /// The identities that a binding has to do with, as the watch shows it and, where that is given, as it is now.
    pub fn identities_of(
        &self,
        binding: &BindingRef,
        now: Option<&Guarded>,
    ) -> Vec<ManagedIdentityId> {
        let stored = self.stored(binding);
        let defaults = self.defaults();
        let both = [stored.as_ref(), now].into_iter().flatten();
        let readable = both.filter_map(|it| it.0.as_ref().ok());
        let identities = readable.flat_map(|it| keys(it, &defaults).identities);
        let index = self.index();
        let of_before = index.unreadable.get(binding);
        let of_before = of_before.and_then(|it| it.trace.as_ref()).into_iter();
        let of_before = of_before.flat_map(|trace| trace.identities.iter().cloned());
        identities
            .chain(of_before)
            .filter_map(|id| ManagedIdentityId::parse(&id).ok())
            .collect()
    }
}
