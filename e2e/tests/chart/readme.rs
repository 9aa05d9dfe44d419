//! The commands of the READMEs, run as they stand there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use azwib_e2e::environment::repository;
use azwib_e2e::{ControlPlane, ControlPlaneOptions};

use crate::tools::{output, tools_path};

/// The first block of code of a document after a text, without its fences.
fn block(document: &str, after: &str) -> String {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let (_, rest) = text.split_once(after).unwrap();
    let code = rest.lines().skip_while(|line| !line.starts_with("```"));
    let code = code.skip(1).take_while(|line| *line != "```");
    code.map(|line| format!("{line}\n")).collect()
}

/// Runs commands in a folder, with the cluster and the values that a reader has filled in.
fn shell(cluster: &ControlPlane, folder: &Path, commands: &str) -> String {
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", commands])
        .current_dir(folder)
        .env("PATH", tools_path())
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("ISSUER", "https://oidc.example/shop/")
        .env("CLIENT_ID", "00000000-0000-0000-0000-000000000001")
        .env("IMAGE", "registry.example/azwib-operator");
    for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        shell.env(home, folder);
    }
    output(shell.output().unwrap())
}

#[tokio::test]
async fn the_commands_of_the_readme_install_and_remove_everything() -> anyhow::Result<()> {
    let cluster = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let folder = tempfile::tempdir()?;
    symlink(repository().join("config"), folder.path().join("config"))?;
    let grants = block("config/charts/azwib-grants/README.md", "# azwib-grants");
    fs::write(folder.path().join("grants.yaml"), grants)?;

    let install = block("README.md", "**With Helm.**");
    // No pod runs here.
    let waits = |line: &&str| line.contains("rollout status");
    assert_eq!(install.lines().filter(waits).count(), 1, "{install}");
    let install: String = install
        .split_inclusive('\n')
        .filter(|line| !waits(line))
        .collect();
    let said = shell(&cluster, folder.path(), &install);
    assert!(!said.contains("DOES NOT START YET"), "{said}");
    let table = said.lines().rev().take(2).collect::<Vec<_>>();
    assert!(
        table[0].starts_with("shop "),
        "the grant that was given: {said}"
    );

    let uninstall = block("config/charts/azwib/README.md", "## Uninstall");
    shell(&cluster, folder.path(), &uninstall);
    for kinds in [
        "deployments,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets",
        "clusterroles,clusterrolebindings,customresourcedefinitions",
        "validatingadmissionpolicies,validatingadmissionpolicybindings",
    ] {
        let of_azwib = "--selector=app.kubernetes.io/part-of=azwib";
        let left = ["get", kinds, "--all-namespaces", "--output=name", of_azwib];
        assert_eq!(cluster.kubectl(&left).await?, "", "{kinds}");
    }
    Ok(())
}
