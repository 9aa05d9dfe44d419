//! Several replicas of the operator, and what happens to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::disturbances::Fate;
use crate::names;
use crate::operator;
use crate::process::Process;
use crate::setup::{TIMINGS, World};
use crate::shared::Shared;
use crate::trace::lock;
use crate::world::takeover;

/// Another replica leads soon after the one that led is gone.
pub const TAKEN_OVER: &str = "taken-over-in-time";

/// How soon after a leader that has ended in order.
const AFTER_A_RELEASE: Duration = Duration::from_secs(3);

/// And after one that has not.
const AFTER_A_CRASH: Duration = TIMINGS
    .lease_duration
    .saturating_add(TIMINGS.retry_period)
    .saturating_add(TIMINGS.retry_period);

/// How long something that the operator should do soon is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a replica has to run before it is counted on.
const BEGINS: Duration = Duration::from_secs(60);

/// The replicas of a run.
pub struct Replicas {
    shared: Arc<Shared>,
    world: World,
    replicas: Mutex<Vec<Replica>>,
}

struct Replica {
    process: Process,
    began: Instant,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// What happens to one of them.
#[derive(Debug, Clone, Copy)]
enum Step {
    Stopped,
    CutOff,
    CutOffWithClockSetBack,
    SlowLease,
    ClockSet,
    LeaseDeleted,
    LeaseOfAnother,
    LeaseEmptied,
    LeaseGarbled,
    EndsInOrder,
    IsKilled,
    GoneAtWrite,
}

const STEPS: [Step; 17] = [
    Step::Stopped,
    Step::Stopped,
    Step::Stopped,
    Step::CutOff,
    Step::CutOff,
    Step::CutOffWithClockSetBack,
    Step::SlowLease,
    Step::ClockSet,
    Step::LeaseDeleted,
    Step::LeaseOfAnother,
    Step::LeaseEmptied,
    Step::LeaseGarbled,
    Step::EndsInOrder,
    Step::IsKilled,
    Step::GoneAtWrite,
    Step::GoneAtWrite,
    Step::GoneAtWrite,
];

impl Replicas {
    pub fn start(shared: &Arc<Shared>, world: &World) -> Self {
        let replicas = (1..=world.replicas).map(|number| Replica::start(number, shared, world));
        Self {
            shared: Arc::clone(shared),
            world: world.clone(),
            replicas: Mutex::new(replicas.collect()),
        }
    }

    /// Starts the next process whenever one has ended; the world goes on meanwhile.
    pub async fn keep_running(&self) {
        let places = lock(&self.replicas).len();
        let kept = (0..places).map(|place| self.keep(place));
        tokio::join!(join_all(kept), self.kill_leaders());
    }

    async fn keep(&self, place: usize) {
        while let Some(process) = self.at(place) {
            process.machine.has_ended().await;
            self.replace(place).await;
        }
    }

    async fn replace(&self, place: usize) {
        if let Some(replica) = lock(&self.replicas).get_mut(place) {
            replica.process.kill();
            replica.task.abort();
        }
        self.shared.sleep(200..=20_000).await;
        let numbers = lock(&self.replicas)
            .iter()
            .map(Replica::process_number)
            .max();
        let number = numbers.unwrap_or_default() + 1;
        let next = Replica::start(number, &self.shared, &self.world);
        if let Some(replica) = lock(&self.replicas).get_mut(place) {
            *replica = next;
        }
    }

    async fn kill_leaders(&self) {
        loop {
            self.shared.crashed.notified().await;
            if let Some(place) = self.leader().or(Some(0)) {
                self.kill(place);
            }
        }
    }

    fn kill(&self, place: usize) {
        if let Some(process) = self.at(place) {
            process.kill();
            process.machine.dies();
        }
    }

    fn at(&self, place: usize) -> Option<Process> {
        let replicas = lock(&self.replicas);
        replicas.get(place).map(|it| it.process.clone())
    }

