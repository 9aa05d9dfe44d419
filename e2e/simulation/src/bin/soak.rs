//! Runs seeds, as many as wanted, and says what broke.
#![allow(clippy::print_stdout, reason = "its output is for whoever started it")]

use std::process::ExitCode;

#[cfg(feature = "deliberate-bugs")]
use azwib_operator::runtime::deliberate::{Bug, switch};
use azwib_simulation::{Outcome, run, sweep_after};
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
    /// The operator gets this bug on purpose, by its name in `deliberate.rs`.
    #[cfg(feature = "deliberate-bugs")]
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Says what has happened how often.
    #[arg(long)]
    counts: bool,
}

#[cfg(feature = "deliberate-bugs")]
fn bug(name: &str) -> Result<Bug, String> {
    let named = |bug: &Bug| format!("{bug:?}") == name;
    let found = Bug::ALL.iter().copied().find(named);
    found.ok_or_else(|| format!("one of {:?}", Bug::ALL))
}

impl Arguments {
    /// Gives this thread the bug that is asked for.
    fn prepare(&self) {
        #[cfg(feature = "deliberate-bugs")]
        switch(self.bug);
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        arguments.prepare();
        let outcome = run(seed)?;
        for line in &outcome.trace {
            println!("{line}");
        }
        for violation in &outcome.violations {
            println!("{}: {}", violation.invariant, violation.what);
        }
        return Ok(exit_code(outcome.violations.is_empty()));
    }
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let seen = |outcome: &Outcome| {
        for violation in &outcome.violations {
            println!(
                "seed {}: {}: {}",
                outcome.seed, violation.invariant, violation.what
            );
        }
        true
    };
    let swept = sweep_after(seeds, || arguments.prepare(), seen);
    for error in &swept.errors {
        println!("{error}");
    }
    if arguments.counts {
        for (what, count) in &swept.counts {
            println!("{count:>8}  {what}");
        }
    }
    let failed = swept.failed.len() + swept.errors.len();
    println!("{} seeds, {failed} failed", arguments.seeds);
    if let Some(first) = swept.failed.first() {
        println!(
            "see the first with: {}",
            azwib_simulation::sweep::replay(first.seed)
        );
    }
    Ok(exit_code(failed == 0))
}

fn exit_code(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
