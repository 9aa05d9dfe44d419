//! Thousands of runs, each from its seed: nothing breaks an invariant, and everything has happened in them.

use azwib_simulation::{Swept, run, sweep};

/// What has to have happened at least so often.
const LEAST: u64 = 20;

/// How many seeds are run; `SEEDS` in the environment says otherwise.
const SEEDS: u64 = 2000;

/// Every fault, decision and reason of the identity ledger: a closed list.
const TO_HAPPEN: &[&str] = &[
    // Faults of requests.
    "fault 401",
    "fault 408",
    "fault 429 with Retry-After",
    "fault 429 without Retry-After",
    "fault 429 with a Retry-After of years",
    "fault 429 with a Retry-After that is none",
    "fault 500",
    "fault 503 with Retry-After",
    "fault answer cut off",
    "fault connection dropped",
    "fault connection refused",
    "fault html page",
    "fault invalid body",
    "fault late effect",
    "fault late effect in its turn",
    "fault no answer",
    "fault redirect",
    // What Azure answers by itself.
    "answer PUT 201",
    "answer PUT 200",
    "answer PUT 403",
    "answer PUT 404",
    "answer PUT 405",
    "answer PUT 409",
    "answer PUT 429",
    "answer LIST 429",
    "answer GET 403",
    "answer GET 404",
    "answer DELETE 200",
    "answer DELETE 204",
    "answer DELETE 409",
    "effect PUT",
    "effect DELETE",
    // What happens to the process and its view of the cluster.
    "crash before Azure",
    "crash after Azure",
    "crash before PUT",
    "crash after PUT",
    "crash before PATCH",
    "crash after PATCH",
    "crash before GET",
    "crash after GET",
    "stale list",
    "watch lags",
    "watch stalls",
    "watch ends at once",
    "kubernetes status 409",
    "kubernetes finalizer 409",
    "kubernetes account 403",
    // What people and others do.
    "step CreateBinding",
    "step ChangeAudience",
    "step ChangeAdoption",
    "step ToggleSuspend",
    "step ChangePolicy",
    "step DeleteBinding",
    "step DeleteNamespace",
    "step AskForFreshReads",
    "step ForceDetach",
    "step ForeignAdd",
    "step ForeignAddIdentical",
    "step ForeignFill",
    "step ForeignChangeOurs",
    "step ForeignRemoveOurs",
    "step ForeignRemove",
    "step RecreateIdentity",
    "step DeleteIdentity",
    "step RevokeRole",
    "step GrantRole",
    "step Lock",
    "step Deny",
    "step DenyAssignment",
    "step RegionWithout",
    "step Crash",
    "step EditAccount",
    "step FightOverAccount",
    "step OrphanedDeletion",
    "step ChangeAccountPolicy",
    // What comes together.
    "step BindingsAtOnce",
    "step SilencedSubscription",
    "pause of years",
    "step DeletionAtWrite",
    "step ChangeAtDeletion",
    "step SlotFreedAtRestart",
    "step SlotsTakenAtRestart",
    "step FreshReadsWithoutRole",
    "step IdentityGoneAtDeletion",
    "step DuplicatesGoTogether",
    "step RenameBinding",
    "renamed",
    "step RecreationAtRestart",
    "step CrowdedAccount",
    "not served",
    "served after all",
    "step WatchesEndAtOnce",
    "step RefuseByAdmission",
    "admission refuses finalizer",
    "admission refuses status",
    "admission refuses account",
    // What others write into statuses.
    "step ForeignStatus",
    "step FightOverStatus",
    "step FutureTimes",
    "step StatusLostAtDeletion",
    "step RetainedAndUntouched",
    "step ForeignStatusUnseen",
    "step RestoredWithStatus",
    "step ClonedFromElsewhere",
    // What comes late, and what neighbours take.
    "step NewcomerAfterRecreation",
    "step RecreatedWhileRefused",
    "refused while it spreads",
    "step LateIdentity",
    "identity arrived",
    "step MissingIdentities",
    "step SlowNamespace",
    "slow write",
    // Grants come, change and go.
    "step GrantBack",
    "step GrantGone",
    "step GrantNarrowed",
    "step GrantByLabel",
    "step GrantAppliedAgain",
    "step GrantGoneAtWrite",
    "step RetainedUnderGrant",
    "step FinalizerStripped",
    "status of a grant",
    "reason Granted",
    "reason GrantsNotRequired",
    "reason NotGranted",
    "reason GrantQuotaReached",
    "reason Revoked",
    "event NotGranted",
    "event GrantQuotaReached",
    "event RetainNotGranted",
    "end NotGranted",
    // Reasons of conditions.
    "reason Succeeded",
    "reason Pending",
    "reason Suspended",
    "reason BindingRefused",
    "reason ServiceAccountRefused",
    "reason CleanedUp",
    "reason Propagating",
    "reason Resolved",
    "reason IdentityNotFound",
    "reason IssuerChanged",
    "reason AuthorizationFailed",
    "reason AzureAuthenticationFailed",
    "reason AzureUnavailable",
    "reason Throttled",
    "reason Applied",
    "reason ServiceAccountConflict",
    "reason ServiceAccountLimitReached",
    "reason WaitingForCredential",
    "reason NamespaceTerminating",
    "reason InPlace",
    "reason Creating",
    "reason WaitingForTurn",
    "reason CredentialLimitReached",
    "reason CredentialExists",
    "reason DuplicateBinding",
    "reason ProvidedByOlderBinding",
    "reason RegionNotSupported",
    "reason PolicyDenied",
    "reason ScopeLocked",
    // Events besides those of `Ready`.
    "event CredentialLeft",
    "event AccountLeft",
    "event IdentityReplaced",
    "event ForceDetached",
    // Where bindings end.
    "end Ready",
    "end CredentialLimitReached",
    "end CredentialExists",
    "end DuplicateBinding",
    "end ProvidedByOlderBinding",
    "end ServiceAccountConflict",
    "end ServiceAccountLimitReached",
    "end IdentityNotFound",
    "end IssuerChanged",
    "end AuthorizationFailed",
    "end PolicyDenied",
    "end Suspended",
];

fn seeds() -> u64 {
    let given = std::env::var("SEEDS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn no_seed_breaks_an_invariant_and_everything_happens_in_them() {
    let swept = sweep(1..1 + seeds(), |_| true);
    assert!(
        swept.failed.is_empty() && swept.errors.is_empty(),
        "{} of {} seeds failed; `make soak SEED=n` shows the trace of one\n{}",
        swept.failed.len() + swept.errors.len(),
        seeds(),
        swept.report()
    );
    let missing = missing(&swept);
    assert!(
        missing.is_empty(),
        "these did not happen at least {LEAST} times: {missing:?}"
    );
}

fn missing(swept: &Swept) -> Vec<(&'static str, u64)> {
    TO_HAPPEN
        .iter()
        .map(|what| (*what, swept.counts.get(*what).copied().unwrap_or(0)))
        .filter(|(_, count)| *count < LEAST)
        .collect()
}

#[test]
fn a_seed_comes_out_the_same_again() {
    for seed in 1..=10 {
        let (once, again) = (run(seed).unwrap(), run(seed).unwrap());
        let differs = once.trace.iter().zip(&again.trace).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(once.trace.len(), again.trace.len(), "seed {seed}");
    }
}
