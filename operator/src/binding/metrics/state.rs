//! What is true now of bindings, grants and identities.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use azwib_crds::ManagedIdentityId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::ages::Ages;
use super::count::as_gauge;
use super::pacing;
use crate::binding::credential::orphans::orphans;
use crate::binding::index::{Bindings, Packed};
use crate::binding::settings::Settings;
use crate::binding::status::reason::{ConditionType, Reason};
use crate::grant::{Authority, Mode};
use crate::ledger::{InLine, Ledgers};
use crate::runtime::clock::Clock;

/// The label of what a status says that this version does not know.
const OTHER: &str = "Other";

/// What is true now, looked up when it is asked for: nothing is left of a binding or an identity that is gone.
pub struct State {
    pub bindings: Bindings,
    pub grants: Arc<Authority>,
    pub ledgers: Arc<Ledgers>,
    pub settings: Settings,
    pub clock: Clock,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut of_bindings = encoder.encode_descriptor(
            "azwib_bindings",
            "Bindings, by what a condition of theirs says",
            None,
            MetricType::Gauge,
        )?;
        for (labels, count) in self.conditions() {
            ConstGauge::new(count).encode(of_bindings.encode_family(&labels)?)?;
        }
        let mut mode = encoder.encode_descriptor(
            "azwib_grants_mode",
            "1 for what --grants is now: enforce, audit or off",
            None,
            MetricType::Gauge,
        )?;
        let now = self
            .grants
            .mode(|| self.bindings.some_are_admitted_without_grant());
        for one in [Mode::Enforce, Mode::Audit, Mode::Off] {
            let label = [("mode", one.as_str())];
            ConstGauge::new(i64::from(one == now)).encode(mode.encode_family(&label)?)?;
        }
        let remains = encoder.encode_descriptor(
            "azwib_bindings_with_access_without_grant",
            "Bindings that no grant covers and to which an adopted credential still gives access",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.with_access_without_grant()).encode(remains)?;
        let identities = self.identities();
        let mut gauge = |name, help, value: fn(&Slots) -> usize| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            identities.iter().try_for_each(|(identity, slots)| {
                let label = [("identity", identity.key())];
                let value = as_gauge(value(slots));
                ConstGauge::new(value).encode(family.encode_family(&label)?)
            })
        };
        gauge(
            "azwib_credential_slots_used",
            "Federated identity credentials of an identity when it was last listed, foreign ones included",
            |slots| slots.used,
        )?;
        gauge(
            "azwib_credential_slots_limit",
            "Federated identity credentials that an identity may have (--credential-limit)",
            |slots| slots.limit,
        )?;
        gauge(
            "azwib_orphaned_credentials",
            "Credentials of azwib on an identity that no binding has to do with any more, retained ones among them",
            |slots| slots.orphans,
        )?;
        self.encode_waiting(&mut encoder)?;
        Ages::of(&self.bindings, self.clock.now()).encode(&mut encoder)?;
        pacing::encode(&self.ledgers.pacing(), &mut encoder)
    }
}

struct Slots {
    used: usize,
    limit: usize,
    orphans: usize,
}

type ConditionLabels = [(&'static str, &'static str); 3];

impl State {
    /// Who waits, for identities where somebody does: most have nobody.
    fn encode_waiting(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "azwib_waiting_bindings",
            "Bindings that wait on an identity: for a free slot, or for their turn to write",
            None,
            MetricType::Gauge,
        )?;
        for (identity, InLine { slot, turn }) in self.ledgers.in_line() {
            for (waits_for, count) in [("slot", slot), ("turn", turn)] {
                if count > 0 {
                    let labels = [("identity", identity.as_str()), ("waits_for", waits_for)];
                    ConstGauge::new(as_gauge(count)).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn conditions(&self) -> BTreeMap<ConditionLabels, i64> {
        let mut counts = BTreeMap::new();
        for kept in self.bindings.store().state() {
            for labels in labels(&kept) {
                *counts.entry(labels).or_default() += 1;
            }
        }
        counts
    }

    fn with_access_without_grant(&self) -> i64 {
        let kept = self.bindings.store().state();
        let count = kept.iter().filter(|kept| {
            let mut shown = kept.shown().into_iter().flatten();
            let is_refused = shown.any(|it| {
                it.type_ == ConditionType::Granted && it.reason == Some(Reason::NotGranted)
            });
            is_refused && kept.has_adopted()
        });
        as_gauge(count.count())
    }

    /// The identities that bindings have to do with, as far as they were listed.
    fn identities(&self) -> Vec<(ManagedIdentityId, Slots)> {
        let slots = |identity: ManagedIdentityId| {
            let listing = self.ledgers.last_listing(&identity)?;
            let issuer = &self.settings.defaults.borrow().issuer.clone();
            let slots = Slots {
                used: listing.len(),
                limit: self.settings.credential_limit,
                orphans: orphans(&listing, &identity, issuer, &self.bindings).len(),
            };
            Some((identity, slots))
        };
        let identities = self.bindings.identities();
        identities.into_iter().filter_map(slots).collect()
    }
}

fn labels(binding: &Packed) -> Vec<ConditionLabels> {
    // One that is on its way out says nothing of the state of the cluster.
    if binding.goes {
        return vec![];
    }
    let Some(shown) = binding.shown() else {
        let invalid = Reason::InvalidSpec.as_str();
        return vec![
            label(ConditionType::Ready.as_str(), "False", invalid),
            label(ConditionType::Stalled.as_str(), "True", invalid),
        ];
    };
    let labels = shown.iter().map(|it| {
        let reason = it.reason.map_or(OTHER, Reason::as_str);
        label(it.type_.as_str(), it.status.as_str(), reason)
    });
    labels.collect()
}

fn label(condition: &'static str, status: &'static str, reason: &'static str) -> ConditionLabels {
    [
        ("condition", condition),
        ("status", status),
        ("reason", reason),
    ]
}
