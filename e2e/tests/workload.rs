//! A pod exchanges its ServiceAccount token for an Azure token, with what it carries and nothing else.
#![allow(
    clippy::unwrap_used,
    reason = "outside of test functions too, this file is a test"
)]

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::{
    ControlPlane, ControlPlaneOptions, Environment, ProjectedToken, ServiceAccountKeys, Webhook,
    environment::{ManagedIdentity, Namespace},
    examples,
    workload::Refusal,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const AUDIENCE: &str = "api://AzureADTokenExchange";
const RESOURCE: &str = "https://vault.azure.net";
const EXAMPLE: &str = "05-without-webhook.yaml";

// Codes of Entra for an assertion that no credential of the client matches.
const NO_CREDENTIALS: u32 = 70025;
const NO_ISSUER: u32 = 700211;
const NO_AUDIENCE: u32 = 700212;
const NO_SUBJECT: u32 = 700213;

#[tokio::test]
async fn a_labelled_pod_is_given_a_token_of_the_identity_that_its_account_is_bound_to()
-> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("labelled").await?;
    let orders = shop.identity("orders").await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{tokenExpirationSeconds: 7200}}",
        orders.resource_id()
    );
    shop.bind("orders", &spec).await?;
    shop.ready("orders").await?;

    let pod = create(shop.client(), shop.name(), &labelled_pod("orders")).await?;
    let projected = ProjectedToken::of_pod(shop.client(), &pod).await?;
    let injected = &projected.environment;
    assert_eq!(injected.client_id, orders.client_id());
    assert_eq!(injected.tenant_id, env.simulator.tenant().to_string());
    assert_eq!(injected.authority_host, env.simulator.entra());
    assert_eq!(projected.audience, AUDIENCE);
    assert_eq!(projected.expiration_seconds, 7200);

    let claims = projected.claims()?;
    assert_eq!(claims["iss"], env.issuer());
    assert_eq!(
        claims["kubernetes.io"]["pod"]["uid"],
        json!(pod.metadata.uid)
    );
    assert_acts_as(&projected, &orders).await
}

#[tokio::test]
async fn the_example_for_clusters_without_the_webhook_is_given_one_too() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("by-hand").await?;
    let exports = shop.identity("exports").await?;
    let mut binding = examples::document(EXAMPLE, "WorkloadIdentityBinding")?;
    binding["metadata"]["namespace"] = shop.name().into();
    binding["spec"]["identity"]["resourceId"] = exports.resource_id().into();
    env.control_plane.apply(&binding.to_string()).await?;
    let binding = shop.ready("exports").await?;

    let by_hand = example_pod(&binding, env.simulator.entra())?;
    let pod = create(shop.client(), shop.name(), &by_hand).await?;
    let written = serde_json::to_value(&pod)?;
    let (asked, got) = (&by_hand["spec"], &written["spec"]);
    assert_eq!(
        asked["containers"][0]["env"], got["containers"][0]["env"],
        "the webhook has left it alone"
    );
    let projected = ProjectedToken::of_pod(shop.client(), &pod).await?;
    assert_acts_as(&projected, &exports).await
}

#[tokio::test]
async fn without_a_binding_an_annotated_account_is_refused() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("unbound").await?;
    let orders = shop.identity("orders").await?;
    annotate_by_hand(&shop, "orders", &orders).await?;
    let pod = create(shop.client(), shop.name(), &labelled_pod("orders")).await?;
    let projected = ProjectedToken::of_pod(shop.client(), &pod).await?;
    assert_eq!(refusal(&projected).await?.error_codes, [NO_CREDENTIALS]);
    Ok(())
}

#[tokio::test]
async fn another_account_is_refused_whatever_its_annotations_say() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("intruder").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    annotate_by_hand(&shop, "intruder", &orders).await?;
    let pod = create(shop.client(), shop.name(), &labelled_pod("intruder")).await?;
    let projected = ProjectedToken::of_pod(shop.client(), &pod).await?;
    let refusal = refusal(&projected).await?;
    assert_eq!(refusal.error_codes, [NO_SUBJECT]);
    let subject = format!("system:serviceaccount:{}:intruder", shop.name());
    assert!(refusal.error_description.contains(&subject), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("audience").await?;
    let exports = shop.identity("exports").await?;
    shop.bind_to("exports", &exports).await?;
    let binding = shop.ready("exports").await?;
    let mut by_hand = example_pod(&binding, env.simulator.entra())?;
    let source = &mut by_hand["spec"]["volumes"][0]["projected"]["sources"][0];
    assert_eq!(source["serviceAccountToken"]["audience"], AUDIENCE);
    source["serviceAccountToken"]["audience"] = "api://another".into();
    let pod = create(shop.client(), shop.name(), &by_hand).await?;
    let projected = ProjectedToken::of_pod(shop.client(), &pod).await?;
    assert_eq!(refusal(&projected).await?.error_codes, [NO_AUDIENCE]);
    Ok(())
}

