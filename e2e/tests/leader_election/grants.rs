//! A leader that cannot list grants afresh.

use super::*;

/// The list of the one that takes over never comes, and its watch goes on.
#[tokio::test]
async fn nothing_is_given_before_grants_are_listed_afresh() -> anyhow::Result<()> {
    let mut operators = Operators::start_with(Options {
        proxies: true,
        flags: &["--grants=enforce"],
        ..Options::default()
    })
    .await?;
    let env: &'static Environment = operators.env;
    let shop = env.namespace("doubted").await?;
    shop.grant("all", json!({})).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let lists = CallMatcher {
        method: "GET".to_owned(),
        path: "/apis/azwib.dev/v1alpha1/identitygrants".to_owned(),
    };
    operators.proxy("two").slow_down(&lists, HANGS)?;
    operators.kill("one").await?;
    operators.until_led_by("two").await?;
    let two = operators.of("two");
    until("the term to begin without a list", PATIENCE, async || {
        let log = two.log()?;
        Ok(log.contains("grants were not listed afresh").then_some(()))
    })
    .await?;
    let identity = shop.identity("later").await?;
    shop.bind_to("later", &identity).await?;
    until("the binding to wait", PATIENCE, async || {
        let later = shop.bindings().get("later").await?;
        let ready = condition(&later, "Ready");
        let waits = ready.is_some_and(|it| it.message.contains("listed the grants"));
        Ok(waits.then_some(()))
    })
    .await?;
    assert_eq!(shop.operator_writes("later").await?, 0);
    let orders = shop.bindings().get("orders").await?;
    let ready = condition(&orders, "Ready").context("it is not Ready")?;
    assert_eq!(ready.status, "True", "it keeps what it has: {ready:?}");
    operators.proxy("two").speed_up();
    until("the list of grants", PATIENCE, async || {
        let log = two.log()?;
        Ok(log.contains("grants are listed afresh").then_some(()))
    })
    .await?;
    shop.ready("later").await?;
    operators.end().await
}
