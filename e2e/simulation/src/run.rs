//! One run, from its seed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::costs::Costs;
use crate::invariants::Books;
use crate::process::Process;
use crate::replicas::Replicas;
use crate::setup::World;
use crate::shared::{Counts, Shared, Violation, Witness};
use crate::time::Time;
use crate::{operator, oracle, world};

/// How long nothing is disturbed before the end is judged.
const QUIET: Duration = Duration::from_secs(75 * 60);

/// How long a process only looks, before one that writes comes in its place.
const LOOKS: Duration = Duration::from_secs(120);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub violations: Vec<Violation>,
    pub counts: Counts,
    pub trace: Vec<String>,
}

/// Runs one seed to its end.
pub fn run(seed: u64) -> anyhow::Result<Outcome> {
    azwib_operator::runtime::jitter::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(live(seed))
}

async fn live(seed: u64) -> anyhow::Result<Outcome> {
    let world = World::draw(seed);
    let time = Time::begin();
    let azure = world.azure()?;
    let (books, costs) = (Books::default(), Costs::default());
    let witnesses: Vec<Box<dyn Witness>> = vec![Box::new(books.clone()), Box::new(costs.clone())];
    let shared = Shared::new(time, azure, &world, witnesses);
    for namespace in &world.namespaces {
        shared.cluster.create_namespace(namespace);
    }
    let sweeping = if world.replicas == 1 {
        live_alone(&shared, &world).await
    } else {
        Box::pin(live_by_turns(&shared, &world)).await
    };
    oracle::judge(&shared, &world, &books, &costs);
    drop(sweeping);
    Ok(Outcome {
        seed,
        violations: shared.violations(),
        counts: shared.counts(),
        trace: shared.trace.lines(),
    })
}

/// The time of disturbances and the quiet one, with one process after the other. What is running still, stops when it is dropped.
async fn live_alone(shared: &Arc<Shared>, world: &World) -> Vec<AbortOnDropHandle<()>> {
    let mut operator = Operator::start(shared, world);
    let script = world::disturb(Arc::clone(shared), world.clone());
    tokio::select! {
        biased;
        () = operator.keep_running(shared, world) => {}
        () = script => {}
    }
    shared.be_quiet();
    shared.trace.note("quiet");
    if operator.process.is_dead() || operator.only_looks() {
        operator.restart(shared, world).await;
    }
    let sweeping = tokio::spawn(sweep(Arc::clone(shared)));
    tokio::time::sleep(QUIET).await;
    if operator.task.is_finished() {
        shared.violated("no-pass-panics", "the operator has ended by itself");
    }
    vec![AbortOnDropHandle::new(sweeping), operator.task]
}

/// The same with several replicas.
async fn live_by_turns(shared: &Arc<Shared>, world: &World) -> Vec<AbortOnDropHandle<()>> {
    let replicas = Replicas::start(shared, world);
    let script = world::disturb(Arc::clone(shared), world.clone());
    tokio::select! {
        biased;
        () = replicas.keep_running() => {}
        () = replicas.disturb() => {}
        () = script => {}
    }
    shared.be_quiet();
    shared.trace.note("quiet");
    let sweeping = tokio::spawn(sweep(Arc::clone(shared)));
    replicas.run_well(QUIET).await;
    let mut left = replicas.tasks();
    left.push(AbortOnDropHandle::new(sweeping));
    left
}

/// The namespace controller in the quiet time.
async fn sweep(shared: Arc<Shared>) {
    loop {
        shared.cluster.sweep();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

struct Operator {
    process: Process,
    task: AbortOnDropHandle<()>,
}

impl Operator {
    fn start(shared: &Arc<Shared>, world: &World) -> Self {
        Self::start_as(1, shared, world)
    }

    fn start_as(number: u32, shared: &Arc<Shared>, world: &World) -> Self {
        // The first one, and every other one after it.
        let only_looks = world.looks_first && number % 2 == 1 && shared.is_disturbing();
        let process = Process::new(Arc::clone(shared), number).read_only(only_looks);
        let how = if only_looks { " and only looks" } else { "" };
        shared.trace.note(format!("process {number} starts{how}"));
        shared.tell(|it| it.process_began(shared, &process.caller()));
        let running = operator::run(process.clone(), world.clone());
        let ended = process.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = running.await {
                ended.shared.violated("no-pass-panics", error.to_string());
            }
        });
        let task = AbortOnDropHandle::new(task);
        Self { process, task }
    }

    fn only_looks(&self) -> bool {
        self.process.caller().is_read_only
    }

    /// Starts the next process whenever one has died; the world goes on meanwhile.
    async fn keep_running(&mut self, shared: &Arc<Shared>, world: &World) {
        loop {
            tokio::select! {
                () = shared.crashed.notified() => {}
                _ = self.process.machine.has_ended() => {}
                () = tokio::time::sleep(LOOKS), if self.only_looks() => {}
            }
            self.restart(shared, world).await;
        }
    }

    /// The next process, after the dead one.
    async fn restart(&mut self, shared: &Arc<Shared>, world: &World) {
        self.process.kill();
        self.task.abort();
        shared.sleep(200..=20_000).await;
        *self = Self::start_as(self.process.caller().replica + 1, shared, world);
    }
}
