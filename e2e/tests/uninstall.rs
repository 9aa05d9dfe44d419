//! docs/uninstall.md: remove everything, or leave everything running without azwib.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, annotation, repository};
use azwib_e2e::supervisor::binary_beside;
use azwib_e2e::{Environment, assets, wait};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

const UNINSTALL: &str = include_str!("../../docs/uninstall.md");
const CLIENT_ID: &str = "azure.workload.identity/client-id";

fn release(kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let operator = binary_beside("azwib-operator", "cargo build -p azwib-operator")?;
    let mut command = Command::new(operator);
    command.arg("release").args(arguments);
    command.env_clear().env("KUBECONFIG", kubeconfig);
    Ok(tokio::task::block_in_place(|| command.output())?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `make undeploy` on the cluster of this kubeconfig.
fn undeploy(kubeconfig: &Path) -> anyhow::Result<Output> {
    let kubectl = assets::control_plane()?.kubectl;
    let kubectl = format!(
        "KUBECTL={} --kubeconfig={}",
        kubectl.display(),
        kubeconfig.display()
    );
    let mut command = Command::new("make");
    command
        .args(["undeploy", &kubectl])
        .current_dir(repository());
    // This test itself may run below a make.
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    Ok(tokio::task::block_in_place(|| command.output())?)
}

/// The flags of an operator that takes part in the election.
fn electing(env: &Environment) -> Vec<String> {
    let mut flags = env.operator_flags();
    flags.extend([
        "--leader-elect".to_owned(),
        "--leader-election-namespace=azwib-system".to_owned(),
        "--request-timeout=2s".to_owned(),
        "--leader-elect-lease-duration=3s".to_owned(),
        "--leader-elect-renew-deadline=2s".to_owned(),
        "--leader-elect-retry-period=500ms".to_owned(),
    ]);
    flags
}

async fn account(shop: &Namespace<'_>, name: &str) -> anyhow::Result<ServiceAccount> {
    Ok(shop.service_accounts().get(name).await?)
}

/// Two bindings: azwib makes the account `orders`, and adopts the account `old`, which has an owner of its own.
async fn bind(shop: &Namespace<'_>, orders: &ManagedIdentity) -> anyhow::Result<()> {
    let old = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "old", "ownerReferences": [
        { "apiVersion": "example.com/v1", "kind": "Shop", "name": "shop", "uid": "5d6c3c5e-3b3a-4a57-a7d1-0d5a1f2f4a7e" },
    ] } });
    let old: ServiceAccount = serde_json::from_value(old)?;
    shop.service_accounts()
        .create(&Default::default(), &old)
        .await?;
    shop.bind_to("orders", orders).await?;
    shop.bind_to("old", orders).await?;
    shop.ready("orders").await?;
    shop.ready("old").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_stays_when_the_bindings_go() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("shop").await?;
    let orders = shop.identity("orders").await?;
    let operator = env
        .operator_with(electing(&env), BTreeMap::new(), None)
        .await?;
    bind(&shop, &orders).await?;
    let before = account(&shop, "orders").await?;
    assert_eq!(before.owner_references().len(), 1, "azwib made it");
    let admin = env.control_plane.kubeconfig();

    // Nothing of azwib goes while there are bindings, or while nobody can tell.
    for (kubeconfig, words) in [
        (admin.as_path(), "delete these first"),
        (Path::new(shop.name()), "is not known"),
    ] {
        let refused = undeploy(kubeconfig)?;
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(words), "{said}");
    }
    let role = ["get", "clusterrole", "azwib-operator"];
    env.control_plane.kubectl(&role).await?;

    let refused = release(&admin, &["--all"])?;
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(
        said.contains("an operator is running") && said.contains("--replicas=0"),
        "{said}"
    );
    assert_eq!(account(&shop, "orders").await?.owner_references().len(), 1);

    operator.terminate().await?;
    let tried = release(&admin, &["--all", "--dry-run"])?;
    assert!(tried.status.success(), "{}", text(&tried.stderr));
    assert!(
        text(&tried.stdout).contains("(dry run)"),
        "{}",
        text(&tried.stdout)
    );
    assert_eq!(account(&shop, "orders").await?.owner_references().len(), 1);

    let released = release(&admin, &["--all"])?;
    let said = text(&released.stdout);
    assert!(
        released.status.success(),
        "{said}{}",
        text(&released.stderr)
    );
    assert!(said.contains("2 bindings without the finalizer"), "{said}");
    let after = account(&shop, "orders").await?;
    assert!(after.owner_references().is_empty());
    assert_eq!(
        annotation(&after, CLIENT_ID),
        annotation(&before, CLIENT_ID)
    );
    let owners = account(&shop, "old").await?.owner_references().to_vec();
    let kinds: Vec<_> = owners.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["Shop"], "an owner of somebody else's stays");

    // What a platform team does next: the bindings go, and nothing with them.
    for name in ["orders", "old"] {
        assert!(shop.bindings().get(name).await?.finalizers().is_empty());
    }
    let commands = commands("leave");
    run(&env, &commands[..1]).await?;
    let sentinel = sentinel(&shop).await?;
    wait::until(
        "the garbage collector to have passed",
        PATIENCE,
        async || {
            let found = shop.service_accounts().get_opt(&sentinel).await?;
            Ok(found.is_none().then_some(()))
        },
    )
    .await?;
    let stays = account(&shop, "orders").await?;
    assert_eq!(
        annotation(&stays, CLIENT_ID),
        annotation(&before, CLIENT_ID)
    );
    let credentials = shop.credentials(&orders).await?;
    assert_eq!(credentials.len(), 2, "Azure keeps what was made");
    let again = release(&admin, &["--all"])?;
    let said = text(&again.stdout);
    assert!(said.contains("0 bindings"), "{said}");
    let undeployed = undeploy(&admin)?;
    let said = text(&undeployed.stderr);
    assert!(undeployed.status.success(), "{said}");
    assert!(env.control_plane.kubectl(&role).await.is_err());
    run(&env, &commands[1..]).await?;
    assert!(account(&shop, "orders").await.is_ok());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_leaves_nothing_of_azwib_behind() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("remove").await?;
    let orders = shop.identity("orders").await?;
    let operator = env
        .operator_with(env.operator_flags(), BTreeMap::new(), None)
        .await?;
    bind(&shop, &orders).await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    let commands = commands("remove");
    let deployment = |it: &String| it.ends_with("config/manager");
    let deployment = commands.iter().position(deployment).unwrap();
    let (bindings, rest) = commands.split_at(deployment);
    run(&env, bindings).await?;
    // No pod runs here: with its Deployment, the operator's process has to go.
    operator.terminate().await?;
    run(&env, rest).await?;
    assert!(shop.credentials(&orders).await?.is_empty());
    let old = account(&shop, "old").await?;
    assert_eq!(annotation(&old, CLIENT_ID), None);
    wait::until("the account that azwib made to go", PATIENCE, async || {
        let found = shop.service_accounts().get_opt("orders").await?;
        Ok(found.is_none().then_some(()))
    })
    .await?;
    let kinds = "crd,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding";
    let left = env
        .control_plane
        .kubectl(&["get", kinds, "--output=name"])
        .await?;
    let left: Vec<_> = left.lines().filter(|it| it.contains("azwib")).collect();
    assert_eq!(left, [""; 0]);
    Ok(())
}

