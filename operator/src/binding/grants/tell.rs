//! What the status of each grant says: whether it is in force, how many bindings it covers, and whether its quota is kept; and
//! whether grants are required at all.
//!
//! Looked at twice a minute, and soon after a grant has changed. A grant is written when its status differs, and at most once in
//! [`SETTLES`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{IdentityGrant, IdentityGrantStatus, ManagedIdentityId, RecordedCredential};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::yield_now;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::quota::holders;
use crate::binding::context::Operator;
use crate::binding::index::readable;
use crate::binding::validate::{identity_id, service_account_name};
use crate::grant::{Mode, SeenGrant, Used};
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::conditions::{ConditionStatus, find, transition};
use crate::runtime::deliberate::Bug;

/// Between two writes to one grant.
const SETTLES: Duration = Duration::from_secs(30);

/// How often it is asked whether grants have changed.
const LOOKS: Duration = Duration::from_secs(1);

/// So many bindings are looked at before others may work.
const AT_ONCE: usize = 200;

/// Keeps the statuses of all grants true until it is told to stop. A write that is under way then is brought to its end.
pub async fn keep_told(ctx: Arc<Operator>, stop: CancellationToken) {
    let mut written: HashMap<String, Instant> = HashMap::new();
    let mut last: Option<(u64, Instant)> = None;
    let mut told = None;
    let mut looks = interval(LOOKS);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        // Whose credential one is, its issuer tells.
        if !ctx.bindings.is_listed() || !ctx.knows_issuer() {
            continue;
        }
        tell_of_mode(&ctx, &mut told).await;
        let changes = ctx.grants.changes();
        let is_due = last.is_none_or(|(seen, at)| seen != changes || at.elapsed() >= SETTLES);
        if !is_due || ctx.grants_mode() == Mode::Off {
            continue;
        }
        last = Some((changes, Instant::now()));
        let covered = covered(&ctx).await;
        // One after the other: there may be many.
        let names = ctx.grants.names();
        for grant in names.iter().filter_map(|name| ctx.grants.seen(name)) {
            if stop.is_cancelled() {
                return;
            }
            let is_early = written.get(&grant.name).is_some_and(|at| {
                at.elapsed() < SETTLES && !Bug::GrantToldAgain.is_on() || Bug::GrantToldOnce.is_on()
            });
            let status = status(&grant, covered.get(&grant.name), &ctx);
            // What comes too early is told in the next round.
            if !is_early && grant.status.as_ref() != Some(&status) {
                written.insert(grant.name.clone(), Instant::now());
                write(&grant, &status, &ctx).await;
            }
        }
        written.retain(|name, _| names.binary_search(name).is_ok());
    }
}

/// Tells whether grants are required, and why, when that has changed: in the log, and by an event about the operator's namespace.
async fn tell_of_mode(ctx: &Operator, told: &mut Option<Mode>) {
    let mode = ctx.grants_mode();
    if told.replace(mode) == Some(mode) {
        return;
    }
    let why = match (ctx.grants.asked(), mode) {
        (Some(_), _) => "as the flag says",
        (None, Mode::Audit) => {
            "the flag is not given, and bindings have something that they were given without a grant: write grants that cover them"
        }
        (None, _) => {
            "the flag is not given, and no binding has anything that it was given without a grant"
        }
    };
    tracing::info!(grants = mode.as_str(), why, "whether bindings need a grant");
    if let Some(namespace) = ctx.grants.own_namespace() {
        let note = format!("grants are now: {} ({why})", mode.as_str());
        ctx.events.grants_mode(namespace, note).await;
    }
}

/// What a grant covers.
#[derive(Debug, Default)]
struct Covered {
    bindings: usize,
    /// The identity on which more of its quota is used than it allows, and how much.
    above: Option<(String, usize)>,
}

async fn covered(ctx: &Operator) -> BTreeMap<String, Covered> {
    let defaults = ctx.settings.defaults.borrow().clone();
    let mut covered: BTreeMap<String, Covered> = BTreeMap::new();
    let mut identities: BTreeMap<String, ManagedIdentityId> = BTreeMap::new();
    let mut note = |identity: ManagedIdentityId| {
        if !identities.contains_key(identity.key()) {
            identities.insert(identity.key().to_owned(), identity);
        }
    };
    for (number, who) in ctx.bindings.all().iter().enumerate() {
        if number % AT_ONCE == 0 {
            yield_now().await;
        }
        let found = ctx.bindings.found(who);
        for binding in readable(&found) {
            let account = (who.namespace.clone(), service_account_name(binding));
            if let Ok(identity) = identity_id(&binding.spec.identity, &defaults) {
                for grant in ctx.grants.covering(&identity, (&account.0, &account.1)) {
                    covered.entry(grant.name.clone()).or_default().bindings += 1;
                }
                note(identity);
            }
            let recorded = binding.status.iter().flat_map(|it| &it.credentials);
            recorded
                .filter_map(RecordedCredential::managed_identity)
                .for_each(&mut note);
        }
    }
    for identity in identities.into_values() {
        yield_now().await;
        let listing = ctx.ledgers.last_listing(&identity).unwrap_or_default();
        let accounts = holders(&identity, &listing, &defaults.issuer, &ctx.bindings);
        let mut used = Used::default();
        let mut limited = BTreeMap::new();
        for account in &accounts {
            let covering = ctx.grants.covering(&identity, (&account.0, &account.1));
            for grant in &covering {
                limited.extend(
                    grant
                        .max_credentials_per_identity
                        .map(|it| (grant.name.clone(), it)),
                );
            }
            used.hold(&covering);
        }
        for (name, limit) in limited {
            if used.of(&name) > limit {
                let above = (identity.to_string(), used.of(&name));
                covered.entry(name).or_default().above.get_or_insert(above);
            }
        }
    }
    covered
}

