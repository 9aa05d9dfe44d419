//! What all parts of a run share: time, chance, the two simulated services, and what was seen.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_simulator::core::Azure;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::invariants::Books;
use crate::kubernetes::Cluster;
use crate::names::our_name;
use crate::setup::World;
use crate::time::Time;
use crate::trace::{Trace, lock};

/// How often each thing has happened, by its name.
pub type Counts = BTreeMap<String, u64>;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

/// What the next write to Azure meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The connection is dropped, before or after the effect.
    AnswerLost,
    /// It is carried out later.
    EffectLate,
    /// 429 with a `Retry-After`.
    Throttled,
}

/// What a policy of the cluster refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Finalizers,
    Statuses,
    Accounts,
}

/// A policy that is in force for a while.
#[derive(Debug)]
struct Policy {
    namespace: String,
    refused: Refused,
    code: u16,
    until: Instant,
}

/// One run's world.
#[derive(Debug)]
pub struct Shared {
    pub time: Time,
    pub trace: Trace,
    pub cluster: Cluster,
    pub azure: Mutex<Azure>,
    pub books: Mutex<Books>,
    /// The accounts that bindings can be for, by the lower-cased name of their credential.
    pub accounts: BTreeMap<String, (String, String)>,
    random: Mutex<StdRng>,
    counts: Mutex<Counts>,
    violations: Mutex<Vec<Violation>>,
    disturbing: AtomicBool,
    /// Credentials that one identity may have, as the operator is told.
    pub limit: usize,
    fate: Mutex<Option<Fate>>,
    /// The subscription whose next read is told that all of it has to be quiet for years.
    silence: Mutex<Option<String>>,
    policies: Mutex<Vec<Policy>>,
    /// The namespace in which writes take long, and until when.
    slow: Mutex<Option<(String, Instant)>>,
    stalled_until: Mutex<Option<Instant>>,
    /// Until when a watch ends as soon as it is opened.
    watches_end_until: Mutex<Option<Instant>>,
    version_of_list: Mutex<Option<u64>>,
    /// Nothing goes wrong at all.
    pub calm: bool,
    /// How many of a thousand requests to Azure meet a fault while there are disturbances.
    pub faults_per_mille: u32,
    /// How many of a thousand calls the process dies at.
    pub crashes_per_mille: u32,
    /// The process has died.
    pub crashed: Notify,
}

impl Shared {
    pub fn new(time: Time, azure: Azure, world: &World) -> Arc<Self> {
        Arc::new(Self {
            time,
            trace: Trace::new(time),
            cluster: Cluster::new(time),
            azure: Mutex::new(azure),
            books: Mutex::default(),
            accounts: accounts(world),
            random: Mutex::new(StdRng::seed_from_u64(world.seed)),
            counts: Mutex::default(),
            violations: Mutex::default(),
            disturbing: AtomicBool::new(true),
            limit: world.limit,
            fate: Mutex::default(),
            silence: Mutex::default(),
            policies: Mutex::default(),
            slow: Mutex::default(),
            stalled_until: Mutex::default(),
            watches_end_until: Mutex::default(),
            version_of_list: Mutex::default(),
            calm: world.calm,
            faults_per_mille: world.faults_per_mille,
            crashes_per_mille: world.crashes_per_mille,
            crashed: Notify::new(),
        })
    }

    pub fn is_disturbing(&self) -> bool {
        self.disturbing.load(Ordering::Relaxed)
    }

    pub fn be_quiet(&self) {
        self.disturbing.store(false, Ordering::Relaxed);
        lock(&self.policies).clear();
        *lock(&self.slow) = None;
        let version = self.cluster.version();
        lock(&self.books).costs.be_quiet(version);
    }

    /// Kills the process of the operator.
    pub fn crash(&self) {
        self.trace.note("world: the process is killed");
        self.crashed.notify_one();
    }

    /// Has the API server refuse such writes in a namespace, with this code, for so long.
    pub fn refuse(&self, namespace: &str, refused: Refused, code: u16, time: Duration) {
        self.trace.note(format!(
            "world: {refused:?} of {namespace} are refused with {code} for {time:?}"
        ));
        lock(&self.policies).push(Policy {
            namespace: namespace.to_owned(),
            refused,
            code,
            until: Instant::now() + time,
        });
    }

