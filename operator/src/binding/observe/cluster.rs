//! Reads what is in the cluster, and puts it beside what is in Azure: the account, its other bindings, and who else applies
//! for a credential on the identity.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{ResolvedIdentity, WorkloadIdentityBinding};

use super::azure::InAzure;
use crate::azure::ListedCredential;
use crate::binding::account::api::account;
use crate::binding::account::{AccountBinding, ExistingAccount, account_bindings};
use crate::binding::context::Context;
use crate::binding::credential::applicants::applicant;
use crate::binding::credential::duplicates::{OlderDuplicate, older_duplicate};
use crate::binding::error::Error;
use crate::binding::status::{propagation_left, was_good};
use crate::binding::validate::Desired;
use crate::grant::Mode;
use crate::ledger::Ledger;
use crate::ledger::decide::{Applicant, front_of_line, is_met};
use crate::runtime::deliberate::Bug;

/// What one pass found.
pub struct Observed {
    pub identity: ResolvedIdentity,
    /// Names of the credentials that others are about to create on the identity.
    pub promised: BTreeSet<String>,
    /// A listing that failed stops the credential, not the account.
    pub listing: Result<Vec<ListedCredential>, Error>,
    /// The claim of this binding among those on the identity.
    pub applicant: Applicant,
    pub applicants: Vec<Arc<Applicant>>,
    pub account: Option<ExistingAccount>,
    /// The bindings that count for the account, this one included.
    pub account_bindings: Vec<AccountBinding>,
    /// An older binding with the same account and identity.
    pub older_duplicate: Option<OlderDuplicate>,
    /// The credential was good when last seen, and had its propagation time.
    pub credential_works: bool,
}

/// Reads the cluster; writes nothing.
pub async fn in_cluster(
    binding: &WorkloadIdentityBinding,
    desired: &Desired,
    in_azure: InAzure,
    ctx: &Context,
) -> Result<Observed, Error> {
    let InAzure { identity, listing } = in_azure;
    let ledger = ctx.ledgers.of(&desired.identity);
    // Who else wants a slot matters to a claim that needs one.
    let met = listing
        .as_ref()
        .is_ok_and(|listing| is_met(&desired.credential, listing));
    let applicants = if met {
        vec![]
    } else {
        applicants(&ledger, ctx)
    };
    let account = account(&desired.namespace, &desired.service_account, ctx).await?;
    let bindings_of_account = ctx.bindings_of_account(&desired.namespace, &desired.service_account);
    let account_bindings = account_bindings(binding, &identity, &bindings_of_account);
    let older_duplicate = older_duplicate(
        binding,
        &desired.identity,
        &bindings_of_account,
        &ctx.defaults,
    );
    let good = was_good(binding.status.as_ref(), desired);
    Ok(Observed {
        promised: ledger.promised(),
        identity,
        listing,
        applicant: applicant(binding, desired.credential.clone()),
        applicants,
        account,
        account_bindings,
        older_duplicate,
        credential_works: good && propagated(binding, ctx),
    })
}

/// The claims at the front of the line of this ledger's identity, as many as a decision needs.
fn applicants(ledger: &Ledger, ctx: &Context) -> Vec<Arc<Applicant>> {
    let most = front_of_line(ctx.settings.credential_limit);
    let mode = ctx.grants_mode();
    let may_apply = |it: &Applicant| may_apply(it, ledger, mode, ctx) || Bug::StatusGrants.is_on();
    let mut applicants = ctx.bindings.front_of_line(ledger.id(), most, may_apply);
    applicants.retain(|it| {
        !Bug::LineForgottenAtRestart.is_on() || ctx.knows_of_failure(&it.rank.binding)
    });
    applicants
}

/// Whether a grant covers an applicant now, whatever its status says.
fn may_apply(applicant: &Applicant, ledger: &Ledger, mode: Mode, ctx: &Context) -> bool {
    let account = applicant.credential.subject.service_account();
    account.is_some_and(|it| ctx.ruling_in(mode, ledger.id(), it, None).may_make())
}

fn propagated(binding: &WorkloadIdentityBinding, ctx: &Context) -> bool {
    let moment = ctx.moment(Duration::ZERO);
    binding
        .status
        .as_ref()
        .is_some_and(|status| propagation_left(&status.conditions, &moment).is_zero())
}