/// The commands of docs/uninstall.md below this marker.
fn commands(marker: &str) -> Vec<String> {
    let (_, rest) = UNINSTALL.split_once(&format!("<!-- {marker} -->")).unwrap();
    let block = rest.split("```").nth(1).unwrap();
    let lines = block.lines().map(str::trim);
    let commands: Vec<_> = lines
        .filter(|it| it.starts_with("kubectl "))
        .map(String::from)
        .collect();
    assert!(commands.len() > 3, "{commands:?}");
    commands
}

async fn run(env: &Environment, commands: &[String]) -> anyhow::Result<()> {
    for command in commands {
        let folder = |word: &str| match word.strip_prefix("config/") {
            Some(_) => repository().join(word).to_string_lossy().into_owned(),
            None => word.to_owned(),
        };
        let words: Vec<_> = command.split(' ').skip(1).map(folder).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        env.control_plane.kubectl(&words).await?;
    }
    Ok(())
}

/// An account whose owner is not there: the garbage collector takes it. What it left alone until then, it leaves alone.
async fn sentinel(shop: &Namespace<'_>) -> anyhow::Result<String> {
    let name = "sentinel".to_owned();
    let of_nobody = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "ownerReferences": [{
        "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "name": "nobody",
        "uid": "8f0d7a52-7d0e-4a39-9a53-2f0f4f8c8b11",
    }] } });
    let patch = Patch::Apply(&of_nobody);
    let parameters = PatchParams::apply("e2e");
    shop.service_accounts()
        .patch(&name, &parameters, &patch)
        .await?;
    Ok(name)
}
