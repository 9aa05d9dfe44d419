//! One story told many times: without a crash, and with one before and after each call of the operator.

use std::time::Duration;

use anyhow::{Context, ensure};
use azure_simulator::control::api::When;
use azwib_crds::{CredentialOrigin, WorkloadIdentityBinding};
use azwib_e2e::environment::arm::Arm;
use azwib_e2e::environment::{PATIENCE, condition, observed};
use azwib_e2e::wait;
use futures::future::{join_all, try_join_all};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;

use crate::end_state::EndState;
use crate::point::{Point, azure};
use crate::stage::{Case, Mark, Stage, Turn};
use crate::stories::PUT;
use crate::toll::{Toll, uncovered};

/// Something that happens to a binding, and what comes of it.
pub(crate) trait Story {
    /// Names its namespaces.
    const NAME: &'static str;

    /// Every call by which the operator brings it about. One that is missing here makes the test fail.
    const POINTS: &'static [Point<'static>];

    /// How it ends.
    const END: End;

    /// Brings a namespace to where the story begins. What is written to Azure is written here: a hold takes the requests
    /// of everybody.
    async fn prepare(&self, case: &Case, arm: &Arm) -> anyhow::Result<()>;

    /// What the operator reacts to.
    async fn begin(&self, case: &Case) -> anyhow::Result<()>;

    /// Calls that belong to what happens after the crash: another story has the operator killed at them.
    const LATER: &'static [Point<'static>] = &[];

    /// What happens besides before the operator is back.
    async fn while_down(&self, _: &Case) -> anyhow::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The binding is Ready.
    Ready,
    /// The binding is gone.
    Gone,
    /// What was made for it was taken away.
    Revoked,
}

/// One case in which the operator is killed.
pub(crate) struct Crash {
    pub(crate) case: Case,
    pub(crate) point: Point<'static>,
    pub(crate) when: When,
    /// The operator was killed after it had recorded a write that Azure never carried out: its successor cannot know.
    pub(crate) unsettled: bool,
}

impl Crash {
    pub(crate) fn name(&self) -> String {
        let when = match self.when {
            When::BeforeEffect => "before",
            When::AfterEffect => "after",
        };
        format!("killed {when} {}", self.point)
    }
}

/// Kills the operator at each of the story's points and compares what comes of it with what comes of it otherwise.
pub(crate) async fn ends_the_same_wherever_the_operator_is_killed<S: Story>(
    story: S,
) -> anyhow::Result<()> {
    let stage = Stage::shared().await?;
    let arm = stage.env.arm().await?;
    let mut turn = stage.turn().await;
    turn.start().await?;
    let (clean, wanted) = undisturbed(&story, stage, &arm).await?;
    let crashes = killed(&story, stage, &mut turn, &arm).await?;
    let writes = S::POINTS.contains(&azure(PUT, 1));
    let unsettled = crashes.iter().any(|crash| crash.unsettled);
    ensure!(
        unsettled == writes,
        "no crash leaves a write of which nobody knows what became of it"
    );
    let restarted = Timestamp::now();
    turn.start().await?;
    let mut complaints = Vec::new();
    let ended = crashes.iter().map(|it| ends(&S::END, it, &wanted, &arm));
    for (crash, ended) in crashes.iter().zip(join_all(ended).await) {
        if let Err(error) = ended {
            complaints.push(format!("{}: {error:#}", crash.name()));
        }
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));

    nothing_more_comes(&S::END, stage, &mut turn, &crashes).await?;
    for crash in &crashes {
        if EndState::of(&crash.case, &arm).await? != wanted {
            complaints.push(format!("{}: it did not stay so", crash.name()));
        }
    }
    let cases: Vec<_> = crashes.iter().map(|crash| &crash.case).collect();
    let clean = Toll::of(stage, &[&clean]).await?.remove(0);
    for (crash, toll) in crashes.iter().zip(Toll::of(stage, &cases).await?) {
        complaints.extend(toll.complaints(&clean, crash, restarted));
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    turn.kill().await?;
    drop(turn);
    try_join_all(cases.iter().map(|case| garbage_is_collected(case, S::END))).await?;
    Ok(())
}

