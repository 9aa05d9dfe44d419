//! Builds the programs that the end-to-end tests and the demo run, so that neither has to wait for them later.

use std::io::Write;

fn main() -> anyhow::Result<()> {
    let control_plane = azwib_e2e::assets::control_plane()?;
    let webhook = azwib_e2e::assets::webhook()?;
    let promlint = azwib_e2e::assets::promlint()?;
    let mut stdout = std::io::stdout().lock();
    for path in [
        control_plane.etcd,
        control_plane.kube_apiserver,
        control_plane.kube_controller_manager,
        control_plane.kubectl,
        webhook,
        promlint,
    ] {
        writeln!(stdout, "{}", path.display())?;
    }
    Ok(())
}
