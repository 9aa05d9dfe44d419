//! The resource group goes, whatever happens.

use std::time::Duration;

use azure_simulator::control::api::{Fault, Hold, HoldState, Matcher, When};

use crate::support::{Azure, Outcome, operation, path, respond, send_signal};

async fn nothing_is_left(azure: &Azure, outcome: &Outcome) {
    assert_eq!(azure.groups().await, [""; 0], "{}", outcome.stderr);
}

#[tokio::test]
async fn a_probe_that_fails_keeps_neither_the_others_nor_the_removal() {
    let azure = Azure::start().await;
    let fault = respond(
        path("**/duplicate/federatedIdentityCredentials/*"),
        500,
        "Broken",
    );
    azure.control.add_fault(&fault).await.unwrap();
    let outcome = azure.run(&[]).await;
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let error = "probe duplicate: write a credential: 500 Broken \"No.\"; Azure has a problem: try again later";
    assert_eq!(outcome.json["errors"][0], error);
    assert!(
        outcome.stdout.contains("deletion below a lock"),
        "{}",
        outcome.stdout
    );
    nothing_is_left(&azure, &outcome).await;
}

#[tokio::test]
async fn after_sigterm_the_group_goes() {
    let azure = Azure::start().await;
    let listing = operation("FederatedIdentityCredentials_List");
    let outcome = azure.interrupt(listing, "-TERM").await;
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("SIGTERM: the probes end here"),
        "{}",
        outcome.stderr
    );
    // What was seen until then is told.
    assert!(
        outcome.stdout.contains("answer to one more"),
        "{}",
        outcome.stdout
    );
    nothing_is_left(&azure, &outcome).await;
}

#[tokio::test]
async fn after_sigint_a_lock_goes_too() {
    let azure = Azure::start().await;
    let deletion = Matcher {
        method: Some("DELETE".to_owned()),
        ..path("**/lock/federatedIdentityCredentials/first")
    };
    let outcome = azure.interrupt(deletion, "-INT").await;
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    nothing_is_left(&azure, &outcome).await;
}

#[tokio::test]
async fn a_signal_while_the_group_is_made_waits_for_it() {
    let azure = Azure::start().await;
    let matcher = operation("ResourceGroups_CreateOrUpdate");
    let hold = Hold {
        matcher,
        nth: 1,
        // It is made, and the answer is not there yet.
        when: When::AfterEffect,
    };
    let hold = azure.control.add_hold(&hold).await.unwrap();
    let child = azure.start_tool(&[]).await;
    let patience = Duration::from_secs(60);
    azure.control.wait_for_hold(hold, patience).await.unwrap();
    send_signal(&child, "-TERM");
    azure.control.release_hold(hold).await.unwrap();
    let outcome = azure.outcome(child.wait_with_output().await.unwrap());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    nothing_is_left(&azure, &outcome).await;
}

#[tokio::test]
async fn where_it_cannot_be_removed_the_command_is_named() {
    let azure = Azure::start().await;
    let fault = respond(operation("ResourceGroups_Delete"), 409, "Busy");
    azure.control.add_fault(&fault).await.unwrap();
    let outcome = azure.run(&["--only=duplicate"]).await;
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let groups = azure.groups().await;
    assert_eq!(groups.len(), 1);
    assert!(groups[0].starts_with("azwib-conformance-"), "{groups:?}");
    let by_hand = format!("--name {}", groups[0]);
    let error = outcome.json["errors"][0].as_str().unwrap();
    assert!(
        error.contains("az group delete") && error.contains(&by_hand),
        "{error}"
    );
}

#[tokio::test]
async fn a_group_that_takes_its_time_is_waited_for() {
    let azure = Azure::start().await;
    // As Azure does: 202, and it is shown for a while.
    let accepted = Fault {
        when: When::AfterEffect,
        ..respond(operation("ResourceGroups_Delete"), 202, "")
    };
    let shown = Fault {
        times: Some(2),
        ..respond(operation("ResourceGroups_Get"), 200, "")
    };
    for fault in [accepted, shown] {
        azure.control.add_fault(&fault).await.unwrap();
    }
    let outcome = azure.run(&["--only=token"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let requests = azure.control.requests().await.unwrap();
    let reads = requests
        .iter()
        .filter(|it| it.operation == "ResourceGroups_Get");
    assert_eq!(reads.count(), 3);
}

#[tokio::test]
async fn a_group_that_does_not_go_is_named_in_the_end() {
    let azure = Azure::start().await;
    let fault = respond(operation("ResourceGroups_Delete"), 202, "");
    azure.control.add_fault(&fault).await.unwrap();
    let outcome = azure.run(&["--only=token", "--patience=1s"]).await;
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let error = outcome.json["errors"][0].as_str().unwrap();
    assert!(
        error.contains("is still there after") && error.contains("az group delete"),
        "{error}"
    );
}

/// A second signal: who asks twice is not made to wait.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let azure = Azure::start().await;
    let hold = async |name: &str| {
        let hold = Hold {
            matcher: operation(name),
            nth: 1,
            when: When::BeforeEffect,
        };
        azure.control.add_hold(&hold).await.unwrap()
    };
    let listing = hold("FederatedIdentityCredentials_List").await;
    let removal = hold("ResourceGroups_Delete").await;
    let child = azure.start_tool(&[]).await;
    for hold in [listing, removal] {
        let patience = Duration::from_secs(60);
        let state = azure.control.wait_for_hold(hold, patience).await.unwrap();
        assert_eq!(state, HoldState::Reached);
        send_signal(&child, "-TERM");
    }
    let outcome = azure.outcome(child.wait_with_output().await.unwrap());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains("remove it by hand: az group delete"),
        "{}",
        outcome.stderr
    );
}
