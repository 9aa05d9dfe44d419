//! What a pass has done, as far as it went.

use azwib_crds::{
    RecordedCredential, ResolvedIdentity, ServiceAccountStatus, WorkloadIdentityBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::error::Error;

/// What was done, as far as it went.
#[derive(Debug)]
pub struct Applied {
    pub identity: ResolvedIdentity,
    pub account: Option<AppliedAccount>,
    /// The account is missing, and made only once the credential works.
    pub account_waits: bool,
    pub credential: AppliedCredential,
    /// The binding as it was last written, when a record was written.
    pub recorded: Option<WorkloadIdentityBinding>,
    /// What stopped the pass.
    pub error: Option<Error>,
}

/// A ServiceAccount that carries what it should.
#[derive(Debug)]
pub struct AppliedAccount {
    pub status: ServiceAccountStatus,
    pub note: Option<String>,
}

/// How far the credential is.
#[derive(Debug, PartialEq, Eq)]
pub enum AppliedCredential {
    /// It stands as desired.
    InPlace(RecordedCredential),
    /// It stands as desired, since then; an older duplicate looks after it.
    Provided {
        credential: RecordedCredential,
        by: String,
        since: Time,
    },
    /// It was not reached; what is recorded stays recorded.
    NotReached,
    /// It was recorded, and then not written: the record is withdrawn.
    Withdrawn,
    /// It was sent, and the answer was lost: the record stays.
    Unknown,
}