#[tokio::test]
async fn a_pod_of_another_cluster_is_refused_even_with_the_same_names() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("cluster").await?;
    let exports = shop.identity("exports").await?;
    shop.bind_to("exports", &exports).await?;
    let binding = shop.ready("exports").await?;

    let keys = ServiceAccountKeys::generate()?;
    let issuer = env.control().register_issuer(keys.jwks().clone()).await?;
    let other = ControlPlane::start(ControlPlaneOptions::with_issuer(&issuer, keys)).await?;
    other.kubectl(&["create", "namespace", shop.name()]).await?;
    other
        .kubectl(&["create", "serviceaccount", "exports", "-n", shop.name()])
        .await?;
    let client = other.client().await?;
    let by_hand = example_pod(&binding, env.simulator.entra())?;
    let pod = create(&client, shop.name(), &by_hand).await?;
    let projected = ProjectedToken::of_pod(&client, &pod).await?;
    assert_eq!(projected.claims()?["iss"], issuer);
    assert_eq!(refusal(&projected).await?.error_codes, [NO_ISSUER]);
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_good_is_refused_once_its_binding_is_deleted() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("deleted").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.bind_to("reports", &orders).await?;
    shop.ready("orders").await?;
    shop.ready("reports").await?;
    let mut tokens = Vec::new();
    for account in ["orders", "reports"] {
        let pod = create(shop.client(), shop.name(), &labelled_pod(account)).await?;
        tokens.push(ProjectedToken::of_pod(shop.client(), &pod).await?);
    }
    let [of_orders, of_reports] = &tokens[..] else {
        unreachable!("one for each account");
    };
    assert_acts_as(of_orders, &orders).await?;

    shop.unbind("orders").await?;
    assert_eq!(refusal(of_orders).await?.error_codes, [NO_SUBJECT]);
    assert_acts_as(of_reports, &orders).await?;
    shop.unbind("reports").await?;
    assert_eq!(refusal(of_reports).await?.error_codes, [NO_CREDENTIALS]);
    Ok(())
}

#[tokio::test]
async fn a_pod_goes_on_signing_in_while_its_binding_is_renamed() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("renamed").await?;
    let orders = shop.identity("orders").await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{name: orders}}",
        orders.resource_id()
    );
    shop.bind("a-old", &spec).await?;
    shop.ready("a-old").await?;
    let pod = create(shop.client(), shop.name(), &labelled_pod("orders")).await?;
    let token = ProjectedToken::of_pod(shop.client(), &pod).await?;
    shop.bind("b-new", &spec).await?;
    shop.ready("b-new").await?;
    assert_acts_as(&token, &orders).await?;
    shop.unbind("a-old").await?;
    assert_acts_as(&token, &orders).await?;
    let pod = create(shop.client(), shop.name(), &labelled_pod("orders")).await?;
    let of_new_pod = ProjectedToken::of_pod(shop.client(), &pod).await?;
    assert_acts_as(&of_new_pod, &orders).await
}

/// The environment of all tests of this file, with the webhook.
async fn environment() -> anyhow::Result<&'static Environment> {
    static WEBHOOK: OnceCell<Webhook> = OnceCell::const_new();
    let env = Environment::shared().await?;
    WEBHOOK.get_or_try_init(|| env.start_webhook()).await?;
    Ok(env)
}

fn labelled_pod(service_account: &str) -> Value {
    json!({
        "metadata": { "labels": { "azure.workload.identity/use": "true" } },
        "spec": {
            "serviceAccountName": service_account,
            "containers": [{ "name": "app", "image": "app" }],
        },
    })
}

/// The pod of the example, with the ids of this binding's status where its file tells to put them.
fn example_pod(binding: &WorkloadIdentityBinding, authority_host: &str) -> anyhow::Result<Value> {
    let deployment = examples::document(EXAMPLE, "Deployment")?;
    let mut pod = deployment["spec"]["template"].clone();
    let identity = binding.status.as_ref().unwrap().identity.as_ref().unwrap();
    let mut put = |name: &str, value: &str| {
        let variables = pod["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        let variable = variables.iter_mut().find(|it| it["name"] == name).unwrap();
        variable["value"] = value.into();
    };
    put("AZURE_CLIENT_ID", &identity.client_id);
    put("AZURE_TENANT_ID", &identity.tenant_id);
    put("AZURE_AUTHORITY_HOST", authority_host);
    Ok(pod)
}

async fn create(client: &Client, namespace: &str, pod: &Value) -> anyhow::Result<Pod> {
    let mut pod: Pod = serde_json::from_value(pod.clone())?;
    pod.metadata.generate_name = Some("pod-".to_owned());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(pods.create(&PostParams::default(), &pod).await?)
}

/// What anybody who may write ServiceAccounts can do, with or without a binding.
async fn annotate_by_hand(
    shop: &Namespace<'_>,
    account: &str,
    identity: &ManagedIdentity,
) -> anyhow::Result<()> {
    let annotations = json!({ "azure.workload.identity/client-id": identity.client_id() });
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": account, "namespace": shop.name(), "annotations": annotations },
    });
    let control_plane = &shop.environment().control_plane;
    control_plane.apply(&account.to_string()).await.map(drop)
}

async fn assert_acts_as(token: &ProjectedToken, identity: &ManagedIdentity) -> anyhow::Result<()> {
    let env = environment().await?;
    let scope = format!("{RESOURCE}/.default");
    let access = token.exchange(&scope, env.ca()).await?.granted()?;
    assert_eq!(access.token_type, "Bearer");
    let claims = access.claims()?;
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["appid"], json!(identity.ids.client_id));
    assert_eq!(claims["oid"], json!(identity.ids.principal_id));
    assert_eq!(claims["tid"], json!(env.simulator.tenant()));
    Ok(())
}

async fn refusal(token: &ProjectedToken) -> anyhow::Result<Refusal> {
    let ca = environment().await?.ca();
    let scope = format!("{RESOURCE}/.default");
    token.exchange(&scope, ca).await?.refused()
}
