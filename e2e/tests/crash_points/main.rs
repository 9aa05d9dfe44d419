//! The operator is killed at each of its calls to Azure and at each of its writes to the cluster, before the call takes
//! effect and after it, and is started again: it ends as it would have without that, and nothing is left over.
//!
//! One operator is killed while it stands at all points of a story at once, each in a namespace and on an identity of its
//! own. The tests share an environment and take turns with its operator.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod end_state;
mod point;
mod stage;
mod stories;
mod story;
mod toll;

use self::stories::{
    Creation, DeletedAfterTheCrash, Deletion, DeletionWithAdoptedAccount, DriftInAzure, Revocation,
    TakeOver,
};
use self::story::ends_the_same_wherever_the_operator_is_killed;

#[tokio::test]
async fn a_binding_is_made_true_wherever_the_operator_is_killed() -> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(Creation).await
}

#[tokio::test]
async fn a_binding_that_is_deleted_after_a_crash_leaves_nothing_wherever_the_operator_was_killed()
-> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(DeletedAfterTheCrash).await
}

#[tokio::test]
async fn a_changed_credential_is_put_back_wherever_the_operator_is_killed() -> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(DriftInAzure).await
}

#[tokio::test]
async fn a_deleted_binding_leaves_nothing_wherever_the_operator_is_killed() -> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(Deletion).await
}

#[tokio::test]
async fn a_binding_takes_over_from_an_older_one_wherever_the_operator_is_killed()
-> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(TakeOver).await
}

#[tokio::test]
async fn an_adopted_account_is_given_back_wherever_the_operator_is_killed() -> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(DeletionWithAdoptedAccount).await
}

#[tokio::test]
async fn what_no_grant_covers_any_more_is_taken_away_wherever_the_operator_is_killed()
-> anyhow::Result<()> {
    ends_the_same_wherever_the_operator_is_killed(Revocation).await
}
