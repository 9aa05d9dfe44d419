//! What all parts of a run share: time, chance, the two simulated services, what was seen, and who watches.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_simulator::core::Azure;
use azure_simulator::core::http::Request;
use azwib_operator::grant::Mode;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::disturbances::{Fate, Policy, Refused};
use crate::kubernetes::{Call, Cluster, Key, Kind, Leases};
use crate::names::our_name;
use crate::requests::{Answered, Effect};
use crate::setup::World;
use crate::time::Time;
use crate::trace::{Trace, lock};
use crate::watched::Watched;

/// How often each thing has happened, by its name.
pub type Counts = BTreeMap<String, u64>;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

/// Who watches a run, keeps books of what it needs to know, and says where an invariant is broken.
///
/// It is told in the moment in which something happens, and changes nothing of the run. Whoever tells may hold the lock of the
/// Azure that is handed over, so that a witness looks at that one and locks none.
pub trait Witness: Debug + Send + Sync {
    /// A process of the operator begins.
    fn process_began(&self, _: &Shared, _process: &Caller) {}

    /// The process dies, or does not lead any more.
    fn process_died(&self, _: &Shared, _process: &Caller) {}

    /// A process goes on that was stopped.
    fn process_went_on(&self, _: &Shared, _process: &Caller) {}

    /// A replica has written the Lease, which names this replica now.
    fn lease_written(&self, _: &Shared, _process: &Caller, _holder: Option<u32>) {}

    /// A write leaves a process: to the API server, or to Azure about this identity.
    fn write_sent(&self, _: &Shared, _process: &Caller, _what: &str) {}

    /// A pass over a binding begins.
    fn pass_began(&self, _: &Shared, _process: &Caller, _namespace: &str, _name: &str) {}

    /// A process gets a list of bindings as they were at an older version.
    fn old_list_shown(&self, _: &Shared, _process: &Caller, _version: u64) {}

    /// A process is shown all of a kind as it was at a version.
    fn shown(&self, _: &Shared, _process: &Caller, _kind: Kind, _version: u64) {}

    /// A process opens a watch.
    fn watch_opened(&self, _: &Shared, _process: &Caller, _kind: Kind) {}

    /// A write to the API server begins that takes long.
    fn slow_write_began(&self, _: &Shared, _process: &Caller, _namespace: &str) {}

    /// It is over.
    fn slow_write_ended(&self, _: &Shared, _process: &Caller) {}

