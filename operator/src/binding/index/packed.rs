//! A binding as it is kept: compressed, because there may be tens of thousands of them, and beside that what is asked of all of
//! them at once.
//!
//! As a structure a binding takes 4 KiB in 40 pieces, as text 2 KiB, and compressed a quarter of that.

use std::borrow::Cow;

use azwib_crds::{CredentialOrigin, WorkloadIdentityBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube_runtime::reflector::Lookup;

use super::found::Guarded;
use crate::binding::status::reason::{ConditionType, Reason};
use crate::kubeutil::compressed::Compressed;
use crate::kubeutil::conditions::{ConditionStatus, find};
use crate::kubeutil::versions::order;
use crate::ledger::BindingRef;

/// A binding as most are: of another one only that takes room in which it differs.
const TYPICAL: &[u8] = include_bytes!("packed/typical.json");

/// A binding as it is kept.
#[derive(Debug, Clone)]
pub struct Packed {
    namespace: Option<Box<str>>,
    name: Box<str>,
    uid: Option<Box<str>>,
    version: Option<Box<str>>,
    /// It is being deleted.
    pub goes: bool,
    /// Seconds since 1970: see [`Self::on_its_way_since`].
    on_its_way_since: Option<i64>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Readable {
        kept: Kept,
        shown: Box<[Shown]>,
        has_adopted: bool,
    },
    Invalid(Box<InvalidObject>),
}

#[derive(Debug, Clone)]
enum Kept {
    Compressed(Compressed),
    /// Its text would not bring it back: times are written in whole seconds, and others may have written other ones.
    AsItIs(Box<WorkloadIdentityBinding>),
}

/// What a condition of azwib's says, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub type_: ConditionType,
    pub status: ConditionStatus,
    /// None for one that this version does not know.
    pub reason: Option<Reason>,
}

impl Packed {
    /// What the watch shows, readable or not.
    pub fn of(binding: &Guarded) -> Self {
        let metadata = binding.meta();
        let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
        Self {
            namespace: boxed(&metadata.namespace),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            uid: boxed(&metadata.uid),
            version: boxed(&metadata.resource_version),
            goes: metadata.deletion_timestamp.is_some(),
            on_its_way_since: on_its_way_since(binding),
            content: match &binding.0 {
                Ok(readable) => Content::of(readable),
                Err(invalid) => Content::Invalid(Box::new(invalid.clone())),
            },
        }
    }

    /// The binding itself.
    pub fn unpack(&self) -> Guarded {
        DeserializeGuard(match &self.content {
            Content::Readable { kept, .. } => match kept {
                Kept::AsItIs(binding) => Ok(WorkloadIdentityBinding::clone(binding)),
                Kept::Compressed(compressed) => compressed
                    .value(TYPICAL)
                    .map_err(|error| self.invalid(error.to_string())),
            },
            Content::Invalid(invalid) => Err(InvalidObject::clone(invalid)),
        })
    }

    /// The conditions of azwib's in its status; None where the binding cannot be read.
    pub fn shown(&self) -> Option<&[Shown]> {
        match &self.content {
            Content::Readable { shown, .. } => Some(shown),
            Content::Invalid(_) => None,
        }
    }

    /// Since when (seconds since 1970) it is being deleted, or else is not Ready; None for one that is Ready or suspended.
    pub fn on_its_way_since(&self) -> Option<i64> {
        self.on_its_way_since
    }

    /// Whether its status records a credential that was there before and was adopted.
    pub fn has_adopted(&self) -> bool {
        matches!(
            self.content,
            Content::Readable {
                has_adopted: true,
                ..
            }
        )
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(super) fn reference(&self) -> BindingRef {
        BindingRef {
            namespace: self.namespace.as_deref().unwrap_or_default().to_owned(),
            name: self.name.clone().into(),
        }
    }

    /// Where its version stands in the order of versions.
    pub(super) fn order(&self) -> Option<u64> {
        self.version.as_deref().and_then(order)
    }

    fn invalid(&self, error: String) -> InvalidObject {
        let text = |text: &Option<Box<str>>| text.as_deref().map(String::from);
        InvalidObject {
            error,
            metadata: ObjectMeta {
                namespace: text(&self.namespace),
                name: Some(self.name.clone().into()),
                uid: text(&self.uid),
                resource_version: text(&self.version),
                ..ObjectMeta::default()
            },
        }
    }
}

fn on_its_way_since(binding: &Guarded) -> Option<i64> {
    let metadata = binding.meta();
    let seconds = |time: &Time| time.0.as_second();
    if let Some(deleted) = &metadata.deletion_timestamp {
        return Some(seconds(deleted));
    }
    let created = metadata.creation_timestamp.as_ref().map(seconds);
    let status = binding.0.as_ref().ok().and_then(|it| it.status.as_ref());
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let Some(ready) = find(conditions, ConditionType::Ready.as_str()) else {
        return created;
    };
    let is_fine = ready.status == ConditionStatus::True.as_str()
        || ready.reason == Reason::Suspended.as_str();
    (!is_fine).then(|| seconds(&ready.last_transition_time))
}

impl Content {
    fn of(binding: &WorkloadIdentityBinding) -> Self {
        let status = binding.status.as_ref();
        let conditions = status.into_iter().flat_map(|status| &status.conditions);
        let recorded = status.into_iter().flat_map(|status| &status.credentials);
        Self::Readable {
            kept: Kept::of(binding),
            shown: conditions
                .filter_map(|condition| {
                    Some(Shown {
                        type_: ConditionType::named(&condition.type_)?,
                        status: ConditionStatus::named(&condition.status)?,
                        reason: Reason::named(&condition.reason),
                    })
                })
                .collect(),
            has_adopted: recorded
                .into_iter()
                .any(|it| it.origin == CredentialOrigin::Adopted),
        }
    }
}

impl Kept {
    fn of(binding: &WorkloadIdentityBinding) -> Self {
        let compressed = Compressed::of(binding, TYPICAL).ok();
        let comes_back = |it: &Compressed| {
            it.value(TYPICAL)
                .is_ok_and(|back: WorkloadIdentityBinding| back == *binding)
        };
        match compressed.filter(comes_back) {
            Some(compressed) => Self::Compressed(compressed),
            None => Self::AsItIs(Box::new(binding.clone())),
        }
    }
}

impl Lookup for Packed {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        <WorkloadIdentityBinding as Resource>::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        <WorkloadIdentityBinding as Resource>::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <WorkloadIdentityBinding as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        <WorkloadIdentityBinding as Resource>::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        self.namespace.as_deref().map(Cow::Borrowed)
    }

    // The store would keep both once more, beside its key.

    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}

#[cfg(test)]
mod tests;
