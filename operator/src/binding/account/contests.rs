//! Contests over accounts: somebody changes again and again what azwib puts back.
//!
//! A few repairs in a minute are drift and go at once. More of them are a contest: from then on one goes every quarter of a minute, and
//! the bindings of the account say so, until an account has stood undisturbed for that long. Who begins again within the minute is in a
//! contest at once: edits that come in bursts are no reason for as many repairs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::configuration::AccountConfiguration;
use super::difference::Drift;
use crate::kubeutil::versions::order;
use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;
use crate::runtime::sweep::Sweep;

/// So many repairs of one account within [`WINDOW`] go at once.
pub const FREE_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// In a contest, the time between two repairs, and how long the account has to stand for the contest to be over.
pub const PAUSE: Duration = Duration::from_secs(15);

/// So many writes are remembered: more than it takes to tell a contest among those of bindings that join.
const MOST_WRITES: usize = 64;

/// An account about which nothing was heard for so long is forgotten, unless the next sweep is not due yet.
const REMEMBERED: Duration = Duration::from_secs(600);

/// An account that is contested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// What was changed first, and by whom: the same for as long as the contest lasts.
    pub drift: Drift,
    /// When it is looked at again.
    pub until: Instant,
}

/// Whether a repair may go.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is the first, or one of few.
    Free,
    /// It may, and the account stays contested.
    InContest(Contested),
    /// Not yet.
    Refused(Contested),
}

/// What is remembered of the accounts that were written, by namespace and name.
#[derive(Debug, Default)]
pub struct Contests {
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    by_name: HashMap<(String, String), Account>,
    sweep: Sweep,
}

#[derive(Debug)]
struct Account {
    /// The writes that changed something, in the order of the resourceVersions that they gave: they may be heard of in another
    /// one. The last one is there always, those before it for as long as they count.
    writes: Vec<Write>,
    /// When the last of them was heard of.
    written: Instant,
    contest: Option<Drift>,
}

#[derive(Debug)]
struct Write {
    version: u64,
    /// Of what was applied.
    configuration: Fingerprint,
    at: Instant,
}

/// What azwib applies, whichever account of that name it is applied to: as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64);

impl Fingerprint {
    fn of(configuration: &AccountConfiguration) -> Self {
        let owners = configuration.owner_references.iter();
        let mut owners: Vec<_> = owners.map(|owner| &*owner.uid).collect();
        owners.sort_unstable();
        let labels: Vec<_> = configuration.labels.keys().collect();
        let mut hasher = DefaultHasher::new();
        (&configuration.annotations, labels, owners).hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Contests {
    /// Asks whether this may be written to an account that does not carry it.
    pub fn admit(
        &self,
        (namespace, name): (&str, &str),
        configuration: &AccountConfiguration,
        drift: impl FnOnce() -> Drift,
    ) -> Admission {
        if Bug::NoBrake.is_on() {
            return Admission::Free;
        }
        let now = Instant::now();
        let mut accounts = self.accounts();
        let key = (namespace.to_owned(), name.to_owned());
        let Some(account) = accounts.by_name.get_mut(&key) else {
            return Admission::Free;
        };
        // Something else is asked for than before: this is nobody's doing but ours.
        if account.asked_last() != Some(Fingerprint::of(configuration)) {
            return Admission::Free;
        }
        if account.contest.is_none() && account.repairs(now) < FREE_REPAIRS {
            return Admission::Free;
        }
        let contested = Contested {
            drift: account.contest.get_or_insert_with(drift).clone(),
            until: account.written + PAUSE,
        };
        if now < contested.until {
            return Admission::Refused(contested);
        }
        Admission::InContest(Contested {
            until: now + PAUSE,
            ..contested
        })
    }

    /// Takes note of what was written, and of the resourceVersion that it gave: one that is not new means that the account had
    /// carried it already.
    pub fn written(
        &self,
        (namespace, name): (&str, &str),
        configuration: &AccountConfiguration,
        version: Option<&str>,
    ) {
        let now = Instant::now();
        let mut accounts = self.accounts();
        accounts.forget_quiet_before(now);
        let key = (namespace.to_owned(), name.to_owned());
        let account = accounts.by_name.entry(key).or_insert_with(|| Account {
            // Most have one.
            writes: Vec::with_capacity(1),
            written: now,
            contest: None,
        });
        let last = account.writes.last().map_or(0, |last| last.version);
        let version = version.and_then(order).unwrap_or(last + 1);
        let writes = &mut account.writes;
        let Err(place) = writes.binary_search_by_key(&version, |write| write.version) else {
            return;
        };
        let write = Write {
            version,
            configuration: Fingerprint::of(configuration),
            at: now,
        };
        writes.insert(place, write);
        account.written = now;
        account.forget_writes_before(now);
    }

    /// The account carries what it should. A contest is over once it has done so for a while.
    pub fn stands(&self, (namespace, name): (&str, &str)) -> Option<Contested> {
        let mut accounts = self.accounts();
        let key = (namespace.to_owned(), name.to_owned());
        let account = accounts.by_name.get_mut(&key)?;
        let until = account.written + PAUSE;
        if until <= Instant::now() {
            account.contest = None;
        }
        let drift = account.contest.clone()?;
        Some(Contested { drift, until })
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        lock(&self.accounts)
    }
}

impl Account {
    /// What was applied by the last write.
    fn asked_last(&self) -> Option<Fingerprint> {
        self.writes.last().map(|write| write.configuration)
    }

    /// How often the same was applied once more within [`WINDOW`], because somebody had changed it.
    fn repairs(&self, now: Instant) -> usize {
        let pairs = self.writes.iter().zip(self.writes.iter().skip(1));
        let repairs = pairs.filter(|(before, write)| {
            before.configuration == write.configuration && now.duration_since(write.at) < WINDOW
        });
        repairs.count()
    }

    fn forget_writes_before(&mut self, now: Instant) {
        let Some(but_last) = self.writes.len().checked_sub(1) else {
            return;
        };
        let too_many = self.writes.len().saturating_sub(MOST_WRITES);
        let is_old = |write: &Write| now.duration_since(write.at) >= WINDOW;
        let old = self.writes[too_many..but_last].iter();
        let old = too_many + old.take_while(|write| is_old(write)).count();
        self.writes.drain(..old);
    }
}

impl Accounts {
    /// Forgets what is long quiet.
    fn forget_quiet_before(&mut self, now: Instant) {
        let is_heard_of = |account: &Account| now.duration_since(account.written) < REMEMBERED;
        self.sweep.run(&mut self.by_name, is_heard_of);
    }
}

#[cfg(test)]
mod tests;