    /// A process has called the API server about an object.
    fn called(&self, _: &Shared, _process: &Caller, _call: &Call<'_>) {}

    /// A request to Azure is about to leave a process.
    fn request_sent(&self, _: &Shared, _process: &Caller, _request: &Request) {}

    /// It has arrived at Azure, under this number.
    fn request_arrived(&self, _: &Shared, _process: &Caller, _id: u64, _request: &Request) {}

    /// It has had its effect, or has been refused.
    fn request_had_effect(&self, _: &Shared, _process: &Caller, _effect: &Effect<'_>) {}

    /// It has ended at Azure.
    fn request_ended(&self, _: &Shared, _request: &Request) {}

    /// What the process got for it.
    fn request_answered(&self, _: &Shared, _process: &Caller, _answered: &Answered<'_>) {}

    /// Nothing is disturbed any more.
    fn quiet_began(&self, _: &Shared) {}

    /// Azure has been looked at, or changed, by somebody else.
    fn azure_looked_at(&self, _: &Shared, _azure: &Azure) {}

    /// Somebody else changes what the operator may do or has to count with, at this identity or at all of them.
    fn azure_disturbed(&self, _: &Shared, _identity: Option<&str>) {}

    /// Somebody else changes an identity or its credentials.
    fn identity_touched(&self, _: &Shared, _identity: &str) {}

    /// Somebody else writes or removes a credential; all of an identity that is gone, where no name is given.
    fn credential_touched(&self, _: &Shared, _identity: &str, _name: Option<&str>) {}

    /// Somebody else removes a credential.
    fn credential_removed(&self, _: &Shared, _identity: &str, _name: &str) {}

    /// A client id means nothing from now on.
    fn client_id_ended(&self, _: &Shared, _client_id: String) {}

    /// An identity that a binding waits for has been there since then.
    fn identity_came(&self, _: &Shared, _identity: &str, _since: Timestamp) {}

    /// Somebody edits an account.
    fn account_edited(&self, _: &Shared, _account: &Key) {}

    /// The policy for accounts changes.
    fn account_policy_changed(&self, _: &Shared) {}

    /// The accounts of the binding with this UID are its own no more.
    fn dependents_orphaned(&self, _: &Shared, _uid: String) {}

    /// Somebody has put another status over that of a binding.
    fn status_put(&self, _: &Arc<Shared>, _binding: &Key, _before: &Value, _status: &Value) {}

    /// Somebody has changed the times in the status of a binding, and nothing else.
    fn status_times_put(&self, _: &Shared, _binding: &Value) {}

    /// Somebody has made a binding that comes with a status.
    fn restored(&self, _: &Shared, _binding: &Value) {}
}

/// One run's world.
#[derive(Debug)]
pub struct Shared {
    pub time: Time,
    pub trace: Trace,
    pub cluster: Cluster,
    pub leases: Leases,
    pub azure: Mutex<Azure>,
    /// Who watches the run.
    witnesses: Vec<Box<dyn Witness>>,
    /// The accounts that bindings can be for, by the lower-cased name of their credential.
    pub accounts: BTreeMap<String, (String, String)>,
    random: Mutex<StdRng>,
    counts: Mutex<Counts>,
    violations: Mutex<Vec<Violation>>,
    disturbing: AtomicBool,
    /// Credentials that one identity may have, as the operator is told.
    pub limit: usize,
    fate: Watched<Option<Fate>>,
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
    /// The operator is told to require grants.
    pub requires_grants: bool,
    pub revocation_grace: Duration,
    /// How many of a thousand requests to Azure meet a fault while there are disturbances.
    pub faults_per_mille: u32,
    /// How many of a thousand calls the process dies at.
    pub crashes_per_mille: u32,
    /// How many replicas there are.
    pub replicas: u32,
    terms: AtomicU32,
    /// Somebody kills the process that leads.
    pub crashed: Notify,
}

impl Shared {
    pub fn new(
        time: Time,
        azure: Azure,
        world: &World,
        witnesses: Vec<Box<dyn Witness>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            time,
            trace: Trace::new(time),
            cluster: Cluster::new(time),
            leases: Leases::new(),
            azure: Mutex::new(azure),
            witnesses,
            accounts: accounts(world),
            random: Mutex::new(StdRng::seed_from_u64(world.seed)),
            counts: Mutex::default(),
            violations: Mutex::default(),
            disturbing: AtomicBool::new(true),
            limit: world.limit,
            fate: Watched::new(None),
            silence: Mutex::default(),
            policies: Mutex::default(),
            slow: Mutex::default(),
            stalled_until: Mutex::default(),
            watches_end_until: Mutex::default(),
            version_of_list: Mutex::default(),
            calm: world.calm,
            requires_grants: world.grants == Some(Mode::Enforce),
            revocation_grace: world.revocation_grace,
            faults_per_mille: world.faults_per_mille,
            crashes_per_mille: world.crashes_per_mille,
            replicas: world.replicas,
            terms: AtomicU32::new(0),
            crashed: Notify::new(),
        })
    }

    /// Tells every witness of something that happens now.
    pub fn tell(&self, what: impl Fn(&dyn Witness)) {
        for witness in &self.witnesses {
            what(witness.as_ref());
        }
    }

    pub fn is_disturbing(&self) -> bool {
        self.disturbing.load(Ordering::Relaxed)
    }

    pub fn be_quiet(&self) {
        self.disturbing.store(false, Ordering::Relaxed);
        lock(&self.policies).clear();
        *lock(&self.slow) = None;
        self.tell(|witness| witness.quiet_began(self));
    }

    /// The number of a term that begins.
    pub fn next_term(&self) -> u32 {
        self.terms.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Kills the process of the operator, of several replicas the one that leads.
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
        self.fate.set(Some(fate));
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
        let fate = self.fate.get();
        if fate.is_some() {
            self.fate.set(None);
        }
        fate
    }

    /// Waits until a write has met what was decided.
    pub async fn fate_is_met(&self) {
        self.fate.wait_for(Option::is_none).await;
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
