//! The leader stands still with a write to Azure under way, for longer than its lease.

use azure_simulator::control::api::{Tunables, When};
use azwib_e2e::environment::interference::HeldRequest;
use kube::api::{DeleteParams, Patch, PatchParams};

use super::operators::{LONG, LONGER, PATIENT};
use super::*;

/// Stops the leader with this request under way.
async fn freeze(operators: &Operators, held: &HeldRequest) -> anyhow::Result<()> {
    held.reached().await?;
    signal(operators.of("one"), Signal::STOP)
}

/// The other one leads, has seen the identity, and keeps off it as long as nobody knows what becomes of the request. To other
/// identities it writes.
async fn taken_over(operators: &Operators, shop: &Namespace<'_>) -> anyhow::Result<()> {
    operators.until_led_by("two").await?;
    operators.until_listed_by("two", shop, "orders").await?;
    let identity = shop.identity("meanwhile").await?;
    shop.bind_to("meanwhile", &identity).await?;
    shop.ready("meanwhile").await.map(drop)
}

/// The new leader has written nothing to the identity before what the old one had under way was settled by time. When that was over
/// is not for the test to say: a machine may be slow.
async fn keeps_off_until_settled(
    operators: &Operators,
    shop: &Namespace<'_>,
    new_leader: &str,
) -> anyhow::Result<()> {
    let of_one = operators.writes_of("one", shop, "orders").await?;
    let under_way = of_one.iter().filter(|it| it.held).map(|it| it.started);
    let under_way = under_way.max().context("one of them was held")?;
    let written = operators.writes_of(new_leader, shop, "orders").await?;
    assert!(!written.is_empty());
    for write in written {
        assert!(
            write.started >= under_way + operators.settles_in(),
            "{write:?}"
        );
    }
    Ok(())
}

/// Another binding comes to the identity: the new leader writes it once that is settled.
async fn bound_once_settled(
    operators: Operators,
    shop: &Namespace<'_>,
    orders: &ManagedIdentity,
    new_leader: &str,
) -> anyhow::Result<()> {
    shop.bind_to("second", orders).await?;
    shop.ready("second").await?;
    keeps_off_until_settled(&operators, shop, new_leader).await?;
    operators.end().await
}

/// Somebody takes the finalizer off, and the binding goes.
async fn strip(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    let off = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let how = PatchParams::default();
    shop.bindings().patch(name, &how, &off).await?;
    shop.until_gone(name).await
}

/// Has the old leader go on. It writes nothing more, and can lead again.
async fn goes_on(mut operators: Operators, shop: &Namespace<'_>) -> anyhow::Result<()> {
    let before = operators.writes_of("one", shop, "orders").await?.len();
    let one = operators.of("one");
    signal(one, Signal::CONT)?;
    one.logs("this process does not lead any more").await?;
    let after = operators.writes_of("one", shop, "orders").await?.len();
    assert_eq!(after, before);
    assert_eq!(operators.stop("two").await?, Exit::Code(0));
    operators.until_led_by("one").await?;
    let identity = shop.identity("last").await?;
    shop.bind_to("last", &identity).await?;
    shop.ready("last").await?;
    operators.end().await
}

#[tokio::test]
async fn a_put_that_comes_late_is_waited_for() -> anyhow::Result<()> {
    let operators = Operators::with_requests(PATIENT).await?;
    let (shop, orders) = settled(&operators, "late-put").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("first", &orders).await?;
    freeze(&operators, &put).await?;
    taken_over(&operators, &shop).await?;
    shop.bind_to("second", &orders).await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.is_empty(), "{of_two:?}");
    put.release().await?;
    for name in ["first", "second"] {
        shop.ready(name).await?;
    }
    assert_eq!(shop.operator_writes("orders").await?, 3, "each once");
    goes_on(operators, &shop).await
}

#[tokio::test]
async fn a_put_whose_answer_is_late_is_not_repeated() -> anyhow::Result<()> {
    let operators = Operators::with_requests(PATIENT).await?;
    let (shop, orders) = settled(&operators, "late-answer").await?;
    let put = shop.hold("PUT", "orders", When::AfterEffect).await?;
    shop.bind_to("first", &orders).await?;
    freeze(&operators, &put).await?;
    taken_over(&operators, &shop).await?;
    shop.ready("first").await?;
    assert_eq!(shop.operator_writes("orders").await?, 2);
    put.release().await?;
    goes_on(operators, &shop).await
}

