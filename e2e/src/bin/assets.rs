//! Builds the programs that the end-to-end tests and the demo run, so that neither has to wait for them later, and prints their paths. With
//! the names of programs as arguments it builds these: the tools of the charts and of the dashboard come in no other way.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use azwib_e2e::assets;

fn main() -> anyhow::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let paths = if names.is_empty() {
        for_tests()?
    } else {
        let tools = names.iter().map(|name| tool(name));
        tools.collect::<anyhow::Result<Vec<_>>>()?.concat()
    };
    let mut stdout = std::io::stdout().lock();
    for path in paths {
        writeln!(stdout, "{}", path.display())?;
    }
    Ok(())
}

fn for_tests() -> anyhow::Result<Vec<PathBuf>> {
    let control_plane = assets::control_plane()?;
    Ok(vec![
        control_plane.etcd,
        control_plane.kube_apiserver,
        control_plane.kube_controller_manager,
        control_plane.kubectl,
        assets::webhook()?,
        assets::promlint()?,
    ])
}

fn tool(name: &str) -> anyhow::Result<Vec<PathBuf>> {
    match name {
        "helm" => Ok(vec![assets::helm()?]),
        "helm-docs" => Ok(vec![assets::helm_docs()?]),
        "monitors" => Ok(vec![assets::monitors()?]),
        "prometheus" => Ok(assets::prometheus()?.into()),
        _ => bail!("no tool is called {name}: helm, helm-docs, monitors or prometheus"),
    }
}