    /// Whom the Lease names.
    fn leader(&self) -> Option<usize> {
        let number = names::replica_of(&self.shared.leases.holder()?)?;
        let replicas = lock(&self.replicas);
        replicas.iter().position(|it| it.process_number() == number)
    }

    /// Lets one thing after the other happen to them.
    pub async fn disturb(&self) {
        loop {
            self.shared.sleep(5_000..=90_000).await;
            let (Some(step), Some(leader)) = (self.shared.pick(&STEPS), self.leader()) else {
                continue;
            };
            // Now and then to one that waits.
            let place = if self.shared.chance(200) {
                1 - leader
            } else {
                leader
            };
            self.take(step, place).await;
        }
    }

    async fn take(&self, step: Step, place: usize) {
        let Some(process) = self.at(place) else {
            return;
        };
        let (shared, machine) = (&self.shared, &process.machine);
        let replica = process.caller().replica;
        shared.count(format!("replicas {step:?}"));
        shared
            .trace
            .note(format!("world: {step:?}, replica {replica}"));
        let long = shared.draw(1_000..=90_000);
        let long = Duration::from_millis(long);
        let hour = SignedDuration::from_hours(if shared.chance(500) { 1 } else { -1 });
        match step {
            Step::Stopped => {
                machine.stop();
                sleep(long).await;
            }
            Step::CutOff => {
                machine.cut_off(true);
                sleep(long).await;
            }
            Step::CutOffWithClockSetBack => {
                machine.cut_off(true);
                machine.set_wall(SignedDuration::from_hours(-1));
                sleep(long).await;
            }
            Step::SlowLease => {
                machine.slow_lease(true);
                sleep(long).await;
                if long > TIMINGS.renew_deadline + AFTER_A_CRASH + PATIENCE {
                    self.judge_that_one_leads();
                }
            }
            Step::ClockSet => machine.set_wall(hour),
            Step::LeaseDeleted => shared.leases.delete(),
            Step::LeaseOfAnother => shared.leases.put_by_hand(json!({
                "holderIdentity": "somebody", "leaseDurationSeconds": 15,
            })),
            Step::LeaseEmptied => shared.leases.put_by_hand(json!({})),
            Step::LeaseGarbled => shared.leases.put_by_hand(json!({
                "holderIdentity": names::replica(replica), "leaseDurationSeconds": -7,
                "leaseTransitions": -1, "renewTime": "2262-01-01T00:00:00.000000Z",
            })),
            Step::EndsInOrder => self.end(place, &process).await,
            Step::IsKilled => {
                let (led, began) = (machine.leads(), Instant::now());
                self.kill(place);
                if led {
                    self.judge((place, &process), began, AFTER_A_CRASH).await;
                }
            }
            Step::GoneAtWrite => self.gone_at_write(place, &process).await,
        }
        shared.tell(|it| it.process_went_on(shared, &process.caller()));
        machine.clear();
        shared.trace.note(format!("world: {step:?} is over"));
    }

    /// Tells one to end. It drains as long as it takes.
    async fn end(&self, place: usize, process: &Process) {
        let led = process.machine.leads();
        let stop = lock(&self.replicas).get(place).map(|it| it.stop.clone());
        if let Some(stop) = stop {
            stop.cancel();
        }
        if process.machine.has_ended().await && led {
            self.judge((place, process), Instant::now(), AFTER_A_RELEASE)
                .await;
        }
    }

    /// Azure carries out the next write late, and its sender is gone at once; often it is the deletion of a good credential. Now and
    /// then the watch of the other one has shown nothing of it.
    async fn gone_at_write(&self, place: usize, process: &Process) {
        let (shared, world) = (&self.shared, &self.world);
        let pair = match shared.chance(700) {
            true => takeover::one_of_two(shared, world).await,
            false => None,
        };
        let other = self.at(1 - place);
        if shared.chance(500) {
            shared.count("replicas blind");
            shared
                .trace
                .note("world: the watch of the other one is silent");
            other.as_ref().inspect(|it| it.machine.blind(true));
        }
        shared.let_next_write_meet(Fate::EffectAfterTakeover);
        pair.as_ref()
            .inspect(|(binding, _)| takeover::goes(binding, shared));
        if timeout(PATIENCE, shared.fate_is_met()).await.is_ok() {
            if shared.chance(700) {
                self.kill(place);
            } else {
                process.machine.stop();
            }
            if let Some((binding, identity)) = &pair {
                takeover::is_wanted(identity, binding, shared, world);
            }
            // Until the other has taken over and found what there is to do.
            sleep(AFTER_A_CRASH + PATIENCE).await;
        }
        other.inspect(|it| it.machine.blind(false));
    }

