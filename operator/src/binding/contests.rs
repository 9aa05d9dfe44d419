//! Contests over accounts: somebody changes again and again what azwib puts back.
//!
//! A few repairs in a minute are drift and go at once. More of them are a contest: from then on one goes every quarter of a minute, and
//! the bindings of the account say so, until an account has stood undisturbed for that long.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::account::{AccountConfiguration, Drift};
use crate::runtime::deliberate::Bug;

/// So many repairs of one account within [`WINDOW`] go at once.
pub const FREE_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// In a contest, the time between two repairs, and how long the account has to stand for the contest to be over.
pub const PAUSE: Duration = Duration::from_secs(15);

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
    /// With so many of them, those that are long quiet are forgotten.
    sweep_at: usize,
}

#[derive(Debug)]
struct Account {
    /// What was applied last.
    configuration: Fingerprint,
    /// The resourceVersion that this gave.
    version: Option<String>,
    written: Instant,
    /// When it was applied once more because somebody had changed it.
    repairs: VecDeque<Instant>,
    contest: Option<Drift>,
}

/// What azwib applies, whichever account of that name it is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    annotations: BTreeMap<&'static str, String>,
    labels: Vec<&'static str>,
    owners: Vec<String>,
}

impl Fingerprint {
    fn of(configuration: &AccountConfiguration) -> Self {
        let owners = configuration.owner_references.iter();
        let mut owners: Vec<_> = owners.map(|owner| owner.uid.clone()).collect();
        owners.sort_unstable();
        Self {
            annotations: configuration.annotations.clone(),
            labels: configuration.labels.keys().copied().collect(),
            owners,
        }
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
        if account.configuration != Fingerprint::of(configuration) {
            return Admission::Free;
        }
        account.forget_repairs_before(now);
        if account.contest.is_none() && account.repairs.len() < FREE_REPAIRS {
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
        let configuration = Fingerprint::of(configuration);
        let mut accounts = self.accounts();
        accounts.sweep(now);
        let key = (namespace.to_owned(), name.to_owned());
        let account = accounts.by_name.entry(key).or_insert_with(|| Account {
            configuration: configuration.clone(),
            version: None,
            written: now,
            repairs: VecDeque::new(),
            contest: None,
        });
        if account.version.is_some() && account.version.as_deref() == version {
            return;
        }
        // Two passes wrote, and the one that came first is heard of last. What the other has replaced was ours.
        if is_older(version, account.version.as_deref()) {
            if account.configuration != configuration {
                account.repairs.pop_back();
            }
            return;
        }
        if account.version.is_some() && account.configuration == configuration {
            account.forget_repairs_before(now);
            account.repairs.push_back(now);
        }
        account.configuration = configuration;
        account.version = version.map(str::to_owned);
        account.written = now;
    }

    /// The account carries what it should. A contest is over once it has done so for a while.
    pub fn stands(&self, (namespace, name): (&str, &str)) -> Option<Contested> {
        let mut accounts = self.accounts();
        let key = (namespace.to_owned(), name.to_owned());
        let account = accounts.by_name.get_mut(&key)?;
        let until = account.written + PAUSE;
        if until <= Instant::now() {
            account.contest = None;
            account.repairs.clear();
        }
        let drift = account.contest.clone()?;
        Some(Contested { drift, until })
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one resourceVersion is older than another: they are numbers, and grow.
fn is_older(version: Option<&str>, than: Option<&str>) -> bool {
    let number = |version: Option<&str>| version?.parse::<u64>().ok();
    number(version)
        .zip(number(than))
        .is_some_and(|(version, than)| version < than)
}

impl Account {
    fn forget_repairs_before(&mut self, now: Instant) {
        while self
            .repairs
            .front()
            .is_some_and(|at| now.duration_since(*at) >= WINDOW)
        {
            self.repairs.pop_front();
        }
    }
}

impl Accounts {
    /// Forgets what is long quiet, each time that twice as many are remembered as were left the last time.
    fn sweep(&mut self, now: Instant) {
        if self.by_name.len() < self.sweep_at.max(64) {
            return;
        }
        self.by_name
            .retain(|_, account| now.duration_since(account.written) < REMEMBERED);
        self.sweep_at = 2 * self.by_name.len();
    }
}

#[cfg(test)]
mod tests;
