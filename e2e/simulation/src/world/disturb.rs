//! The disturbances of a run, one step after the other.

use std::sync::Arc;
use std::time::Duration;

use super::azure::{clear_obstructions, in_azure};
use super::bindings::{change_binding, create_binding, on_binding};
use super::step::{Step, any_step, calm_step, step_on_grants};
use super::{accounts, coincidence, grants, neighbours, newcomers, statuses};
use crate::disturbances::Refused;
use crate::kubernetes::{Key, Kind};
use crate::setup::World;
use crate::shared::Shared;

/// Disturbs the world until its time is over, then takes away most of what stands in the way.
pub async fn disturb(shared: Arc<Shared>, world: World) {
    if shared.requires_grants {
        grants::grant_all(&shared, &world);
    }
    let pause = world.disturbed.as_millis() as u64 / world.steps.max(1);
    for _ in 0..world.steps {
        let step = if world.calm {
            calm_step(&shared)
        } else if shared.requires_grants && shared.chance(250) {
            step_on_grants(&shared)
        } else {
            any_step(&shared)
        };
        take(step, &shared, &world).await;
        shared.cluster.sweep();
        // Some steps come together.
        let wait = if shared.chance(250) {
            0..=200
        } else {
            1..=2 * pause
        };
        shared.sleep(wait).await;
    }
    if shared.chance(700) {
        clear_obstructions(&shared, &world);
    }
    if shared.requires_grants && shared.chance(500) {
        grants::grant_all(&shared, &world);
    }
    // What lasts to the end is judged there.
    if shared.requires_grants && shared.chance(300) {
        grants::retained_under_grant(&shared, &world).await;
    }
}

async fn take(step: Step, shared: &Arc<Shared>, world: &World) {
    shared.count(format!("step {step:?}"));
    match step {
        Step::CreateBinding => create_binding(shared, world),
        Step::ChangeAudience | Step::ChangeAdoption | Step::ToggleSuspend | Step::ChangePolicy => {
            change_binding(step, shared);
        }
        Step::DeleteBinding | Step::AskForFreshReads | Step::ForceDetach => {
            on_binding(step, shared);
        }
        Step::DeleteNamespace => {
            if let Some(namespace) = shared.pick(&world.namespaces) {
                shared
                    .trace
                    .note(format!("world: namespace {namespace} goes"));
                shared
                    .cluster
                    .delete(&Key::new(Kind::Namespace, "", &namespace));
            }
        }
        Step::Crash => shared.crash(),
        Step::WatchesEndAtOnce => {
            let seconds = shared.draw(5..=30);
            shared.end_watches_at_once(Duration::from_secs(seconds));
        }
        Step::RefuseByAdmission => refuse_by_admission(shared, world),
        Step::BindingsAtOnce => coincidence::bindings_at_once(shared, world).await,
        Step::SilencedSubscription => coincidence::silenced_subscription(shared, world).await,
        Step::DeletionAtWrite => coincidence::deletion_at_write(shared, world).await,
        Step::ChangeAtDeletion => coincidence::change_at_deletion(shared, world).await,
        Step::SlotFreedAtRestart => coincidence::slot_freed_at_restart(shared, world).await,
        Step::SlotsTakenAtRestart => coincidence::slots_taken_at_restart(shared, world).await,
        Step::FreshReadsWithoutRole => coincidence::fresh_reads_without_role(shared, world).await,
        Step::IdentityGoneAtDeletion => {
            coincidence::identity_gone_at_deletion(shared, world).await;
        }
        Step::RecreationAtRestart => coincidence::recreation_at_restart(shared, world).await,
        Step::DeletionsThrottled => coincidence::deletions_throttled(shared, world).await,
        Step::LeftoverRemoved => coincidence::leftover_removed(shared, world).await,
        Step::CrowdedAccount => coincidence::crowded_account(shared, world).await,
        Step::RenameBinding => coincidence::rename(shared, world).await,
        Step::DuplicatesGoTogether => coincidence::duplicates_go_together(shared, world).await,
        Step::EditAccount
        | Step::FightOverAccount
        | Step::OrphanedDeletion
        | Step::ChangeAccountPolicy => accounts::on_accounts(step, shared, world).await,
        Step::ForeignStatus => statuses::foreign_status(shared, world),
        Step::FightOverStatus => statuses::fight_over_status(shared, world).await,
        Step::FutureTimes => statuses::future_times(shared, world).await,
        Step::StatusLostAtDeletion => statuses::status_lost_at_deletion(shared, world).await,
        Step::RetainedAndUntouched => statuses::retained_and_untouched(shared, world).await,
        Step::RestoredWithStatus => statuses::restored_with_status(shared, world).await,
        Step::ClonedFromElsewhere => statuses::cloned_from_elsewhere(shared, world).await,
        Step::NewcomerAfterRecreation => newcomers::after_recreation(shared, world).await,
        Step::RecreatedWhileRefused => newcomers::recreated_while_refused(shared, world).await,
        Step::ForeignStatusUnseen => statuses::foreign_status_unseen(shared, world).await,
        Step::LateIdentity => newcomers::late_identity(shared, world).await,
        Step::MissingIdentities => neighbours::missing_identities(shared, world).await,
        Step::GrantBack
        | Step::GrantGone
        | Step::GrantNarrowed
        | Step::GrantByLabel
        | Step::GrantAppliedAgain
        | Step::GrantGoneAtWrite
        | Step::RetainedUnderGrant
        | Step::FinalizerStripped => grants::on_grants(step, shared, world).await,
        Step::SlowNamespace => neighbours::slow_namespace(shared, world).await,
        _ => in_azure(step, shared, world),
    }
}

/// A policy or a dead webhook stands in the way of the operator's writes in a namespace, for a while.
fn refuse_by_admission(shared: &Shared, world: &World) {
    let refused = [Refused::Finalizers, Refused::Statuses, Refused::Accounts];
    let (Some(namespace), Some(refused), Some(code)) = (
        shared.pick(&world.namespaces),
        shared.pick(&refused),
        shared.pick(&[403, 409, 422, 422, 500]),
    ) else {
        return;
    };
    let time = Duration::from_secs(shared.draw(5..=600));
    shared.refuse(&namespace, refused, code, time);
}