#[tokio::test]
async fn a_put_that_never_comes_is_repeated_once_it_is_settled() -> anyhow::Result<()> {
    let operators = Operators::with_requests(LONG).await?;
    let (shop, orders) = settled(&operators, "lost-put").await?;
    let put = shop.hold_lost("PUT", "orders").await?;
    shop.bind_to("first", &orders).await?;
    freeze(&operators, &put).await?;
    put.release().await?;
    taken_over(&operators, &shop).await?;
    shop.ready("first").await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert_eq!(of_two.len(), 1, "{of_two:?}");
    keeps_off_until_settled(&operators, &shop, "two").await?;
    goes_on(operators, &shop).await
}

#[tokio::test]
async fn a_delete_that_comes_late_is_waited_for() -> anyhow::Result<()> {
    let operators = Operators::with_requests(LONGER).await?;
    let (shop, orders, delete) =
        with_a_deletion_under_way(&operators, "late-delete", &["first"]).await?;
    freeze(&operators, &delete).await?;
    taken_over(&operators, &shop).await?;
    shop.bind_to("second", &orders).await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.is_empty(), "{of_two:?}");
    delete.release().await?;
    shop.until_gone("first").await?;
    shop.ready("second").await?;
    assert_eq!(deleted(&shop, "orders").await?, 1);
    let puts = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(puts.len(), 3, "each once");
    goes_on(operators, &shop).await
}

/// A binding of the same name, made anew, has the same credential: a late DELETE would take it away.
#[tokio::test]
async fn a_delete_that_never_comes_does_not_reach_what_is_made_anew() -> anyhow::Result<()> {
    let operators = Operators::with_requests(LONG).await?;
    let (shop, orders) = settled(&operators, "lost-delete").await?;
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    let delete = shop.hold_lost("DELETE", "orders").await?;
    let how = DeleteParams::default();
    shop.bindings().delete("first", &how).await?;
    freeze(&operators, &delete).await?;
    delete.release().await?;
    taken_over(&operators, &shop).await?;
    shop.until_gone("first").await?;
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    assert_eq!(deleted(&shop, "orders").await?, 1);
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    keeps_off_until_settled(&operators, &shop, "two").await?;
    goes_on(operators, &shop).await
}

/// The watch of the one that waits has fallen silent, so it has seen nothing of what the leader does. What its list has and its watch
/// has not shown keeps it off.
#[tokio::test]
async fn one_whose_watch_is_silent_keeps_off_what_it_has_not_seen() -> anyhow::Result<()> {
    let mut operators = Operators::start_with(Options {
        proxies: true,
        requests: Some(LONG),
        ..Options::default()
    })
    .await?;
    let (shop, orders) = settled(&operators, "silent-watch").await?;
    for name in BOTH {
        shop.bind_to(name, &orders).await?;
        shop.ready(name).await?;
    }
    // Its watch has come as far as that once this one is Ready.
    works_beside(&shop, "meanwhile", 3).await?;
    let bindings = "/apis/azwib.dev/v1alpha1/workloadidentitybindings";
    operators.proxy("two").silence_watches(bindings)?;
    // Something to write for whoever does not know of the deletion.
    let (arm, id) = (operators.env.arm().await?, orders.resource_id());
    let of_second = shop.credential_name("second")?;
    arm.delete(&format!("{id}/federatedIdentityCredentials/{of_second}"))
        .await?;
    let delete = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
    let how = DeleteParams::default();
    shop.bindings().delete("first", &how).await?;
    delete.reached().await?;
    operators.kill("one").await?;
    operators.until_led_by("two").await?;
    let two = operators.of("two");
    two.logs("the leader before may have something under way")
        .await?;
    until("two to write to orders", PATIENCE, async || {
        let of_two = operators.writes_of("two", &shop, "orders").await?;
        Ok((!of_two.is_empty()).then_some(()))
    })
    .await?;
    keeps_off_until_settled(&operators, &shop, "two").await?;
    operators.proxy("two").mend();
    shop.until_gone("first").await?;
    shop.ready("second").await?;
    operators.end().await
}

/// Somebody takes the finalizer off a binding whose credential is being deleted, and so no record shows that any more.
#[tokio::test]
async fn what_a_binding_had_that_has_gone_is_kept_off() -> anyhow::Result<()> {
    let mut operators = Operators::with_requests(LONG).await?;
    let (shop, orders, _delete) =
        with_a_deletion_under_way(&operators, "gone-delete", &["first"]).await?;
    strip(&shop, "first").await?;
    operators.kill("one").await?;
    operators.until_led_by("two").await?;
    bound_once_settled(operators, &shop, &orders, "two").await
}

