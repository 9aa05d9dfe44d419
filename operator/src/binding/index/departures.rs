//! How bindings go. What one has left is cleaned up by who leads, and whoever leads later keeps off what that one may have sent for it.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{Issuer, ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;
use tokio::time::Instant;

use super::bindings::Bindings;
use super::files::Index;
use super::found::{Guarded, reference};
use super::gone::{GONE_KEPT, Gone, Trace};
use crate::binding::status::believed::records_own;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

impl Bindings {
    /// Those that have gone within that time while another process led, and the identities that each had to do with.
    pub fn gone_within(&self, time: Duration) -> Vec<(BindingRef, Vec<ManagedIdentityId>)> {
        let index = self.index();
        let gone = index.gone.iter().filter(|gone| gone.at.elapsed() < time);
        gone.map(|gone| {
            let ids = gone.trace.identities.iter();
            let ids = ids.filter_map(|id| ManagedIdentityId::parse(id).ok());
            (gone.binding.clone(), ids.collect())
        })
        .collect()
    }

    /// Whether a binding of this account has gone in the last hour while another process led.
    pub fn has_lost_one(&self, namespace: &str, service_account: &str) -> bool {
        let index = self.index();
        let mut accounts = index.gone.iter().map(|gone| &*gone.trace.account);
        accounts.any(|(of, name)| of == namespace && name == service_account)
    }

    /// The names of those that have gone without having been cleaned up.
    pub fn all_vanished(&self) -> Vec<BindingRef> {
        self.index().vanished.keys().cloned().collect()
    }

    /// A binding of this name that has gone without having been cleaned up, as the watch has shown it last.
    pub fn vanished(&self, who: &BindingRef) -> Option<Arc<WorkloadIdentityBinding>> {
        self.index().vanished.get(who).cloned()
    }

    /// What that one has left is cleaned up.
    pub fn no_more(&self, who: &BindingRef) {
        self.index().vanished.remove(who);
    }
}

impl Index {
    /// A binding goes. Somebody may have taken its finalizer off.
    pub(super) fn vanish(&mut self, binding: &Guarded, issuer: &Issuer) {
        self.goes(&reference(binding));
        let is_cleaned_up = self.cleaned_up.remove(&binding.uid().unwrap_or_default());
        let Ok(binding) = &binding.0 else { return };
        if !self.stands_by
            && !is_cleaned_up
            && records_own(binding, issuer)
            && !Bug::VanishedForgotten.is_on()
        {
            let vanished = Arc::new(binding.clone());
            self.vanished.insert(BindingRef::of(binding), vanished);
        }
    }

    /// Whether another binding bore this name before: a list does not tell that one has gone whose name is taken again.
    pub(super) fn is_another(&self, reference: &BindingRef, binding: &Guarded) -> bool {
        let uid = binding.uid().unwrap_or_default();
        let unreadable = self.unreadable.get(reference);
        let filed = self.filed.get(reference);
        filed.is_some_and(|filed| !filed.seen.is_of(&uid))
            || unreadable.is_some_and(|before| before.uid != uid)
    }

    /// Where something was recorded for a binding, as far as that could be read.
    pub(super) fn trace(&self, binding: &BindingRef) -> Option<Trace> {
        match self.filed.get(binding) {
            Some(filed) => filed.trace(),
            None => self.unreadable.get(binding)?.trace.clone(),
        }
    }

    /// Remembers one that goes while another process leads.
    pub(super) fn goes(&mut self, binding: &BindingRef) {
        if let Some(trace) = self.trace(binding).filter(|_| self.stands_by) {
            self.remember(binding.clone(), trace);
        }
    }

    /// Remembers one that has gone just now.
    pub(super) fn remember(&mut self, binding: BindingRef, trace: Trace) {
        self.gone.push_back(Gone {
            at: Instant::now(),
            binding,
            trace,
        });
        let is_old = |gone: &Gone| gone.at.elapsed() > GONE_KEPT;
        while self.gone.front().is_some_and(is_old) {
            self.gone.pop_front();
        }
    }
}
