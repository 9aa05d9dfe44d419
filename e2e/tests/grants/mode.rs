//! Whether grants are required: audited, off, and where the flag is not given.

use std::collections::BTreeMap;

use azwib_e2e::Environment;
use azwib_e2e::environment::{condition, repository};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{granted, is_granted_by, options, version};

#[tokio::test]
async fn audit_refuses_nothing_and_says_what_would_be_refused() -> anyhow::Result<()> {
    let env = Environment::start(options(Some("audit"))).await?;
    let shop = env.namespace("audited").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let (status, reason, message) = granted(&binding);
    assert_eq!((&*status, &*reason), ("True", "WouldBeRefused"));
    assert!(message.contains("no IdentityGrant lets"), "{message}");
    assert!(message.contains("--grants=enforce"), "{message}");
    let event = shop.event("WouldBeRefused").await?;
    assert!(event.contains("--grants=enforce"), "{event}");
    let refused = "azwib_bindings{condition=\"Granted\",status=\"True\",reason=\"WouldBeRefused\"}";
    for sample in ["azwib_grants_mode{mode=\"audit\"}", refused] {
        env.until_metric(sample, |it| it == 1.0).await?;
    }
    shop.grant_all("it").await?;
    shop.until("orders", "granted", |it| {
        is_granted_by(it, &shop.grant_name("it"))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn without_the_flag_what_was_there_before_is_audited_until_it_is_granted()
-> anyhow::Result<()> {
    let mut before = options(Some("off"));
    before.start_operator = false;
    let env = Environment::start(before).await?;
    let mut flags = env.operator_flags();
    let operator = env
        .operator_with(flags.clone(), BTreeMap::new(), None)
        .await?;
    let shop = env.namespace("before").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(granted(&binding).1, "GrantsNotRequired");
    operator.terminate().await?;

    flags.retain(|flag| !flag.starts_with("--grants"));
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let audited = shop
        .until("orders", "audited", |it| granted(it).1 == "WouldBeRefused")
        .await?;
    operator
        .logs("grants=\"audit\" why=\"the flag is not given, and bindings have something")
        .await?;
    let told = env.existing_namespace("default").await?;
    let event = told.event_saying("GrantsMode", "audit").await?;
    assert!(event.contains("the flag is not given"), "{event}");
    // Others are admitted as well meanwhile.
    shop.bind_to("later", &orders).await?;
    shop.ready("later").await?;
    shop.grant_all("it").await?;
    shop.until("later", "granted", |it| {
        is_granted_by(it, &shop.grant_name("it"))
    })
    .await?;
    let versions = shop
        .versions_until(&audited, "granted", |it| {
            is_granted_by(it, &shop.grant_name("it"))
        })
        .await?;
    for it in versions.iter().chain([&audited]) {
        assert_eq!(
            condition(it, "Ready").unwrap().status,
            "True",
            "{}",
            version(it)
        );
    }
    // Now that nobody needs none, they are enforced.
    let other = env.namespace("after").await?;
    let theirs = other.identity("orders").await?;
    other.bind_to("orders", &theirs).await?;
    other.failing("orders", "Ready", "NotGranted").await?;
    operator
        .logs("grants=\"enforce\" why=\"the flag is not given, and no binding has anything")
        .await?;
    told.event_saying("GrantsMode", "enforce").await?;
    Ok(())
}

#[tokio::test]
async fn while_grants_cannot_be_listed_nothing_is_made_and_nothing_is_taken_away()
-> anyhow::Result<()> {
    let mut enforced = options(Some("enforce"));
    enforced.start_operator = false;
    let env = Environment::start(enforced).await?;
    let flags = env.operator_flags();
    let operator = env
        .operator_with(flags.clone(), BTreeMap::new(), None)
        .await?;
    let shop = env.namespace("unlisted").await?;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let kept = shop.identity("kept").await?;
    let retain = "identity: {resourceId: ID}, deletionPolicy: Retain";
    shop.bind("kept", &retain.replace("ID", kept.resource_id()))
        .await?;
    shop.ready("kept").await?;
    operator.terminate().await?;
    // Its deletion is all that the next operator sees of this one.
    shop.identity("unseen").await?;
    shop.bind(
        "unseen",
        &format!("identity: {{resourceId: {}}}", shop.identity_id("unseen")),
    )
    .await?;
    let finalizer = json!({ "metadata": { "finalizers": ["azwib.dev/cleanup"] } });
    let finalizer = Patch::Merge(finalizer);
    let bindings = shop.bindings();
    bindings
        .patch("unseen", &PatchParams::default(), &finalizer)
        .await?;
    bindings.delete("unseen", &DeleteParams::default()).await?;

    let crd = repository().join("config/crd/azwib.dev_identitygrants.yaml");
    let crd = crd.to_str().unwrap();
    let kubectl = async |arguments: &[&str]| env.control_plane.kubectl(arguments).await;
    kubectl(&["delete", "-f", crd]).await?;
    let _operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    shop.bind_to("later", &orders).await?;
    let told = shop.failing("later", "Ready", "Pending").await?;
    assert!(told.message.contains("identitygrants"), "{}", told.message);
    assert!(
        told.message.contains("kubectl apply -k config/default"),
        "{}",
        told.message
    );
    assert!(shop.service_accounts().get_opt("later").await?.is_none());
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    let same = shop.bindings().get("orders").await?;
    assert_eq!(version(&same), version(&binding));
    // Whether it may leave its credential behind is not known either, so it does not go.
    shop.bindings()
        .delete("kept", &DeleteParams::default())
        .await?;
    let waits = shop.failing("kept", "Ready", "Pending").await?;
    assert!(
        waits.message.contains("identitygrants"),
        "{}",
        waits.message
    );
    assert_eq!(shop.credentials(&kept).await?.len(), 1);
    // Nor is it known whether azwib may look for what a lost status may have recorded.
    let waits = shop.failing("unseen", "Ready", "Pending").await?;
    assert!(
        waits.message.contains("identitygrants"),
        "{}",
        waits.message
    );
    assert_eq!(shop.asked_of_azure("unseen").await?, Vec::<String>::new());

    kubectl(&["apply", "-f", crd]).await?;
    kubectl(&["wait", "--for=condition=Established", "-f", crd]).await?;
    shop.grant_all("it").await?;
    shop.ready("later").await?;
    let same = shop.bindings().get("orders").await?;
    assert_eq!(version(&same), version(&binding), "Ready all the time");
    shop.until_gone("kept").await?;
    shop.until_gone("unseen").await?;
    assert_eq!(shop.credentials(&kept).await?.len(), 0, "no allowRetain");
    Ok(())
}