    /// The code with which a policy refuses such a write.
    pub fn refusal_of(&self, namespace: &str, refused: Refused) -> Option<u16> {
        let mut policies = lock(&self.policies);
        policies.retain(|policy| Instant::now() < policy.until);
        let mut policies = policies.iter();
        let found = policies.find(|it| it.namespace == namespace && it.refused == refused);
        found.map(|policy| policy.code)
    }

    /// Has the operator's writes in a namespace take long, for a while.
    pub fn slow_down(&self, namespace: &str, time: Duration) {
        self.trace.note(format!(
            "world: writes in {namespace} are slow for {time:?}"
        ));
        *lock(&self.slow) = Some((namespace.to_owned(), Instant::now() + time));
    }

    pub fn is_slow(&self, namespace: &str) -> bool {
        let slow = lock(&self.slow);
        slow.as_ref()
            .is_some_and(|(of, until)| of == namespace && Instant::now() < *until)
    }

    /// Decides what the next write to Azure meets.
    pub fn let_next_write_meet(&self, fate: Fate) {
        *lock(&self.fate) = Some(fate);
    }

    /// Lets the next read in this subscription be told to be quiet for years.
    pub fn silence(&self, subscription: &str) {
        *lock(&self.silence) = Some(subscription.to_ascii_lowercase());
    }

    /// Whether this is that read.
    pub fn take_silence(&self, path: &str) -> bool {
        let mut silence = lock(&self.silence);
        let path = path.to_ascii_lowercase();
        let is_meant = |it: &String| path.starts_with(it.as_str());
        silence.take_if(|it| is_meant(it)).is_some()
    }

    pub fn take_fate(&self) -> Option<Fate> {
        lock(&self.fate).take()
    }

    /// Lets the watches show nothing for a while.
    pub fn stall_watches(&self, time: Duration) {
        self.count("watch stalls");
        self.trace.note(format!("watches stall for {time:?}"));
        *lock(&self.stalled_until) = Some(Instant::now() + time);
    }

    /// Until when the watches show nothing.
    pub fn stalled_until(&self) -> Option<Instant> {
        *lock(&self.stalled_until)
    }

    /// Ends all watches, and each as soon as it is opened, for a while.
    pub fn end_watches_at_once(&self, time: Duration) {
        self.trace.note(format!("watches end at once for {time:?}"));
        *lock(&self.watches_end_until) = Some(Instant::now() + time);
        self.cluster.nudge_watches();
    }

    /// Whether a watch that is opened now ends at once.
    pub fn watches_end_at_once(&self) -> bool {
        lock(&self.watches_end_until).is_some_and(|until| Instant::now() < until)
    }

    /// Lets the next list of bindings show how they were at this version.
    pub fn let_next_list_show(&self, version: u64) {
        *lock(&self.version_of_list) = Some(version);
    }

    pub fn take_version_of_list(&self) -> Option<u64> {
        lock(&self.version_of_list).take()
    }

    /// A number within these bounds.
    pub fn draw(&self, bounds: RangeInclusive<u64>) -> u64 {
        lock(&self.random).random_range(bounds)
    }

    pub fn chance(&self, per_mille: u32) -> bool {
        per_mille > 0 && lock(&self.random).random_range(0..1000) < per_mille
    }

    pub fn pick<T: Clone>(&self, from: &[T]) -> Option<T> {
        let last = from.len().checked_sub(1)?;
        let index = usize::try_from(self.draw(0..=last as u64)).unwrap_or(0);
        from.get(index).cloned()
    }

    pub fn count(&self, what: impl Into<String>) {
        *lock(&self.counts).entry(what.into()).or_default() += 1;
    }

    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    pub fn violated(&self, invariant: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.trace.note(format!("VIOLATION {invariant}: {what}"));
        lock(&self.violations).push(Violation { invariant, what });
    }

    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.violations).clone()
    }

    /// Lets a random time pass, in milliseconds.
    pub async fn sleep(&self, milliseconds: RangeInclusive<u64>) {
        let milliseconds = self.draw(milliseconds);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

fn accounts(world: &World) -> BTreeMap<String, (String, String)> {
    let pairs = world.namespaces.iter().flat_map(|namespace| {
        let accounts = world.accounts.iter();
        accounts.map(move |account| (namespace.clone(), account.clone()))
    });
    pairs
        .filter_map(|(namespace, account)| {
            let name = our_name(&namespace, &account)?;
            Some((name.to_ascii_lowercase(), (namespace, account)))
        })
        .collect()
}
