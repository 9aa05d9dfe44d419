//! The numbers of what a binding may cost bite in runs with faults too.
#![cfg(feature = "deliberate-bugs")]
#![allow(clippy::unwrap_used)]

use azwib_operator::runtime::deliberate::{Bug, switch};
use azwib_simulation::costs::COSTS;
use azwib_simulation::run;
use azwib_simulation::setup::World;

/// Among so many runs with faults some have to show the waste.
const RUNS: usize = 20;

fn breaks_costs(seed: u64, bug: Option<Bug>) -> bool {
    switch(bug);
    let outcome = run(seed);
    switch(None);
    let mut violations = outcome.unwrap().violations.into_iter();
    violations.any(|violation| violation.invariant == COSTS)
}

#[test]
fn waste_is_found_where_there_are_faults_as_well() {
    let faulty = |seed: &u64| {
        let world = World::draw(*seed);
        !world.calm && world.faults_per_mille > 0
    };
    for bug in [Bug::StatusAlwaysWritten, Bug::WritesWhatStands] {
        let seeds = (1..).filter(faulty).take(RUNS);
        let found = seeds
            .filter(|seed| breaks_costs(*seed, Some(bug)) && !breaks_costs(*seed, None))
            .count();
        println!("{bug:?}: found by {found} of {RUNS} runs with faults");
        assert!(4 * found >= RUNS, "{bug:?}: {found} of {RUNS}");
    }
}
