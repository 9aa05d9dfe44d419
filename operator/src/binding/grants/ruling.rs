//! Asks the grants for a binding.

use std::sync::Arc;

use azwib_crds::{DeletionPolicy, ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::revocation;
use crate::binding::context::Operator;
use crate::binding::status::granted::named;
use crate::binding::status::has_something;
use crate::binding::validate::{Defaults, Desired, identities, service_account_name};
use crate::grant::{CannotTell, Missing, Mode, Reserved, Verdict};
use crate::runtime::deliberate::Bug;

/// What grants, and whether they are required, mean to a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Grants are not required.
    NotRequired,
    /// This grant covers it.
    Granted {
        by: String,
        /// Whether one of those that cover it allows `Retain`.
        may_retain: bool,
    },
    /// No grant covers it, or it is not known whether one does; nothing is refused yet. In words.
    WouldBeRefused(String),
    /// No grant covers it.
    Refused(Missing),
    /// It is not known whether one does.
    CannotTell(CannotTell),
    /// No grant may cover it: the operator's own.
    Reserved(Reserved),
}

impl Ruling {
    /// Whether something may be made for the binding.
    pub fn may_make(&self) -> bool {
        match self {
            Self::NotRequired | Self::Granted { .. } | Self::WouldBeRefused(_) => true,
            Self::Refused(_) | Self::CannotTell(_) | Self::Reserved(_) => false,
        }
    }

    /// Whether it is known that no grant covers the binding.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether it is known that nothing may be made for the binding.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Reserved(_))
    }

    /// Whether the binding may leave behind what was made for it. While that is not known, nothing is taken away.
    pub fn may_retain(&self) -> bool {
        match self {
            Self::NotRequired | Self::WouldBeRefused(_) | Self::CannotTell(_) => true,
            Self::Granted { may_retain, .. } => *may_retain || Bug::RetainWithoutGrant.is_on(),
            Self::Refused(_) | Self::Reserved(_) => false,
        }
    }
}

impl Operator {
    /// Whether grants are required now.
    pub fn grants_mode(&self) -> Mode {
        let without = || self.bindings.some_are_admitted_without_grant();
        self.grants.mode(without)
    }

    /// What grants mean to whoever asks that this account may act as this identity; `named` is the grant that was named before.
    pub fn ruling_on(
        &self,
        identity: &ManagedIdentityId,
        account: (&str, &str),
        named: Option<&str>,
    ) -> Ruling {
        self.ruling_in(self.grants_mode(), identity, account, named)
    }

    /// The same in this mode. It locks nothing of the bindings.
    pub fn ruling_in(
        &self,
        mode: Mode,
        identity: &ManagedIdentityId,
        account: (&str, &str),
        named: Option<&str>,
    ) -> Ruling {
        match self.ruling_as_shown(mode, identity, account, named) {
            Ruling::Granted { .. } | Ruling::Refused(_)
                if mode == Mode::Enforce && self.grants.is_doubted() =>
            {
                Ruling::CannotTell(CannotTell::Doubted)
            }
            ruling => ruling,
        }
    }

    /// What the watches have shown of grants, whether that is doubted or not.
    pub fn ruling_as_shown(
        &self,
        mode: Mode,
        identity: &ManagedIdentityId,
        account: (&str, &str),
        named: Option<&str>,
    ) -> Ruling {
        if self.grants.is_reserved(account.0) {
            return Ruling::Reserved(Reserved::Namespace(account.0.to_owned()));
        }
        if mode == Mode::Off {
            return Ruling::NotRequired;
        }
        let audits = mode == Mode::Audit;
        match self.grants.verdict(identity, account, named) {
            Ok(Verdict::Granted { by, may_retain }) => Ruling::Granted {
                by: by.name.clone(),
                may_retain: may_retain || audits,
            },
            Ok(Verdict::NotGranted(missing)) if audits => {
                Ruling::WouldBeRefused(missing.to_string())
            }
            Ok(Verdict::NotGranted(missing)) => Ruling::Refused(missing),
            Err(why) if audits => Ruling::WouldBeRefused(why.to_string()),
            Err(why) => Ruling::CannotTell(why),
        }
    }

    /// Whether what was made for this account on these identities may be left behind. It goes now: what was shown of grants counts.
    ///
    /// # Errors
    /// That is not known.
    pub fn retains(
        &self,
        identities: impl Iterator<Item = ManagedIdentityId>,
        account: (&str, &str),
    ) -> Result<bool, CannotTell> {
        let mode = self.grants_mode();
        let mut unknown = None;
        for identity in identities {
            match self.ruling_as_shown(mode, &identity, account, None) {
                Ruling::CannotTell(why) => unknown = Some(why),
                ruling if !ruling.may_retain() => return Ok(false),
                _ => {}
            }
        }
        unknown.map_or(Ok(true), Err)
    }

    /// Whether nothing may be made for this account on this identity.
    ///
    /// # Errors
    /// That is not known.
    pub fn denies(
        &self,
        identity: &ManagedIdentityId,
        account: (&str, &str),
    ) -> Result<bool, CannotTell> {
        match self.ruling_on(identity, account, None) {
            Ruling::CannotTell(why) => Err(why),
            ruling => Ok(ruling.is_denied()),
        }
    }

    /// What grants mean to a binding; `None` where it names no identity. What it has on another identity than it names now counts
    /// as well.
    pub fn ruling(&self, binding: &WorkloadIdentityBinding, defaults: &Defaults) -> Option<Ruling> {
        let (namespace, account) = (
            binding.namespace().unwrap_or_default(),
            service_account_name(binding),
        );
        let named = named(binding);
        let ask =
            |identity: &ManagedIdentityId| self.ruling_on(identity, (&namespace, &account), named);
        let mut rulings = identities(binding, defaults).map(|it| ask(&it));
        let first = rulings.next()?;
        Some(rulings.find(Ruling::is_refused).unwrap_or(first))
    }

    /// The binding as it counts for others: without `Retain` where it may not say so, and frozen like a suspended one where no
    /// grant covers it. `None` where it does not count at all.
    pub fn as_granted(
        &self,
        mut binding: WorkloadIdentityBinding,
        defaults: &Defaults,
    ) -> Option<WorkloadIdentityBinding> {
        let Some(ruling) = self.ruling(&binding, defaults) else {
            return Some(binding);
        };
        if !ruling.may_retain() {
            binding.spec.deletion_policy = DeletionPolicy::Delete;
        }
        if ruling.may_make() || Bug::UngrantedCountsForAccount.is_on() {
            return Some(binding);
        }
        binding.spec.suspend = true;
        let counts = has_something(&binding) && !revocation::is_due(&binding, self);
        counts.then_some(binding)
    }

    /// Asks, whenever it is called, whether what a binding asks for may be made at that moment.
    pub fn permission(
        self: &Arc<Self>,
        desired: &Desired,
    ) -> impl Fn() -> bool + Send + Sync + 'static {
        let operator = Arc::clone(self);
        let Desired {
            identity,
            namespace,
            service_account,
            ..
        } = desired.clone();
        move || {
            let account = (&*namespace, &*service_account);
            let believes_status = Bug::GateWithoutGrant.is_on() || Bug::StatusGrants.is_on();
            operator.ruling_on(&identity, account, None).may_make() || believes_status
        }
    }
}