/// The story without a crash: its case and its end state. Every call that the operator makes is among the points.
async fn undisturbed<S: Story>(
    story: &S,
    stage: &'static Stage,
    arm: &Arm,
) -> anyhow::Result<(Case, EndState)> {
    let mut case = Case::new(stage, S::NAME).await?;
    story.prepare(&case, arm).await?;
    case.mark = Mark::now(stage).await?;
    story.begin(&case).await?;
    if !S::LATER.is_empty() {
        until_over(&End::Ready, &case, arm).await?;
        story.while_down(&case).await?;
    }
    until_over(&S::END, &case, arm).await?;
    if S::END == End::Ready {
        stage.looked_at_again(&[&case]).await?;
    }
    let uncovered = uncovered(stage, &case, &[S::POINTS, S::LATER].concat()).await?;
    ensure!(
        uncovered.is_empty(),
        "the operator makes calls at which it is never killed: {}",
        uncovered.join(", ")
    );
    let state = EndState::of(&case, arm).await?;
    Ok((case, state))
}

/// The story in a namespace for each point, before it and after it, until the operator stands at all of them and is
/// killed.
async fn killed<S: Story>(
    story: &S,
    stage: &'static Stage,
    turn: &mut Turn<'_>,
    arm: &Arm,
) -> anyhow::Result<Vec<Crash>> {
    let points = S::POINTS.iter().enumerate();
    let variants = points.flat_map(|(number, point)| {
        [When::BeforeEffect, When::AfterEffect].map(|when| (number, point, when))
    });
    let mut crashes = try_join_all(variants.map(|(number, point, when)| async move {
        let suffix = if when == When::BeforeEffect { "b" } else { "a" };
        let case = Case::new(stage, &format!("{}-{number}{suffix}", S::NAME)).await?;
        story.prepare(&case, arm).await?;
        anyhow::Ok(Crash {
            case,
            point: *point,
            when,
            unsettled: false,
        })
    }))
    .await?;
    let mark = Mark::now(stage).await?;
    let mut held = Vec::new();
    for crash in &mut crashes {
        crash.case.mark = mark;
        let shop = &crash.case.shop;
        held.push(crash.point.hold(&stage.proxy, shop, crash.when).await?);
    }
    // The operator gives up an event that is not published soon: where it is killed at one, it goes there last.
    for at_event in [false, true] {
        let cases = || {
            let cases = crashes.iter().zip(&held);
            cases.filter(|(crash, _)| crash.point.is_event() == at_event)
        };
        try_join_all(cases().map(|(crash, _)| story.begin(&crash.case))).await?;
        for (crash, held) in cases() {
            held.reached().await.with_context(|| crash.name())?;
        }
    }
    for (crash, held) in crashes.iter().zip(&held) {
        held.reached()
            .await
            .with_context(|| format!("{}, at the end", crash.name()))?;
    }
    turn.kill().await?;
    for crash in &mut crashes {
        crash.unsettled = is_unsettled(stage, &crash.case).await?;
    }
    try_join_all(crashes.iter().map(|it| story.while_down(&it.case))).await?;
    Ok(crashes)
}

/// Whether a write is on record that Azure has not carried out.
async fn is_unsettled(stage: &Stage, case: &Case) -> anyhow::Result<bool> {
    let Some(binding) = case.shop.bindings().get_opt("orders").await? else {
        return Ok(false);
    };
    let recorded = binding.status.unwrap_or_default().credentials;
    let pending = recorded
        .iter()
        .any(|credential| credential.origin == CredentialOrigin::Pending);
    let requests = stage.requests(&[case]).await?.remove(0);
    let written = requests.iter().any(|it| it.method == "PUT" && it.effective);
    Ok(pending && !written)
}

