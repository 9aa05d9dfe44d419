//! What the user guide tells people to do, done.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use azure_simulator::control::api::RequestRecord;
use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::{
    Environment, EnvironmentOptions,
    environment::{Namespace, PATIENCE, annotation, condition, repository},
    wait,
};
use kube::ResourceExt;

const CLIENT_ID: &str = "azure.workload.identity/client-id";

#[tokio::test]
async fn a_binding_moves_to_another_name_without_a_gap() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("move").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let before = shop.service_accounts().get("orders").await?;

    kubectl(
        &shop,
        &[
            "patch",
            "azwib",
            "orders",
            "--type=merge",
            r#"--patch={"spec":{"deletionPolicy":"Retain"}}"#,
        ],
    )
    .await?;
    let generation = shop
        .bindings()
        .get("orders")
        .await?
        .metadata
        .generation
        .unwrap();
    let observed = format!("--for=jsonpath={{.status.observedGeneration}}={generation}");
    kubectl(
        &shop,
        &["wait", "azwib", "orders", "--timeout=1m", &observed],
    )
    .await?;
    kubectl(&shop, &["delete", "azwib", "orders", "--timeout=1m"]).await?;

    let between = shop.service_accounts().get("orders").await?;
    assert_eq!(between.owner_references(), []);
    assert_eq!(
        annotation(&between, CLIENT_ID),
        annotation(&before, CLIENT_ID)
    );

    let spec = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{name: orders}}",
        orders.resource_id()
    );
    shop.bind("orders-of-the-shop", &spec).await?;
    shop.ready("orders-of-the-shop").await?;
    let after = shop.service_accounts().get("orders").await?;
    assert_eq!(after.uid(), before.uid());
    assert_eq!(
        annotation(&after, CLIENT_ID),
        annotation(&before, CLIENT_ID)
    );
    let writes = writes(&shop, "orders").await?;
    assert_eq!(
        writes.len(),
        1,
        "the credential is written once: {writes:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_account_that_comes_into_git_later_is_given_back_and_stays() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("git").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let origin = |binding: &azwib_crds::WorkloadIdentityBinding| {
        Some(binding.status.as_ref()?.service_account.as_ref()?.origin)
    };
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));

    let manifest = format!(
        "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: orders, namespace: {}, labels: {{team: shop}}}}}}",
        shop.name()
    );
    env.control_plane.apply(&manifest).await?;
    shop.until("orders", "bound to an adopted account", |binding| {
        origin(binding) == Some(ServiceAccountOrigin::Adopted)
    })
    .await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(account.owner_references(), []);
    assert!(
        !account
            .labels()
            .contains_key("app.kubernetes.io/managed-by")
    );
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );

    shop.unbind("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), None);
    assert_eq!(account.labels()["team"], "shop");
    Ok(())
}

#[tokio::test]
async fn a_cleanup_that_azure_refuses_ends_when_the_finalizer_is_taken_away_by_hand()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("giveup").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let control = env.control();
    for assignment in control.role_assignments().await? {
        if assignment
            .scope
            .eq_ignore_ascii_case(&shop.resource_group_id())
        {
            control.delete_role_assignment(assignment.id).await?;
        }
    }

    kubectl(&shop, &["delete", "azwib", "orders", "--wait=false"]).await?;
    shop.until("orders", "kept, with the reason", |binding| {
        condition(binding, "Ready").is_some_and(|ready| ready.reason == "AuthorizationFailed")
    })
    .await?;
    kubectl(
        &shop,
        &[
            "patch",
            "azwib",
            "orders",
            "--type=merge",
            r#"--patch={"metadata":{"finalizers":[]}}"#,
        ],
    )
    .await?;
    shop.until_gone("orders").await?;
    let left = env.arm().await?.credentials(orders.resource_id()).await?;
    assert_eq!(left.len(), 1, "it is for whoever gave up on it to delete");
    Ok(())
}

#[tokio::test]
async fn the_guide_shows_for_which_issuer_the_credential_of_a_binding_was_made()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("issuers").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let guide = azwib_e2e::environment::repository().join("docs/user-guide.md");
    let guide = std::fs::read_to_string(guide)?;
    let command = guide.lines().find(|line| line.contains("ISSUER:.status"));
    let command = command
        .and_then(|line| line.strip_prefix("kubectl "))
        .unwrap();
    let arguments: Vec<_> = command.split(' ').collect();
    let shown = env.control_plane.kubectl(&arguments).await?;
    let of_orders = shown.lines().find(|line| line.starts_with(shop.name()));
    let shown: Vec<_> = of_orders.unwrap().split_whitespace().collect();
    assert_eq!(shown, [shop.name(), "orders", env.issuer()]);
    Ok(())
}

