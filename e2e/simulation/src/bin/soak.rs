//! Runs seeds, as many as wanted, and says what broke.
#![allow(clippy::print_stdout, reason = "its output is for whoever started it")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use azwib_simulation::{Outcome, run};
use clap::Parser;

/// Runs the operator against simulated services from seeds.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed, with its trace.
    #[arg(long)]
    seed: Option<u64>,
    /// Says what has happened how often.
    #[arg(long)]
    counts: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let outcome = run(seed)?;
        for line in &outcome.trace {
            println!("{line}");
        }
        return Ok(told(&outcome));
    }
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from + arguments.seeds;
    let found = Mutex::new((BTreeMap::<String, u64>::new(), Vec::new()));
    let threads = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(seed);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok(outcome) => {
                            for (what, count) in &outcome.counts {
                                *found.0.entry(what.clone()).or_default() += count;
                            }
                            if !outcome.violations.is_empty() {
                                println!("seed {seed}: {:?}", outcome.violations);
                                found.1.push(seed);
                            }
                        }
                        Err(error) => {
                            println!("seed {seed}: {error:#}");
                            found.1.push(seed);
                        }
                    }
                }
            });
        }
    });
    let (counts, failed) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if arguments.counts {
        for (what, count) in &counts {
            println!("{count:>8}  {what}");
        }
    }
    println!("{} seeds, {} failed", arguments.seeds, failed.len());
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn told(outcome: &Outcome) -> ExitCode {
    for violation in &outcome.violations {
        println!("{}: {}", violation.invariant, violation.what);
    }
    if outcome.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
