//! Statuses of ours that are being written, and what is known of those of others.

use azwib_crds::WorkloadIdentityBinding;
use kube::ResourceExt;

use super::bindings::Bindings;
use super::seen::digest;
use crate::ledger::BindingRef;

impl Bindings {
    /// How many statuses this binding was given by others: a change of that is a reason to look at it.
    pub fn statuses_of_others(&self, binding: &BindingRef) -> u32 {
        let index = self.index();
        let filed = index.filed.get(binding);
        filed.map_or(0, |filed| filed.seen.others())
    }

    /// Whether a status of this binding, as this process has seen it, has recorded a credential of its own.
    pub fn has_recorded(&self, binding: &BindingRef, uid: &str) -> bool {
        let index = self.index();
        let filed = index.filed.get(binding);
        filed.is_some_and(|filed| filed.seen.has_recorded(uid))
    }

    /// Notes that a status of ours is being written, until what this gives is dropped.
    pub fn sending(&self, binding: &WorkloadIdentityBinding) -> BeingSent<'_> {
        let (uid, status) = (binding.uid().unwrap_or_default(), digest(binding));
        self.index().sending.begin(uid.clone(), status);
        BeingSent {
            bindings: self,
            uid,
            status,
        }
    }
}

/// A status that is being written.
pub struct BeingSent<'a> {
    bindings: &'a Bindings,
    uid: String,
    status: u64,
}

impl Drop for BeingSent<'_> {
    fn drop(&mut self) {
        self.bindings.index().sending.end(&self.uid, self.status);
    }
}