fn status(grant: &SeenGrant, covered: Option<&Covered>, ctx: &Operator) -> IdentityGrantStatus {
    let bindings = covered.map_or(0, |it| it.bindings);
    let above = covered.and_then(|it| it.above.as_ref());
    let (ready, reason, message) = ready(grant.invalid.as_deref(), above, ctx.grants_mode());
    let before = grant.status.as_ref().map_or(&[][..], |it| &it.conditions);
    let now = ctx.clock.now();
    let condition = |type_: &str, status| {
        let before = find(before, type_);
        let message = message.clone();
        transition(
            before,
            type_,
            status,
            reason,
            message,
            grant.generation,
            now,
        )
    };
    let mut conditions: Vec<Condition> = vec![condition("Ready", ready)];
    if grant.invalid.is_some() {
        conditions.push(condition("Stalled", ConditionStatus::True));
    }
    IdentityGrantStatus {
        observed_generation: grant.generation,
        bindings: i32::try_from(bindings).ok(),
        conditions,
    }
}

/// What `Ready` of a grant says, from why it cannot be read, what is above its quota, and whether grants are required.
fn ready(
    invalid: Option<&str>,
    above: Option<&(String, usize)>,
    mode: Mode,
) -> (ConditionStatus, &'static str, String) {
    match (invalid, above) {
        (Some(why), _) => (
            ConditionStatus::False,
            "Invalid",
            format!("the grant allows nothing, since it cannot be read as a whole: {why}"),
        ),
        (None, Some((identity, used))) => (
            ConditionStatus::False,
            "AboveQuota",
            format!(
                "{used} credentials of {identity} are used or left behind under this grant, which is more than \
                 spec.maxCredentialsPerIdentity: those that work are left, and no new one is given"
            ),
        ),
        (None, None) if mode == Mode::Audit => (
            ConditionStatus::True,
            "Audited",
            "the grant is known; nothing is refused without one yet (--grants=audit)".to_owned(),
        ),
        (None, None) => (
            ConditionStatus::True,
            "InForce",
            "the grant is in force".to_owned(),
        ),
    }
}

/// By server-side apply, so that conditions of others stay; and to that version only, so that what comes late, perhaps after another
/// process leads, is refused.
async fn write(grant: &SeenGrant, status: &IdentityGrantStatus, ctx: &Operator) {
    let grants: Api<IdentityGrant> = Api::all(ctx.client.clone());
    let patch = json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant",
        "metadata": { "name": grant.name, "resourceVersion": grant.version },
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let written = grants
        .patch_status(&grant.name, &parameters, &Patch::Apply(&patch))
        .await;
    match written {
        Ok(written) => tracing::debug!(grant = written.name_any(), "the status of a grant is told"),
        Err(kube::Error::Api(answer)) if answer.code == 409 => {
            tracing::debug!(
                grant = grant.name,
                "the grant has changed; its status is told in the next round"
            );
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                grant = grant.name,
                error,
                "the status of a grant cannot be written"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_what_is_wrong_with_it_before_anything_else() {
        let above = ("orders".to_owned(), 3);
        let (fine, wrong) = (ConditionStatus::True, ConditionStatus::False);
        for (invalid, above, mode, status, reason, words) in [
            (
                Some("no scope"),
                Some(&above),
                Mode::Audit,
                wrong,
                "Invalid",
                "no scope",
            ),
            (
                None,
                Some(&above),
                Mode::Audit,
                wrong,
                "AboveQuota",
                "3 credentials of orders",
            ),
            (
                None,
                Some(&above),
                Mode::Enforce,
                wrong,
                "AboveQuota",
                "no new one is given",
            ),
            (None, None, Mode::Audit, fine, "Audited", "--grants=audit"),
            (None, None, Mode::Enforce, fine, "InForce", "in force"),
        ] {
            let said = ready(invalid, above, mode);
            assert_eq!((said.0, said.1), (status, reason));
            assert!(said.2.contains(words), "{}", said.2);
        }
    }
}