/// Azure's reads lag behind a deletion that the old leader has seen the end of, and the binding is made anew.
#[tokio::test]
async fn what_is_made_anew_does_not_count_on_a_credential_that_is_gone() -> anyhow::Result<()> {
    let mut operators = Operators::with_requests(LONG).await?;
    let (shop, orders) = settled(&operators, "lag").await?;
    let control = operators.env.control();
    let before = control.tunables().await?;
    let lagging = Tunables {
        read_lag_seconds: LONG.as_secs(),
        ..before.clone()
    };
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    let (with_lag, deleted) = (control.set_tunables(&lagging), shop.unbind("first"));
    with_lag.await?;
    deleted.await?;
    assert_eq!(operators.stop("one").await?, Exit::Code(0));
    operators.until_led_by("two").await?;
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    control.set_tunables(&before).await?;
    let puts = operators.writes_of("two", &shop, "orders").await?;
    assert_eq!(puts.len(), 1, "{puts:?}");
    // What was written while reads lagged is shown late.
    until("both credentials", PATIENCE, async || {
        let there = shop.credentials(&orders).await?;
        Ok((there.len() == 2).then_some(()))
    })
    .await?;
    operators.end().await
}

/// Requests that are given up soon, and count as under way for long after that.
const GIVEN_UP: Options = Options {
    proxies: false,
    requests: None,
    settles: Some(LONGER),
    flags: &[],
};

/// The old leader does not wait for the answer any longer, and gives the Lease back.
#[tokio::test]
async fn a_lease_that_is_given_back_says_nothing_of_what_is_under_way() -> anyhow::Result<()> {
    let mut operators = Operators::start_with(GIVEN_UP).await?;
    let (shop, orders, _delete) =
        with_a_deletion_under_way(&operators, "given-back", &["first"]).await?;
    strip(&shop, "first").await?;
    assert_eq!(operators.stop("one").await?, Exit::Code(0));
    operators.until_led_by("two").await?;
    bound_once_settled(operators, &shop, &orders, "two").await
}

/// Who has taken over is told to end before what the leader before it had under way is settled.
#[tokio::test]
async fn the_next_but_one_keeps_off_what_the_first_had_under_way() -> anyhow::Result<()> {
    let mut operators = Operators::start_with(GIVEN_UP).await?;
    operators.run("three").await?;
    let three = operators.of("three");
    three.probe_until("/readyz", 200, "ok").await?;
    let (shop, orders, _delete) =
        with_a_deletion_under_way(&operators, "chain", &["first"]).await?;
    strip(&shop, "first").await?;
    operators.kill("one").await?;
    let next = operators.until_led().await?;
    let last = if next == "two" { "three" } else { "two" };
    assert_eq!(operators.stop(next).await?, Exit::Code(0));
    operators.until_led_by(last).await?;
    bound_once_settled(operators, &shop, &orders, last).await
}

/// Another binding of the same account finds the credential in Azure that is about to be deleted.
#[tokio::test]
async fn a_credential_that_is_being_deleted_is_handed_to_nobody() -> anyhow::Result<()> {
    let operators = Operators::with_requests(LONGER).await?;
    let (shop, orders) = settled(&operators, "handed").await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: shared}}");
    shop.bind("older", &spec).await?;
    shop.ready("older").await?;
    let delete = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
    let how = DeleteParams::default();
    shop.bindings().delete("older", &how).await?;
    freeze(&operators, &delete).await?;
    shop.bind("younger", &spec).await?;
    taken_over(&operators, &shop).await?;
    delete.release().await?;
    shop.ready("younger").await?;
    // Not the one that it had found there.
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.iter().any(|it| it.method == "PUT"), "{of_two:?}");
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    goes_on(operators, &shop).await
}

/// Without a grace the deletion follows at once on the end of the grant.
#[tokio::test]
async fn a_deletion_without_grace_is_on_record_before_it_is_sent() -> anyhow::Result<()> {
    let mut operators = Operators::start_with(Options {
        flags: &["--revocation-grace=0s", "--grants=enforce"],
        ..GIVEN_UP
    })
    .await?;
    let env: &'static Environment = operators.env;
    let shop = env.namespace("no-grace").await?;
    for name in ["first", "second"] {
        let spec = json!({ "serviceAccounts": { "names": [name] } });
        shop.grant(name, spec).await?;
    }
    let orders = shop.identity("orders").await?;
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    let delete = shop.hold("DELETE", "orders", When::BeforeEffect).await?;
    shop.revoke("first").await?;
    delete.reached().await?;
    let first = shop.bindings().get("first").await?;
    let granted = condition(&first, "Granted").context("it says nothing of grants")?;
    assert_eq!(granted.status, "False", "{granted:?}");
    operators.kill("one").await?;
    operators.until_led_by("two").await?;
    bound_once_settled(operators, &shop, &orders, "two").await
}
