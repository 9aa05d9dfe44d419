//! azwib as a user installs it, from the checkout.

use std::path::{Path, PathBuf};

use crate::ControlPlane;

/// Applies config/default as a user does; without the CRD, all but that.
pub(super) async fn install(control_plane: &ControlPlane, crd: bool) -> anyhow::Result<()> {
    for part in if crd {
        &["default"][..]
    } else {
        &["manager", "rbac"]
    } {
        let path = repository().join("config").join(part);
        control_plane
            .kubectl(&["apply", "-k", &path.to_string_lossy()])
            .await?;
    }
    if crd {
        let established = "crd/workloadidentitybindings.azwib.dev";
        control_plane
            .kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                established,
            ])
            .await?;
    }
    Ok(())
}

/// The CustomResourceDefinition.
pub(super) fn crds() -> PathBuf {
    repository().join("config/crd/azwib.dev_workloadidentitybindings.yaml")
}

/// The checkout that this package was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
        .to_owned()
}
