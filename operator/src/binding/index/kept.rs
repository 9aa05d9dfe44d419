//! The bindings as the store keeps them.

use std::collections::HashSet;
use std::sync::Arc;

use kube_runtime::reflector::ObjectRef;

use super::bindings::Bindings;
use super::found::Guarded;
use super::packed::Packed;
use crate::ledger::BindingRef;

impl Bindings {
    /// The binding of this name as the watch has shown it last.
    pub fn stored(&self, binding: &BindingRef) -> Option<Guarded> {
        Some(self.kept(binding)?.unpack())
    }

    /// All bindings as the watch has shown them last, by namespace and name; unpacked one by one.
    pub fn each(&self) -> impl Iterator<Item = Guarded> {
        let mut kept = self.store().state();
        kept.sort_by_cached_key(|kept| kept.reference());
        kept.into_iter().map(|kept| kept.unpack())
    }

    /// The UID of the binding of this name.
    pub fn uid(&self, binding: &BindingRef) -> Option<String> {
        Some(self.kept(binding)?.uid()?.to_owned())
    }

    /// The UIDs of all bindings.
    pub fn uids(&self) -> HashSet<String> {
        let kept = self.store().state();
        let uids = kept.iter().filter_map(|kept| kept.uid());
        uids.map(str::to_owned).collect()
    }

    /// What the store has under this name.
    pub(super) fn kept(&self, binding: &BindingRef) -> Option<Arc<Packed>> {
        let BindingRef { namespace, name } = binding;
        self.store().get(&ObjectRef::new(name).within(namespace))
    }
}