pub(crate) async fn until_over(end: &End, case: &Case, arm: &Arm) -> anyhow::Result<()> {
    let (bindings, shop) = (case.shop.bindings(), &case.shop);
    let waited = async {
        match end {
            End::Ready => {
                await_condition(bindings.clone(), "orders", is_ready).await?;
                until_azure_has_what_is_recorded(case, arm).await?;
                // What was repaired in between propagates anew.
                await_condition(bindings, "orders", is_ready).await?;
            }
            End::Revoked => drop(await_condition(bindings, "orders", is_revoked).await?),
            End::Gone => {
                if let Some(binding) = bindings.get_opt("orders").await? {
                    let uid = binding.uid().unwrap_or_default();
                    await_condition(bindings, "orders", is_deleted(&uid)).await?;
                }
            }
        }
        anyhow::Ok(())
    };
    let outcome = tokio::time::timeout(PATIENCE, waited).await;
    if outcome.is_err() {
        let binding = shop.bindings().get_opt("orders").await?;
        let status = serde_json::json!(binding.and_then(|binding| binding.status));
        anyhow::bail!("not {end:?} in time; status: {status}");
    }
    outcome?
}

/// A binding stays Ready while its credential is being repaired.
async fn until_azure_has_what_is_recorded(case: &Case, arm: &Arm) -> anyhow::Result<()> {
    let bindings = case.shop.bindings();
    wait::until("Azure to have what is recorded", PATIENCE, async || {
        let recorded = bindings.get("orders").await?.status.unwrap_or_default();
        let found = arm.credentials(case.orders.resource_id()).await?;
        let same = recorded.credentials.len() == found.len()
            && recorded.credentials.iter().zip(found).all(|(it, found)| {
                it.origin == CredentialOrigin::Created
                    && it.name == found.name
                    && it.issuer == found.properties.issuer
                    && it.subject == found.properties.subject
                    && found.properties.audiences == [it.audience.clone()]
            });
        Ok(same.then_some(()))
    })
    .await
}

fn is_ready(binding: Option<&WorkloadIdentityBinding>) -> bool {
    binding.is_some_and(|binding| {
        observed(binding) && condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
    })
}

fn is_revoked(binding: Option<&WorkloadIdentityBinding>) -> bool {
    binding.is_some_and(|binding| {
        condition(binding, "CredentialReady").is_some_and(|it| it.reason == "Revoked")
    })
}

/// The story ends as it does without a crash.
async fn ends(end: &End, crash: &Crash, wanted: &EndState, arm: &Arm) -> anyhow::Result<()> {
    until_over(end, &crash.case, arm).await?;
    let mut last = None;
    let same = wait::until("the same end", PATIENCE, async || {
        let state = EndState::of(&crash.case, arm).await?;
        let is_same = state == *wanted;
        last = Some(state);
        Ok(is_same.then_some(()))
    });
    same.await.with_context(|| {
        let difference = last.as_ref().map(|last| wanted.difference(last));
        difference.unwrap_or_default()
    })
}

/// Yet another operator finds nothing to do.
async fn nothing_more_comes(
    end: &End,
    stage: &Stage,
    turn: &mut Turn<'_>,
    crashes: &[Crash],
) -> anyhow::Result<()> {
    let cases: Vec<_> = crashes.iter().map(|crash| &crash.case).collect();
    // Of what has no grant nothing is read any more.
    if *end != End::Ready {
        return Ok(());
    }
    // The operator that has done the work is through with it.
    stage.looked_at_again(&cases).await?;
    let before = Toll::of(stage, &cases).await?;
    turn.start().await?;
    // Its first pass may be the one that the request asks for, or the one before that: the second request is after it.
    stage.looked_at_again(&cases).await?;
    stage.looked_at_again(&cases).await?;
    let after = Toll::of(stage, &cases).await?;
    for ((crash, before), after) in crashes.iter().zip(&before).zip(&after) {
        ensure!(
            before.writes() == after.writes(),
            "{}: an operator that is started over what is done writes: {before:?}, then {after:?}",
            crash.name()
        );
    }
    Ok(())
}

/// What the operator made goes with its binding.
async fn garbage_is_collected(case: &Case, end: End) -> anyhow::Result<()> {
    if end != End::Gone {
        return Ok(());
    }
    let accounts = case.shop.service_accounts();
    let is_collected = |account: Option<&k8s_openapi::api::core::v1::ServiceAccount>| {
        account.is_none_or(|account| account.owner_references().is_empty())
    };
    let collected = await_condition(accounts, "orders", is_collected);
    let patience = PATIENCE + Duration::from_secs(30);
    tokio::time::timeout(patience, collected)
        .await
        .with_context(|| format!("the account of {} stays", case.shop.name()))??;
    Ok(())
}
