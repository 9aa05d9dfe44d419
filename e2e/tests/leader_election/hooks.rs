//! Admission hooks that outlast the claim: a write of the old leader to the cluster is under way when the next one leads.

use azwib_e2e::environment::slow_webhook::SlowWebhook;

use super::*;

/// Longer than anything in this test takes: it ends by itself only where something has gone wrong.
const HELD: Duration = Duration::from_secs(30);

/// A write of the leader hangs in a hook, and its renewals hang. The other one leads, and then the hook lets go: at once, or when
/// the old leader has given up its pass.
async fn hung_in_a_hook(purpose: &str, is_given_up: bool) -> anyhow::Result<()> {
    let operators = Operators::behind_proxies().await?;
    let (shop, _) = settled(&operators, purpose).await?;
    let first = shop.identity("first").await?;
    let hook = SlowWebhook::start(&operators.client, shop.name(), HELD).await?;
    shop.bind_to("first", &first).await?;
    until("a write in the hook", PATIENCE, async || {
        Ok((hook.most_held() > 0).then_some(()))
    })
    .await?;
    let one = operators.of("one");
    operators.proxy("one").slow_down(&renewals(), HANGS)?;
    one.logs("the lease was not renewed in time").await?;
    operators.until_led_by("two").await?;
    if is_given_up {
        one.logs("passes under way were given up").await?;
    }
    drop(hook);
    shop.ready("first").await?;
    assert_eq!(shop.operator_writes("first").await?, 1);
    one.logs("this process does not lead any more").await?;
    assert_eq!(one.exit(), None, "{}", one.log_tail());
    works(&shop, "later").await?;
    operators.proxy("one").speed_up();
    operators.end().await
}

#[tokio::test]
async fn a_write_that_a_hook_lets_go_late_is_harmless() -> anyhow::Result<()> {
    hung_in_a_hook("hook-late", false).await
}

#[tokio::test]
async fn a_write_that_hangs_in_a_hook_is_given_up() -> anyhow::Result<()> {
    hung_in_a_hook("hook-hangs", true).await
}
