//! What a pass works with: what all passes share, and what it has read when it began.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use azwib_crds::{ManagedIdentityId, ResolvedIdentity, WorkloadIdentityBinding};
use kube_runtime::reflector::Store;

use super::account::ExistingAccount;
use super::account::contests::Contests;
use super::changes::Changes;
use super::credential::leftovers::Leftovers;
use super::credential::record::resolved;
use super::error::Error;
use super::events::Events;
use super::failed::Failed;
use super::finalizer::is_on;
use super::first_ready::FirstReady;
use super::grants::ungranted::Ungranted;
use super::index::{Bindings, readable};
use super::metrics::ReconcileMetrics;
use super::requests::Requests;
use super::settings::Settings;
use super::status::believed::believed;
use super::status::known_good::KnownGood;
use super::status::overwritten::Overwritten;
use super::status::reason::{Persistence, Reason};
use super::status::{Finding, Moment, Settled};
use super::told::Told;
use super::validate::{Defaults, Desired, identity_id};
use crate::grant::Authority;
use crate::issuer::judge::Finding as Verification;
use crate::kubeutil::backoff::{Attempts, Standing};
use crate::ledger::{BindingRef, Ledgers, Look, NotNow};
use crate::runtime::clock::Clock;
use crate::runtime::deliberate::Bug;
use crate::runtime::liveness::Liveness;

/// Clients, stores and memory that all passes share.
pub struct Operator {
    pub client: kube::Client,
    pub ledgers: Arc<Ledgers>,
    pub bindings: Bindings,
    pub accounts: Store<ExistingAccount>,
    /// Accounts that somebody changes again and again.
    pub contests: Contests,
    /// Bindings whose status somebody else writes again and again.
    pub overwritten: Overwritten,
    /// Finalizers that somebody has taken off.
    pub taken_off: Overwritten,
    /// Who may bind what.
    pub grants: Arc<Authority>,
    /// Bindings without a grant.
    pub ungranted: Ungranted,
    /// Credentials that neither a binding nor a grant covers.
    pub leftovers: Leftovers,
    /// Bindings that are good as far as this process knows.
    pub known_good: KnownGood,
    pub settings: Settings,
    pub attempts: Attempts,
    /// How long bindings have waited: for another binding, or because Azure asked for a pause.
    pub waits: Attempts,
    /// How often writing a status has failed.
    pub unwritten: Attempts,
    /// What somebody has asked to be looked at.
    pub requests: Requests,
    /// What was told of bindings whose cleanup may be repeated.
    pub told: Told,
    pub events: Events,
    pub metrics: ReconcileMetrics,
    /// How long bindings take until they are Ready.
    pub first_ready: FirstReady,
    pub clock: Clock,
    /// What the passes say of themselves.
    pub liveness: Liveness,
}

impl Operator {
    /// For a process that remembers nothing yet. The stores are those of its watches.
    pub fn new(
        client: kube::Client,
        events: Events,
        ledgers: Arc<Ledgers>,
        (bindings, accounts, grants): (Bindings, Store<ExistingAccount>, Arc<Authority>),
        settings: Settings,
        clock: Clock,
    ) -> Self {
        Self {
            client,
            ledgers,
            bindings,
            accounts,
            contests: Contests::default(),
            overwritten: Overwritten::default(),
            taken_off: Overwritten::default(),
            grants,
            ungranted: Ungranted::default(),
            leftovers: Leftovers::default(),
            known_good: KnownGood::default(),
            settings,
            attempts: Attempts::default(),
            waits: Attempts::default(),
            unwritten: Attempts::default(),
            requests: Requests::default(),
            told: Told::default(),
            events,
            metrics: ReconcileMetrics::default(),
            first_ready: FirstReady::since(clock.now()),
            clock,
            liveness: Liveness::default(),
        }
    }

    /// What a pass that begins now works with.
    pub fn begin_pass(self: &Arc<Self>) -> Context {
        Context {
            operator: Arc::clone(self),
            defaults: self.settings.defaults.borrow().clone(),
            verification: Arc::clone(&self.settings.issuer.borrow().finding),
            granted: OnceLock::new(),
            changes: Changes::default(),
        }
    }

    /// Whether it is known which issuer the cluster's tokens carry.
    pub fn knows_issuer(&self) -> bool {
        self.settings.defaults.borrow().unknown_issuer.is_none()
    }

    /// Now, for a reason that has stood for so long.
    pub fn moment(&self, stood: Duration) -> Moment {
        Moment {
            now: self.clock.now(),
            stood,
            propagation_delay: self.settings.propagation_delay,
            stalled_after: self.settings.stalled_after,
        }
    }

    /// Whether another binding that is being deleted still records a credential on this binding's identity.
    pub fn is_deletion_pending(&self, binding: &WorkloadIdentityBinding) -> bool {
        let status = binding.status.as_ref();
        let Some(identity) = status
            .and_then(|status| status.identity.as_ref())
            .and_then(ResolvedIdentity::managed_identity)
        else {
            return false;
        };
        self.bindings
            .is_deletion_pending(&identity, &BindingRef::of(binding))
    }

    /// Whether this process remembers a failure of the binding.
    pub fn knows_of_failure(&self, who: &BindingRef) -> bool {
        let uid = self.bindings.uid(who);
        uid.is_some_and(|uid| self.attempts.knows(&uid))
    }

