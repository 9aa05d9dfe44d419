//! What the status of each grant says: whether it is in force, how many bindings it covers, and whether its quota is kept.
//!
//! Looked at twice a minute, and soon after a grant has changed. A grant is written when its status differs, and at most once in
//! [`SETTLES`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::{IdentityGrant, IdentityGrantStatus, RecordedCredential};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::yield_now;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

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
        if !ctx.bindings.is_listed() {
            continue;
        }
        tell_of_mode(&ctx, &mut told);
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

/// Logs whether grants are required, and why, when that has changed.
fn tell_of_mode(ctx: &Operator, told: &mut Option<Mode>) {
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
    // By identity, the accounts that hold a credential there.
    let mut holders: BTreeMap<String, (String, BTreeSet<(String, String)>)> = BTreeMap::new();
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
            }
            let recorded = binding.status.iter().flat_map(|it| &it.credentials);
            for identity in recorded.filter_map(RecordedCredential::managed_identity) {
                let (_, accounts) = holders
                    .entry(identity.key().to_owned())
                    .or_insert_with(|| (identity.to_string(), BTreeSet::new()));
                accounts.insert(account.clone());
            }
        }
    }
    for (id, accounts) in holders.into_values() {
        yield_now().await;
        let Ok(identity) = azwib_crds::ManagedIdentityId::parse(&id) else {
            continue;
        };
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
                let above = (id.clone(), used.of(&name));
                covered.entry(name).or_default().above.get_or_insert(above);
            }
        }
    }
    covered
}

fn status(grant: &SeenGrant, covered: Option<&Covered>, ctx: &Operator) -> IdentityGrantStatus {
    let bindings = covered.map_or(0, |it| it.bindings);
    let above = covered.and_then(|it| it.above.as_ref());
    let audits = ctx.grants_mode() == Mode::Audit;
    let (ready, reason, message) = match (&grant.invalid, above) {
        (Some(why), _) => (
            ConditionStatus::False,
            "Invalid",
            format!("the grant allows nothing, since it cannot be read as a whole: {why}"),
        ),
        (None, Some((identity, used))) => (
            ConditionStatus::False,
            "AboveQuota",
            format!(
                "{used} credentials of {identity} are used by bindings under this grant, which is more than \
                 spec.maxCredentialsPerIdentity: those that work are left, and no new one is given"
            ),
        ),
        (None, None) if audits => (
            ConditionStatus::True,
            "Audited",
            "the grant is known; nothing is refused without one yet (--grants=audit)".to_owned(),
        ),
        (None, None) => (
            ConditionStatus::True,
            "InForce",
            "the grant is in force".to_owned(),
        ),
    };
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
