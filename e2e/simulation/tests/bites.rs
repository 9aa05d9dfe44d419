//! The proof bites: a bug on purpose is caught, by an invariant that is meant for it.
#![cfg(feature = "deliberate-bugs")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use azwib_operator::runtime::deliberate::{Bug, switch};
use azwib_simulation::costs::COSTS;
use azwib_simulation::invariants::accounts::{FIGHTS_SLOW_DOWN, OLDEST_SERVED, ORPHANS_STAY};
use azwib_simulation::invariants::finalizers::FINALIZER_STAYS;
use azwib_simulation::invariants::grants::{GRANTED, QUOTA, TOLD};
use azwib_simulation::invariants::looks::PACED;
use azwib_simulation::invariants::neighbours::{BULKHEADS, REPEATS_PACED};
use azwib_simulation::invariants::newcomers::{ARRIVAL_SEEN, CLIENT_ID_KNOWN};
use azwib_simulation::invariants::one_writer::ONE_WRITER;
use azwib_simulation::invariants::pauses::ONE_ASKS;
use azwib_simulation::invariants::read_only::ONLY_LOOKS;
use azwib_simulation::invariants::slots::SLOT_SEEN;
use azwib_simulation::invariants::statuses::{FOREIGN_PROVES_NOTHING, FOREIGN_SEEN};
use azwib_simulation::invariants::watches::WATCHES;
use azwib_simulation::invariants::{
    IN_ORDER, LIMIT, ONE_WRITE, OURS, RECORDED, RENAME_KEEPS_READY, RETRY_AFTER, STAYS_READY,
};
use azwib_simulation::oracle::{NOTHING_LEFT, STILL, TRUE_REASON};
use azwib_simulation::replicas::TAKEN_OVER;
use azwib_simulation::run;
use azwib_simulation::setup::World;

/// A bug has to be caught by one of so many seeds.
const SEEDS: u64 = 1500;

/// The invariants that are meant for a bug.
fn meant_for(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::ReadOnlyForgotten => &[ONLY_LOOKS],
        Bug::NoTurn => &[ONE_WRITE],
        Bug::NewestFirst | Bug::LineForgottenAtRestart => &[IN_ORDER],
        Bug::OldListing => &[SLOT_SEEN],
        Bug::RetryAfterIgnored | Bug::AdmittedForGood => &[RETRY_AFTER],
        Bug::AnyRetryAfterBelieved => &[TRUE_REASON],
        Bug::ProbesTogether => &[ONE_ASKS],
        Bug::OnlyOursCounted => &[LIMIT],
        Bug::FullForEver
        | Bug::AdoptsUnderNever
        | Bug::GoneIdentityWedges
        | Bug::ContentUnchecked
        | Bug::AudienceUnchecked
        | Bug::IdentityReadOnce
        | Bug::DuplicatesBothApply
        | Bug::DuplicateNeverReady
        | Bug::RefusedFinalizerDropped
        | Bug::ForeignStatusBelieved
        | Bug::RefusedByAccountForGood
        | Bug::LostRecordHolds => &[TRUE_REASON],
        Bug::SubjectUnchecked
        | Bug::RetainIgnored
        | Bug::NoHandOver
        | Bug::DeletesWhatWasRetained
        | Bug::OtherIssuerDeleted
        | Bug::StaleBindingAtCleanup => &[OURS],
        Bug::NoReadAfterLostAnswer | Bug::NoSettleTime => &[NOTHING_LEFT, ONE_WRITE],
        Bug::RecordedAfterPut => &[RECORDED],
        Bug::RecordWithdrawn | Bug::FailedCleanupLetsGo | Bug::LostRecordLeft => &[NOTHING_LEFT],
        Bug::ReadyLostOn403
        | Bug::ReadyLostOnDenial
        | Bug::ReadyLostInOutage
        | Bug::FutureTimeJudgedAnew => &[STAYS_READY],
        Bug::ForeignStatusUnseen => &[FOREIGN_SEEN],
        Bug::TakesOverFromScratch => &[RENAME_KEEPS_READY],
        Bug::AnothersFinalizer => &[FINALIZER_STAYS],
        Bug::AnswerUnread => &[TRUE_REASON],
        Bug::NoBrake | Bug::StatusWithoutBrake => &[FIGHTS_SLOW_DOWN],
        Bug::OwnerPutBack => &[ORPHANS_STAY],
        Bug::StatusAlwaysWritten => &[STILL],
        Bug::EmptyWatchAtOnce => &[WATCHES],
        Bug::FailedAtOnce | Bug::OnlyStatusCounts => &[PACED],
        Bug::OldSuccessTrusted => &[CLIENT_ID_KNOWN],
        Bug::ArrivalSeenLate => &[ARRIVAL_SEEN],
        Bug::RepeatsUnpaced => &[REPEATS_PACED],
        Bug::NoBulkheads => &[BULKHEADS],
        Bug::DeadClientIdKept => &[CLIENT_ID_KNOWN],
        Bug::KnownGoodForgotten => &[FOREIGN_PROVES_NOTHING],
        Bug::StatusGrants => &[GRANTED],
        Bug::GateWithoutGrant | Bug::RevokedKept => &[GRANTED],
        Bug::UngrantedCountsForAccount => &[GRANTED],
        Bug::RevokedAtOnce => &[STAYS_READY, OURS],
        Bug::RetainWithoutGrant => &[NOTHING_LEFT],
        Bug::GrantToldAgain | Bug::GrantToldOnce => &[TOLD],
        Bug::VanishedForgotten => &[GRANTED],
        Bug::ClaimAtRecordOnly
        | Bug::RenewalByLeaseClock
        | Bug::WritesWithoutLease
        | Bug::OldDeletionsForgotten
        | Bug::StartTakenForTakeover
        | Bug::WatchTrustedAtTakeover => &[ONE_WRITER],
        Bug::LeaseNotReleased => &[TAKEN_OVER],
        Bug::LeftoverKept => &[GRANTED],
        Bug::LeftoverDespiteGrant => &[OURS],
        Bug::QuotaIgnored => &[QUOTA],
        Bug::AllOfAccountServed => &[OLDEST_SERVED],
        Bug::WritesWhatStands | Bug::ReadBeforeAdmission => &[COSTS],
    }
}

fn broken(seed: u64, bug: Option<Bug>) -> BTreeSet<&'static str> {
    switch(bug);
    let outcome = run(seed);
    switch(None);
    let violations = outcome.unwrap().violations.into_iter();
    violations.map(|violation| violation.invariant).collect()
}

/// The first seed that catches the bug and holds without it.
fn caught_by(bug: Bug) -> Option<(u64, &'static str)> {
    let is_of_replicas = meant_for(bug)
        .iter()
        .any(|it| [ONE_WRITER, TAKEN_OVER].contains(it));
    let mut seeds = (1..=SEEDS).filter(|seed| is_of_replicas == (World::draw(*seed).replicas > 1));
    seeds.find_map(|seed| {
        let broken_by_it = broken(seed, Some(bug));
        let name = meant_for(bug)
            .iter()
            .find(|name| broken_by_it.contains(*name))?;
        (!broken(seed, None).contains(name)).then_some((seed, *name))
    })
}

#[test]
fn deliberate_bugs_are_caught_by_invariants_that_are_meant_for_them() {
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match caught_by(*bug) {
                        Some((seed, name)) => println!("{bug:?}: seed {seed} breaks {name}"),
                        None => missed.lock().unwrap().push(*bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not caught by {SEEDS} seeds: {missed:?}");
}