/// The chapter "Grants": from a time without them over the audit to enforcement, and then a revocation.
#[tokio::test]
async fn grants_are_audited_then_enforced_and_revoked_by_the_commands_of_their_chapter()
-> anyhow::Result<()> {
    let mut options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let grace = "--revocation-grace=4s".to_owned();
    options.operator_flags.push(grace);
    let env = Environment::start(options).await?;
    let shop = env.namespace("grants").await?;
    let orders = shop.identity("orders").await?;
    env.start_operator().await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    env.stop_operator().await?;

    // The same cluster, with an operator that is told nothing of grants.
    let mut flags = env.operator_flags();
    flags.retain(|flag| !flag.starts_with("--grants"));
    let _operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let columns = "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,\
                   GRANTED:.status.conditions[?(@.type==\"Granted\")].reason";
    let all = ["get", "azwib", "-A", "-o", columns];
    shown(&shop, &all, "WouldBeRefused").await?;
    let message = r#"jsonpath={.status.conditions[?(@.type=="Granted")].message}"#;
    let of_orders = ["get", "azwib", "orders", "-o", message];
    shown(&shop, &of_orders, &shop.identity_id("orders")).await?;

    env.control_plane.apply(&grant_of_the_guide(&shop)?).await?;
    shown(&shop, &all, " Granted").await?;
    assert!(!kubectl(&shop, &all).await?.contains("WouldBeRefused"));
    shop.ready("orders").await?;
    shown(&shop, &["get", "azgrant"], "True").await?;

    kubectl(&shop, &["delete", "azgrant", "shop"]).await?;
    shop.failing("orders", "Ready", "NotGranted").await?;
    shop.event("NotGranted").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1, "it works on");
    let credential = r#"jsonpath={.status.conditions[?(@.type=="CredentialReady")].reason}"#;
    let of_orders = ["get", "azwib", "orders", "-o", credential];
    shown(&shop, &of_orders, "Revoked").await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

/// "To be faster, delete the binding after the grant."
#[tokio::test]
async fn a_binding_that_is_deleted_after_its_grant_is_cleaned_up_at_once() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions {
        grants: Some("enforce"),
        ..EnvironmentOptions::default()
    })
    .await?;
    let shop = env.namespace("faster").await?;
    let orders = shop.identity("orders").await?;
    let guide = grant_of_the_guide(&shop)?;
    env.control_plane.apply(&guide).await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain");
    shop.bind("orders", &spec).await?;
    shop.ready("orders").await?;
    shop.event("RetainNotGranted").await?;
    kubectl(&shop, &["delete", "azgrant", "shop"]).await?;
    // The grace is five minutes here, and PATIENCE is less.
    kubectl(&shop, &["delete", "azwib", "orders", "--timeout=1m"]).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    Ok(())
}

/// The grant that the guide shows, for this namespace and its resource group.
fn grant_of_the_guide(shop: &Namespace<'_>) -> anyhow::Result<String> {
    let guide = std::fs::read_to_string(repository().join("docs/user-guide.md"))?;
    let (_, chapter) = guide.split_once("### Write a grant").unwrap();
    let (_, block) = chapter.split_once("```yaml\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-shop";
    assert!(block.contains(group) && block.contains("names: [shop]"));
    let ours = block.replace(group, &shop.resource_group_id());
    Ok(ours.replace("names: [shop]", &format!("names: [{}]", shop.name())))
}

/// Waits until kubectl shows this text.
async fn shown(shop: &Namespace<'_>, args: &[&str], text: &str) -> anyhow::Result<()> {
    wait::until(&format!("{args:?} to show {text}"), PATIENCE, async || {
        Ok(kubectl(shop, args).await?.contains(text).then_some(()))
    })
    .await
}

async fn kubectl(namespace: &Namespace<'_>, args: &[&str]) -> anyhow::Result<String> {
    let namespaced = [&["-n", namespace.name()][..], args].concat();
    namespace
        .environment()
        .control_plane
        .kubectl(&namespaced)
        .await
}

/// The writes that Azure saw for an identity's credentials.
async fn writes(namespace: &Namespace<'_>, identity: &str) -> anyhow::Result<Vec<RequestRecord>> {
    let id = namespace.identity_id(identity).to_lowercase();
    let requests = namespace.environment().control().requests().await?;
    Ok(requests
        .into_iter()
        .filter(|request| request.path.to_lowercase().starts_with(&id))
        .filter(|request| request.method != "GET")
        .collect())
}