    /// Whether one of them leads, where both have run for long enough.
    fn judge_that_one_leads(&self) {
        let replicas = lock(&self.replicas);
        let run = replicas.iter().all(|it| it.began.elapsed() > BEGINS);
        let mut leads = replicas.iter().filter(|it| it.process.machine.leads());
        if run && leads.next().is_none() {
            let what = "the writes of the Lease of one of them land late, and neither leads";
            self.shared.violated(TAKEN_OVER, what);
        }
    }

    /// Whether another one leads soon after this one is gone, the other of the two or what is started in the place of this one.
    async fn judge(&self, (place, gone): (usize, &Process), began: Instant, bound: Duration) {
        let Some(other) = self.at(1 - place) else {
            return;
        };
        let runs_for = lock(&self.replicas)
            .get(1 - place)
            .map(|it| it.began.elapsed());
        let gone = names::replica(gone.caller().replica);
        let leases = &self.shared.leases;
        // It has lost a term of its own and is not done with it: it stands by after that.
        let own = names::replica(other.caller().replica);
        let is_in_lost_term = other.machine.leads() && leases.holder().is_none_or(|it| it != own);
        if runs_for.is_none_or(|it| it < BEGINS) || is_in_lost_term {
            return;
        }
        let leads = async {
            loop {
                let times = leases.changed().times();
                if leases.holder().is_some_and(|it| it != gone) {
                    return;
                }
                leases.changed().set_since(times).await;
            }
        };
        let left = bound.saturating_sub(began.elapsed());
        let is_in_time = timeout(left, leads).await.is_ok();
        self.shared.count("replicas judged");
        if !is_in_time && !other.is_dead() {
            let what = format!("nobody leads {bound:?} after {gone}");
            self.shared.violated(TAKEN_OVER, what);
        }
    }

    /// Nothing is in their way for so long.
    pub async fn run_well(&self, time: Duration) {
        for replica in lock(&self.replicas).iter() {
            replica.process.machine.clear();
        }
        tokio::select! {
            biased;
            () = self.keep_running() => {}
            () = sleep(time) => {}
        }
    }

    /// What runs still.
    pub fn tasks(&self) -> Vec<AbortOnDropHandle<()>> {
        let replicas = lock(&self.replicas).drain(..).collect::<Vec<_>>();
        replicas.into_iter().map(|it| it.task).collect()
    }
}

impl Replica {
    fn start(number: u32, shared: &Arc<Shared>, world: &World) -> Self {
        let process = Process::new(Arc::clone(shared), number);
        // It writes under none yet.
        process.machine.in_term(0);
        shared.trace.note(format!("replica {number} starts"));
        let stop = CancellationToken::new();
        let running = operator::run_in_turns(process.clone(), world.clone(), stop.clone());
        let (ended, asked) = (process.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let outcome = running.await.map_err(|error| error.to_string());
            let shared = &ended.shared;
            shared
                .trace
                .note(format!("replica {number} ends: {outcome:?}"));
            if !asked.is_cancelled() && outcome.is_ok() {
                shared.violated("no-pass-panics", "a replica has ended by itself");
            }
            if let Err(error) = outcome {
                shared.count(format!("replica ends: {error}"));
            }
            ended.machine.ends();
        });
        Self {
            process,
            began: Instant::now(),
            stop,
            task: AbortOnDropHandle::new(task),
        }
    }

    fn process_number(&self) -> u32 {
        self.process.caller().replica
    }
}
