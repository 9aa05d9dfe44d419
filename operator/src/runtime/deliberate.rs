//! Bugs on purpose, for the proof by simulation to find.
//!
//! Only the cargo feature `deliberate-bugs` can switch one on, and nothing that ships is built with it; without it every
//! question below is a constant no.

use std::time::Duration;

/// The bugs, and the list of all of them.
macro_rules! bugs {
    ($($(#[$says:meta])* $name:ident,)*) => {
        /// A bug that can be switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Bug {
            $($(#[$says])* $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

bugs! {
    /// What only looks writes.
    ReadOnlyForgotten,
    /// A write does not wait for the one before it.
    NoTurn,
    /// The youngest waiter comes first.
    NewestFirst,
    /// What Azure says of its pace is not remembered.
    RetryAfterIgnored,
    /// Azure is believed however long it asks to be left alone.
    AnyRetryAfterBelieved,
    /// After a pause that nobody believes, all come back at once.
    ProbesTogether,
    /// A write that was admitted goes, whatever Azure has said since.
    AdmittedForGood,
    /// A credential is read before its deletion may go.
    ReadBeforeAdmission,
    /// Credentials of others take no slots.
    OnlyOursCounted,
    /// A credential is deleted whatever its subject is.
    SubjectUnchecked,
    /// A lost answer means that nothing was done.
    NoReadAfterLostAnswer,
    /// A lost write is over at once.
    NoSettleTime,
    /// Only waiters that this process has refused are in the line.
    LineForgottenAtRestart,
    /// Nothing is recorded before a credential is sent.
    RecordedAfterPut,
    /// The record of a write whose answer was lost is withdrawn.
    RecordWithdrawn,
    /// Cleanup goes by the binding as the watch showed it, at once after a start as well.
    StaleBindingAtCleanup,
    /// Just after its start a process gives slots on the word of a listing that the one before it has read.
    OldListing,
    /// A waiter believes the listing that once showed no slot.
    FullForEver,
    /// A refusal to read takes Ready away.
    ReadyLostOn403,
    /// A refusal to read by something above the roles takes Ready away.
    ReadyLostOnDenial,
    /// An outage takes Ready away.
    ReadyLostInOutage,
    /// What others made is adopted although that is forbidden.
    AdoptsUnderNever,
    /// A credential that is to stay is deleted.
    RetainIgnored,
    /// The credential goes with the older of two bindings.
    NoHandOver,
    /// A cleanup that fails counts as done.
    FailedCleanupLetsGo,
    /// A cleanup fails where there is nothing left to clean up.
    GoneIdentityWedges,
    /// Whatever bears our name is ours.
    ContentUnchecked,
    /// A change of the audience changes nothing.
    AudienceUnchecked,
    /// The identity is read once.
    IdentityReadOnce,
    /// Of two bindings for the same, both count.
    DuplicatesBothApply,
    /// A binding that asks for what an older one has is not Ready before that one is gone.
    DuplicateNeverReady,
    /// Who takes over begins anew.
    TakesOverFromScratch,
    /// Status is written in every pass.
    StatusAlwaysWritten,
    /// What stands as it should is written again.
    WritesWhatStands,
    /// The finalizer is taken from whoever bears the name now.
    AnothersFinalizer,
    /// A watch that ends at once is opened again at once.
    EmptyWatchAtOnce,
    /// A refusal of the finalizer is taken for a race.
    RefusedFinalizerDropped,
    /// What the answer to a write says is not looked at.
    AnswerUnread,
    /// Whatever is changed about an account is put back at once, however often.
    NoBrake,
    /// An account refers again to a binding that is going, whose reference was taken off.
    OwnerPutBack,
    /// A status that somebody else has written is not looked at.
    ForeignStatusUnseen,
    /// A status is believed whatever it speaks of.
    ForeignStatusBelieved,
    /// A status is put right at once, however often somebody writes another one.
    StatusWithoutBrake,
    /// A credential whose record was lost is left behind.
    LostRecordLeft,
    /// A look for a credential whose record was lost holds up the cleanup where it fails.
    LostRecordHolds,
    /// Who has never made a credential deletes the one that another has left.
    DeletesWhatWasRetained,
    /// A record of another issuer is acted on.
    OtherIssuerDeleted,
    /// A time in the future counts as now, at each look.
    FutureTimeJudgedAnew,
    /// A pass that failed is made again at once.
    FailedAtOnce,
    /// A binding counts for its account by its status alone.
    OnlyStatusCounts,
    /// A newcomer takes a read of its identity of any age.
    OldSuccessTrusted,
    /// What another object's arrival cures is looked at as seldom as what nothing cures.
    ArrivalSeenLate,
    /// Looks at what is known to fail go as fast as first ones.
    RepeatsUnpaced,
    /// One namespace may take every worker.
    NoBulkheads,
    /// All bindings of an account are served, however many there are.
    AllOfAccountServed,
    /// Whom an account had too many bindings for is not served when one of the others goes.
    RefusedByAccountForGood,
    /// Where the identity cannot be read, a binding becomes Ready with a client id that is none any more.
    DeadClientIdKept,
    /// Only status says which bindings are good.
    KnownGoodForgotten,
    /// A binding of which status says that it is granted is, to the end.
    StatusGrants,
    /// A grant is not asked for once more when a write goes out.
    GateWithoutGrant,
    /// A binding without a grant counts for its account as before.
    UngrantedCountsForAccount,
    /// What was made for a binding is taken away as soon as its grant is gone.
    RevokedAtOnce,
    /// It never is.
    RevokedKept,
    /// What a binding has left is forgotten that went without having been cleaned up, and no listing shows it either.
    VanishedForgotten,
    /// A write to Azure is asked for its claim when it is recorded, and not when it goes out.
    ClaimAtRecordOnly,
    /// A claim is counted by the time of day, as the Lease names it.
    RenewalByLeaseClock,
    /// Who ends in order keeps the Lease.
    LeaseNotReleased,
    /// Who has lost the Lease writes until it has noticed.
    WritesWithoutLease,
    /// What the leader before may be deleting is not thought of.
    OldDeletionsForgotten,
    /// A replica that takes over counts from its start.
    StartTakenForTakeover,
    /// A replica that takes over goes by what its watch of bindings has shown, however far that is behind.
    WatchTrustedAtTakeover,
    /// What neither a binding nor a grant covers is left.
    LeftoverKept,
    /// What no binding has is taken away although a grant covers it.
    LeftoverDespiteGrant,
    /// The status of a grant is written at each look.
    GrantToldAgain,
    /// The status of a grant is written once.
    GrantToldOnce,
    /// Quotas of grants are not counted.
    QuotaIgnored,
    /// `Retain` is honoured without a grant that allows it.
    RetainWithoutGrant,
}

impl Bug {
    /// Whether this thread has it.
    #[cfg(feature = "deliberate-bugs")]
    pub(crate) fn is_on(self) -> bool {
        ACTIVE.get() == Some(self)
    }

    /// Whether this thread has it: no.
    #[cfg(not(feature = "deliberate-bugs"))]
    pub(crate) const fn is_on(self) -> bool {
        false
    }
}

#[cfg(feature = "deliberate-bugs")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
    static LISTINGS: std::cell::RefCell<std::collections::HashMap<String, Box<dyn std::any::Any>>> =
        std::cell::RefCell::default();
}

/// Gives this thread a bug, or none, and no memory of earlier processes.
#[cfg(feature = "deliberate-bugs")]
pub fn switch(bug: Option<Bug>) {
    ACTIVE.set(bug);
    LISTINGS.take();
}

/// Keeps a listing beyond the end of the process, as a file would: only a bug reads it.
pub(crate) fn keep_listing<T: Clone + 'static>(_identity: &str, _listing: &T) {
    #[cfg(feature = "deliberate-bugs")]
    if Bug::OldListing.is_on() {
        let (identity, listing) = (_identity.to_owned(), Box::new(_listing.clone()));
        LISTINGS.with_borrow_mut(|listings| listings.insert(identity, listing));
    }
}

/// What an earlier process has listed, for a process that has run for so long.
pub(crate) fn kept_listing<T: Clone + 'static>(
    _identity: &str,
    _since_start: Duration,
) -> Option<T> {
    #[cfg(feature = "deliberate-bugs")]
    if Bug::OldListing.is_on() && _since_start < Duration::from_secs(60) {
        return LISTINGS
            .with_borrow(|listings| listings.get(_identity)?.downcast_ref::<T>().cloned());
    }
    None
}
