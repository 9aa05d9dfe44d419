//! The resource group that holds all that the probes make.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::arm::{Arm, GroupId, LOCKS, RESOURCES, Request};
use crate::error::Error;
use crate::probes::Waiting;

/// What stands before the random part of the name.
const PREFIX: &str = "azwib-conformance";

/// A name that nobody has yet.
pub(crate) fn new_id(subscription: Uuid) -> GroupId {
    let random = Uuid::new_v4().simple().to_string();
    GroupId {
        subscription,
        // With an s: one probe asks for a group that looks alike.
        name: format!("{PREFIX}-tests-{}", &random[..8]),
    }
}

/// How to remove it by hand.
pub(crate) fn removal_by_hand(group: &GroupId) -> String {
    format!(
        "az group delete --yes --subscription {} --name {}",
        group.subscription, group.name
    )
}

/// Makes it, with tags that say what it is and since when.
///
/// # Errors
/// Resource Manager refuses.
pub(crate) async fn create(arm: &Arm, group: &GroupId, location: &str) -> Result<(), Error> {
    let body = json!({
        "location": location,
        "tags": {
            "purpose": "probes of azwib's make conformance; can be deleted",
            "created": Timestamp::now().to_string(),
        },
    });
    arm.succeed(&Request::put(group.id(), body).version(RESOURCES))
        .await
        .map(drop)
}

/// Removes it with all that is in it, locks first, and waits until it is gone.
///
/// # Errors
/// Resource Manager refuses, or it takes too long.
pub(crate) async fn remove(arm: &Arm, group: &GroupId, waiting: Waiting) -> Result<(), Error> {
    let started = Instant::now();
    let request = |it: Request| it.version(RESOURCES);
    loop {
        unlock(arm, group).await?;
        let answer = arm.send(&request(Request::delete(group.id()))).await?;
        if answer.status == 404 {
            return Ok(());
        }
        // A lock that was taken away still counts for a moment.
        let is_locked = answer.code() == "ScopeLocked";
        if !answer.is_success() && !is_locked {
            return arm.refused(&format!("DELETE {}", group.id()), answer);
        }
        if !is_locked {
            break;
        }
        waiting
            .pause(started, || format!("{} is still locked", group.name))
            .await?;
    }
    // 202: Azure removes it in its own time.
    while arm.send(&request(Request::get(group.id()))).await?.status != 404 {
        waiting
            .pause(started, || format!("{} is still there", group.name))
            .await?;
    }
    Ok(())
}

/// Takes away the locks in it: a probe that was interrupted leaves one. Who may not read locks has made none.
async fn unlock(arm: &Arm, group: &GroupId) -> Result<(), Error> {
    let list = arm
        .send(&Request::get(group.locks()).version(LOCKS))
        .await?;
    // One that is on the subscription is not ours.
    let below = format!("{}/", group.id()).to_lowercase();
    for lock in list.body["value"].as_array().into_iter().flatten() {
        let id = lock["id"].as_str().unwrap_or_default();
        if id.to_lowercase().starts_with(&below) {
            arm.succeed(&Request::delete(id).version(LOCKS)).await?;
        }
    }
    Ok(())
}
