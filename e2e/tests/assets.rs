//! Where the programs of the local control plane come from.

use std::{fs, path::Path, process::Command};

use anyhow::Context;

fn assets(ready: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assets"));
    command
        .env_remove("KUBEBUILDER_ASSETS")
        .envs(ready.map(|folder| ("KUBEBUILDER_ASSETS", folder)));
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}

#[test]
fn ready_binaries_are_taken_and_what_they_lack_is_built() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        fs::write(folder.path().join(name), "")?;
    }
    let built = assets(None)?;
    let mixed = assets(Some(folder.path()))?;
    assert_eq!(built.len(), mixed.len());
    for (built, mixed) in built.iter().zip(&mixed) {
        let name = Path::new(built).file_name().context("a file")?;
        let ready = folder.path().join(name);
        let expected = if ready.exists() { ready } else { built.into() };
        assert_eq!(Path::new(mixed), expected);
    }
    Ok(())
}
