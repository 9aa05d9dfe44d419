//! Which statuses are ours: a status that somebody else has written is looked at at once.
//!
//! For each binding two numbers are kept, whatever its size: the status as it was last seen or written, and how many of
//! others there were.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;

use azwib_crds::WorkloadIdentityBinding;

use crate::binding::status::reason::ConditionType;
use crate::runtime::hash::hash;

/// What is remembered of a binding's statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Of its UID: another binding may bear the name later.
    uid: u64,
    /// The status as it was last seen or written.
    status: u64,
    /// How many statuses of others there were.
    others: u32,
    /// A status has recorded a credential of the binding's own.
    recorded: bool,
}

impl Seen {
    pub(super) fn first(binding: &WorkloadIdentityBinding, recorded: bool) -> Self {
        Self {
            uid: uid(binding),
            status: digest(binding),
            others: 0,
            recorded,
        }
    }

    /// Takes in the status of this version of the binding. `is_ours` is asked only where it is another than before.
    pub(super) fn look(
        &mut self,
        binding: &WorkloadIdentityBinding,
        recorded: bool,
        is_ours: impl FnOnce(u64) -> bool,
    ) {
        if self.uid != uid(binding) {
            *self = Self::first(binding, recorded);
            return;
        }
        self.recorded |= recorded;
        let status = digest(binding);
        if self.status == status {
            return;
        }
        if !is_ours(status) {
            self.others = self.others.wrapping_add(1);
        }
        self.status = status;
    }

    /// Whether a status of it has recorded a credential of its own.
    pub(super) fn has_recorded_any(&self) -> bool {
        self.recorded
    }

    pub(super) fn others(&self) -> u32 {
        self.others
    }

    /// Whether it is of the binding with this UID.
    pub(super) fn is_of(&self, binding: &str) -> bool {
        self.uid == hash(binding)
    }

    /// Whether a status of the binding with this UID has recorded a credential of its own.
    pub(super) fn has_recorded(&self, binding: &str) -> bool {
        self.recorded && self.is_of(binding)
    }
}

/// The statuses that are being written, by the UID of their binding.
#[derive(Debug, Default)]
pub(super) struct Sending(HashMap<String, Vec<u64>>);

impl Sending {
    pub(super) fn begin(&mut self, uid: String, status: u64) {
        self.0.entry(uid).or_default().push(status);
    }

    pub(super) fn end(&mut self, uid: &str, status: u64) {
        if let Some(under_way) = self.0.get_mut(uid) {
            if let Some(at) = under_way.iter().position(|it| *it == status) {
                under_way.swap_remove(at);
            }
            if under_way.is_empty() {
                self.0.remove(uid);
            }
        }
    }

    pub(super) fn contains(&self, uid: &str, status: u64) -> bool {
        self.0.get(uid).is_some_and(|them| them.contains(&status))
    }
}

fn uid(binding: &WorkloadIdentityBinding) -> u64 {
    hash(binding.metadata.uid.as_deref().unwrap_or_default())
}

/// A number for what azwib writes of a status; conditions of other writers do not count.
pub(super) fn digest(binding: &WorkloadIdentityBinding) -> u64 {
    let mut hashed = Hashed(DefaultHasher::new());
    if let Some(status) = &binding.status {
        let conditions = status
            .conditions
            .iter()
            .filter(|it| ConditionType::ALL.iter().any(|of| of.as_str() == it.type_))
            .collect::<Vec<_>>();
        // Strings and numbers, into a hasher: neither can fail.
        let _ = serde_json::to_writer(
            &mut hashed,
            &(
                status.observed_generation,
                &status.identity,
                &status.service_account,
                &status.credentials,
                conditions,
            ),
        );
    }
    hashed.0.finish()
}

struct Hashed(DefaultHasher);

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
