//! The leader stands still with a write to Azure under way, for longer than its lease.

use azure_simulator::control::api::When;
use azwib_e2e::environment::interference::HeldRequest;

use super::*;

/// Stops the leader with this request under way. The other one leads, has seen the identity, and keeps off it as long as nobody
/// knows what becomes of the request. To other identities it writes.
async fn frozen_with(
    operators: &mut Operators,
    shop: &Namespace<'_>,
    held: &HeldRequest,
) -> anyhow::Result<OperatorProcess> {
    held.reached().await?;
    signal(operators.of("one"), Signal::STOP)?;
    let frozen = operators.running.remove("one").context("it runs")?;
    operators.until_led_by("two").await?;
    operators.until_listed_by("two", shop, "orders").await?;
    let identity = shop.identity("meanwhile").await?;
    shop.bind_to("meanwhile", &identity).await?;
    shop.ready("meanwhile").await?;
    Ok(frozen)
}

/// Has the old leader go on. It writes nothing more, and can lead again.
async fn goes_on(
    mut operators: Operators,
    shop: &Namespace<'_>,
    frozen: OperatorProcess,
) -> anyhow::Result<()> {
    let before = operators.writes_of("one", shop, "orders").await?.len();
    signal(&frozen, Signal::CONT)?;
    frozen.logs("this process does not lead any more").await?;
    operators.running.insert("one", frozen);
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
    let mut operators = Operators::with_long_requests().await?;
    let (shop, orders) = settled(&operators, "late-put").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("first", &orders).await?;
    let frozen = frozen_with(&mut operators, &shop, &put).await?;
    shop.bind_to("second", &orders).await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.is_empty(), "{of_two:?}");
    put.release().await?;
    for name in ["first", "second"] {
        shop.ready(name).await?;
    }
    assert_eq!(shop.operator_writes("orders").await?, 3, "each once");
    goes_on(operators, &shop, frozen).await
}

#[tokio::test]
async fn a_put_whose_answer_is_late_is_not_repeated() -> anyhow::Result<()> {
    let mut operators = Operators::with_long_requests().await?;
    let (shop, orders) = settled(&operators, "late-answer").await?;
    let put = shop.hold("PUT", "orders", When::AfterEffect).await?;
    shop.bind_to("first", &orders).await?;
    let frozen = frozen_with(&mut operators, &shop, &put).await?;
    shop.ready("first").await?;
    assert_eq!(shop.operator_writes("orders").await?, 2);
    put.release().await?;
    goes_on(operators, &shop, frozen).await
}

#[tokio::test]
async fn a_put_that_never_comes_is_repeated_once_it_is_settled() -> anyhow::Result<()> {
    let mut operators = Operators::with_long_requests().await?;
    let (shop, orders) = settled(&operators, "lost-put").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("first", &orders).await?;
    let frozen = frozen_with(&mut operators, &shop, &put).await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.is_empty(), "{of_two:?}");
    // It finds its request too old, and closes the connection: so Azure never carries it out.
    signal(&frozen, Signal::CONT)?;
    frozen.logs("this process does not lead any more").await?;
    shop.ready("first").await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert_eq!(of_two.len(), 1, "{of_two:?}");
    goes_on(operators, &shop, frozen).await
}

#[tokio::test]
async fn a_delete_that_comes_late_is_waited_for() -> anyhow::Result<()> {
    let mut operators = Operators::with_long_requests().await?;
    let (shop, orders, delete) =
        with_a_deletion_under_way(&operators, "late-delete", &["first"]).await?;
    let frozen = frozen_with(&mut operators, &shop, &delete).await?;
    shop.bind_to("second", &orders).await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.is_empty(), "{of_two:?}");
    delete.release().await?;
    shop.until_gone("first").await?;
    shop.ready("second").await?;
    assert_eq!(deleted(&shop, "orders").await?, 1);
    let puts = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(puts.len(), 3, "each once");
    goes_on(operators, &shop, frozen).await
}

/// A binding of the same name, made anew, has the same credential: a late DELETE would take it away.
#[tokio::test]
async fn a_delete_that_never_comes_does_not_reach_what_is_made_anew() -> anyhow::Result<()> {
    let mut operators = Operators::with_long_requests().await?;
    let (shop, orders, delete) =
        with_a_deletion_under_way(&operators, "lost-delete", &["first"]).await?;
    let frozen = frozen_with(&mut operators, &shop, &delete).await?;
    let of_two = operators.writes_of("two", &shop, "orders").await?;
    assert!(of_two.is_empty(), "{of_two:?}");
    signal(&frozen, Signal::CONT)?;
    frozen.logs("this process does not lead any more").await?;
    shop.until_gone("first").await?;
    shop.bind_to("first", &orders).await?;
    shop.ready("first").await?;
    assert_eq!(deleted(&shop, "orders").await?, 1);
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    goes_on(operators, &shop, frozen).await
}
