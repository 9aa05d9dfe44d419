//! Many seeds on all cores.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::run::{Outcome, run};
use crate::shared::Counts;

/// How a seed is run once more, with its trace.
pub fn replay(seed: u64) -> String {
    format!("make soak SEED={seed}")
}

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Swept {
    pub counts: Counts,
    /// The runs that broke something, by seed.
    pub failed: Vec<Outcome>,
    /// Runs that did not come to their end.
    pub errors: Vec<String>,
}

impl Swept {
    /// The broken invariants, one a line, each with how to see it again.
    pub fn report(&self) -> String {
        let broken = self.failed.iter().flat_map(|outcome| {
            let violations = outcome.violations.iter();
            violations.map(|it| {
                let replay = replay(outcome.seed);
                format!(
                    "{}: {} (seed {}: {replay})",
                    it.invariant, it.what, outcome.seed
                )
            })
        });
        let lines: Vec<_> = broken.chain(self.errors.iter().cloned()).collect();
        lines.join("\n")
    }
}

/// Runs these seeds; `seen` may end it all by saying false.
pub fn sweep(seeds: Range<u64>, seen: impl Fn(&Outcome) -> bool + Sync) -> Swept {
    sweep_after(seeds, || (), seen)
}

/// The same, with something that is done first, on the thread of each run.
pub fn sweep_after(
    seeds: Range<u64>,
    first: impl Fn() + Sync,
    seen: impl Fn(&Outcome) -> bool + Sync,
) -> Swept {
    let next = AtomicU64::new(seeds.start);
    let swept = Mutex::new(Swept::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    first();
                    let outcome = run(seed);
                    let mut swept = swept.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok(outcome) => {
                            for (what, count) in &outcome.counts {
                                *swept.counts.entry(what.clone()).or_default() += count;
                            }
                            if !seen(&outcome) {
                                next.store(seeds.end, Ordering::Relaxed);
                            }
                            if !outcome.violations.is_empty() {
                                swept.failed.push(outcome);
                            }
                        }
                        Err(error) => swept.errors.push(format!("seed {seed}: {error:#}")),
                    }
                }
            });
        }
    });
    let mut swept = swept.into_inner().unwrap_or_else(PoisonError::into_inner);
    swept.failed.sort_by_key(|outcome| outcome.seed);
    swept
}
