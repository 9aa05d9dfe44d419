//! The log of the operator: a line for each pass that changed something, with the fields of docs/reference/logs.md.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use azwib_e2e::environment::Namespace;
use azwib_e2e::{Environment, OperatorProcess, wait};
use serde_json::Value;

const REFERENCE: &str = include_str!("../../docs/reference/logs.md");

/// The fields of the lines so far; `message` is among them.
fn lines(operator: &OperatorProcess) -> Vec<Value> {
    let log = operator.log().unwrap();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    // Not those of libraries, which a filter may show too.
    let own = |line: &Value| {
        line["target"]
            .as_str()
            .unwrap()
            .starts_with("azwib_operator")
    };
    let lines = lines.filter(own);
    lines.map(|line| line["fields"].clone()).collect()
}

/// What the passes over this binding have changed, by their lines.
fn changed(operator: &OperatorProcess, binding: &str) -> Vec<BTreeSet<String>> {
    let of_binding = lines(operator).into_iter().filter(|fields| {
        fields["message"] == "reconciled"
            && fields["binding"] == binding
            && !fields["changed"].is_null()
    });
    let changed = of_binding.map(|fields| fields["changed"].as_str().unwrap().to_owned());
    changed
        .map(|changed| changed.split(',').map(str::to_owned).collect())
        .collect()
}

/// Waits for one more look at the identity, as there is one in each resync period.
async fn looked_at(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let before = shop.asked_of_azure("orders").await?.len();
    wait::until("the identity to be looked at", wait::PATIENCE, async || {
        let now = shop.asked_of_azure("orders").await?.len();
        Ok((now > before).then_some(()))
    })
    .await
}

#[tokio::test]
async fn each_pass_that_changes_something_has_a_line_and_no_other_pass_has_one()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let mut flags = env.operator_flags();
    flags.push("--log-format=json".to_owned());
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("logs").await?;
    let orders = shop.identity("orders").await?;
    // A pass that fails has a line of its own.
    let missing = shop.identity_id("missing");
    shop.bind("lost", &format!("identity: {{resourceId: {missing}}}"))
        .await?;
    shop.failing("lost", "IdentityResolved", "IdentityNotFound")
        .await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let binding = format!("{}/orders", shop.name());
    // A pass begins when the one before has been told.
    looked_at(&shop).await?;
    let made = changed(&operator, &binding);
    let all: BTreeSet<_> = made.iter().flatten().map(String::as_str).collect();
    let expected = ["credential", "finalizer", "serviceaccount", "status"];
    assert_eq!(Vec::from_iter(all), expected);

    // A look finds all as it should be.
    looked_at(&shop).await?;
    assert_eq!(changed(&operator, &binding), made);

    shop.unbind("orders").await?;
    // The line follows on the write that lets the binding go.
    let what = "the line of the pass that has cleaned up";
    wait::until(what, wait::PATIENCE, async || {
        let removed = changed(&operator, &binding).split_off(made.len());
        let removed: BTreeSet<_> = removed.into_iter().flatten().collect();
        let is_told = removed.contains("credential") && removed.contains("finalizer");
        Ok(is_told.then_some(()))
    })
    .await?;
    let fails = lines(&operator);
    let fails = fails.iter().any(|it| !it["retry_in"].is_null());
    assert!(fails, "a line of the pass that failed");
    for fields in lines(&operator) {
        for name in fields.as_object().unwrap().keys() {
            let is_named = name == "message" || REFERENCE.contains(&format!("`{name}`"));
            assert!(
                is_named,
                "docs/reference/logs.md does not name {name}: {fields}"
            );
        }
    }
    Ok(())
}