    /// Forgets what is remembered about an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.succeeded(uid);
        self.unwritten.forget(uid);
        self.requests.forget(uid);
        self.told.forget(uid);
        self.overwritten.forget(uid);
        self.taken_off.forget(uid);
        self.known_good.forget(uid);
        self.first_ready.forget(uid);
        self.ungranted.forget(uid);
    }

    /// Forgets what is remembered of objects and identities that are gone without having said so.
    pub fn prune(&self) {
        let uids = self.bindings.uids();
        for attempts in [&self.attempts, &self.waits, &self.unwritten] {
            attempts.retain(|uid| uids.contains(uid));
        }
        self.requests.retain(&uids);
        self.told.retain(&uids);
        self.overwritten.retain(&uids);
        self.taken_off.retain(&uids);
        self.known_good.retain(&uids);
        self.first_ready.retain(&uids);
        self.ungranted.retain(&uids);
        self.bindings.prune(&uids);
        self.ledgers.prune(|id| self.bindings.has_identity(id));
    }

    /// Forgets the failures of an object that is as it should be.
    pub fn succeeded(&self, uid: &str) {
        self.attempts.forget(uid);
        self.waits.forget(uid);
    }

    /// Notes one more failure of this object and says when it is tried again.
    pub fn failed(&self, uid: &str, error: Error) -> Failed {
        let standing = self.note_failure(uid, &error);
        let retry_in = error.pace().delay(standing);
        Failed { error, retry_in }
    }

    /// Whether another try for this object is a repeat of what failed for something that has to change first.
    pub fn look(&self, uid: &str) -> Look {
        let reason = self.attempts.reason(uid);
        let reason = reason.and_then(|reason| Reason::named(&reason));
        match reason.map(Reason::persistence) {
            None | Some(Persistence::Heals) => Look::First,
            Some(_) => Look::Repeat,
        }
    }

    /// Notes one more failure of this object. A delay is counted by itself, and so is Azure's wish for one: what stood
    /// against the object before it stands on. Were it forgotten, its tries would begin anew at their quickest, and a few
    /// applicants that Azure refuses would keep their identity throttled for ever.
    pub fn note_failure(&self, uid: &str, error: &Error) -> Standing {
        if let Some(NotNow::Paced { .. }) = error.not_now() {
            return self.waits.waited(uid, error.attempt_key());
        }
        if error.is_delay() {
            return self.waits.failed(uid, error.attempt_key());
        }
        self.waits.forget(uid);
        self.attempts.failed(uid, error.attempt_key())
    }
}

/// What one pass works with. Its defaults stay as they were when it began: a pass that took its decision for one issuer does
/// not write for another.
pub struct Context {
    operator: Arc<Operator>,
    pub defaults: Defaults,
    /// What was found of the issuer when it began.
    pub verification: Arc<Verification>,
    /// What grants say, once they were asked.
    granted: OnceLock<Option<Finding>>,
    /// What the pass has changed.
    pub(super) changes: Changes,
}

impl Deref for Context {
    type Target = Arc<Operator>;

    fn deref(&self) -> &Arc<Operator> {
        &self.operator
    }
}

impl Context {
    /// Settles what grants say to this pass; the first answer counts.
    pub(super) fn settle(&self, granted: Option<Finding>) {
        let _ = self.granted.set(granted);
    }

    /// What is settled before the first step.
    pub(super) fn settled(&self) -> Settled<'_> {
        Settled {
            issuer: self.defaults.issuer.as_str(),
            verification: &self.verification,
            granted: self.granted.get().cloned().flatten(),
        }
    }

    /// Whether what a binding asks for may be made at this moment.
    pub(super) fn is_still_granted(&self, desired: &Desired) -> bool {
        self.operator.permission(desired)()
    }

    /// Wakes those whom the quotas of their grants had no room for: there may be some now.
    pub(super) fn wake_over_quota(&self, identity: &ManagedIdentityId) {
        let waiting = self.bindings.over_quota(identity, None);
        let waiting = waiting.into_iter().map(|(rank, _)| rank.binding);
        self.ledgers.wake(identity, waiting);
    }

    /// Does something for the identity that a binding names, where it can be told.
    pub fn with_identity(
        &self,
        binding: &WorkloadIdentityBinding,
        act: impl FnOnce(&ManagedIdentityId),
    ) {
        let identity = identity_id(&binding.spec.identity, &self.defaults);
        if let Ok(identity) = identity {
            act(&identity);
        }
    }

    /// The bindings that name this account, from the watch, with what their statuses can say of them, and with their identities
    /// as they were read last: a status may not say yet that its identity was made again, and whoever went by that would put
    /// the dead client id back.
    pub fn bindings_of_account(
        &self,
        namespace: &str,
        service_account: &str,
    ) -> Vec<WorkloadIdentityBinding> {
        readable(&self.bindings.of_account(namespace, service_account))
            .map(|other| believed(other, &self.defaults).into_owned())
            .map(|other| self.as_known(other))
            .filter_map(|other| self.as_granted(other, &self.defaults))
            .collect()
    }

    fn as_known(&self, mut binding: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
        let recorded = binding.status.as_ref().and_then(|it| it.identity.as_ref());
        let id = match recorded {
            Some(recorded) => recorded.managed_identity(),
            // It may be that no status is taken. It counts all the same, or each of them would write the account for itself.
            None if Bug::OnlyStatusCounts.is_on() => None,
            None if is_on(&binding.metadata) && !binding.spec.suspend => {
                identity_id(&binding.spec.identity, &self.defaults).ok()
            }
            None => None,
        };
        if let Some(id) = id
            && let Some(known) = self.ledgers.last_identity(&id)
        {
            let recorded = recorded.and_then(|it| it.resource_id.clone());
            let resource_id = recorded.unwrap_or_else(|| id.to_string());
            let status = binding.status.get_or_insert_default();
            status.identity = Some(resolved(resource_id, &known));
        }
        binding
    }
}
