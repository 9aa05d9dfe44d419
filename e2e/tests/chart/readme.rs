//! The commands of the READMEs, run as they stand there, with an operator that runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use azwib_e2e::Environment;
use azwib_e2e::environment::repository;

use crate::pods::{Cluster, IMAGE};
use crate::tools::{output, tools_path};

/// The first block of code in this language after a text, without its fences.
fn block(document: &str, after: &str, language: &str) -> String {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let (_, rest) = text.split_once(after).unwrap();
    let (_, code) = rest.split_once(&format!("```{language}\n")).unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

/// Runs each command of a block in a folder, with the cluster and the values that a reader has filled in, and says how long it took.
async fn run(env: &Environment, folder: &Path, block: &str) -> anyhow::Result<()> {
    for command in block.replace("\\\n", "").lines() {
        // The reader's Azure is another one, and that is all.
        let chart = "helm install azwib config/charts/azwib ";
        let command = command.replace(chart, &format!("{chart}--values azure.yaml "));
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &command])
            .current_dir(folder)
            .env_clear()
            .env("PATH", tools_path())
            .env("HOME", folder)
            .env("KUBECONFIG", env.control_plane.kubeconfig())
            .env("CLIENT_ID", env.operator_client_id().to_string())
            .env("IMAGE", IMAGE);
        let began = Instant::now();
        // The node and the operator go on meanwhile.
        let ended = tokio::task::spawn_blocking(move || shell.output()).await??;
        eprintln!("{:?}: {command}", began.elapsed());
        let said = output(ended);
        assert!(!said.contains("DOES NOT START YET"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_commands_of_the_readme_end_with_a_ready_binding_and_others_remove_everything()
-> anyhow::Result<()> {
    let install = block("README.md", "\n## Install\n", "sh");
    let commands = install.replace("\\\n", "").lines().count();
    assert_eq!(commands, 5, "{install}");
    let binding = block("README.md", "# azwib", "yaml");
    let grants = block("README.md", "\n## Install\n", "yaml");

    // What the reader has: a cluster with the webhook, the operator's identity, that of the workload, and its namespace.
    let cluster = Cluster::start().await?;
    let env = &cluster.env;
    let orders = env.control().create_identity("rg-shop", "orders").await?;
    let subscription = env.simulator.subscription();
    let group = format!("/subscriptions/{subscription}/resourceGroups/rg-shop");
    assert!(binding.contains(&group) && grants.contains(&group));
    env.grant_operator(&group).await?;
    let namespace = ["create", "namespace", "shop"];
    env.control_plane.kubectl(&namespace).await?;

    let folder = tempfile::tempdir()?;
    symlink(repository().join("config"), folder.path().join("config"))?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    write("binding.yaml", &binding)?;
    write("grants.yaml", &grants)?;
    write("azure.yaml", &env.chart_values().to_string())?;
    let began = Instant::now();
    run(env, folder.path(), &install).await?;
    let took = began.elapsed();
    eprintln!("README: installed in {took:?}");
    assert!(took < Duration::from_secs(300), "{took:?}");
    assert_eq!(env.ready_pods().await?.len(), 2);
    // The example of the other chart.
    let chart = "config/charts/azwib-grants/README.md";
    write("grants.yaml", &block(chart, "# azwib-grants", "yaml"))?;
    let commands = block(chart, "# azwib-grants", "sh").replace("install", "upgrade");
    run(env, folder.path(), &commands).await?;
    let credentials = async || env.arm().await?.credentials(&orders.id).await;
    assert_eq!(credentials().await?.len(), 1);

    let uninstall = block("config/charts/azwib/README.md", "## Uninstall", "sh");
    run(env, folder.path(), &uninstall).await?;
    assert_eq!(credentials().await?.len(), 0);
    for kinds in [
        "deployments,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets",
        "clusterroles,clusterrolebindings,customresourcedefinitions",
        "validatingadmissionpolicies,validatingadmissionpolicybindings",
    ] {
        let of_azwib = "--selector=app.kubernetes.io/part-of=azwib";
        let left = ["get", kinds, "--all-namespaces", "--output=name", of_azwib];
        assert_eq!(env.control_plane.kubectl(&left).await?, "", "{kinds}");
    }
    cluster.until_empty().await
}
