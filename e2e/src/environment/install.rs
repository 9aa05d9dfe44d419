//! azwib as a user installs it, from the checkout.

use std::path::{Path, PathBuf};

use crate::ControlPlane;

/// All of azwib's CustomResourceDefinitions carry it.
const OF_AZWIB: &str = "app.kubernetes.io/part-of=azwib";

/// Applies a folder of config/ as a user does; without the CRDs, only roles and operator, and no policy for them either.
pub(super) async fn install(
    control_plane: &ControlPlane,
    config: &str,
    crds: bool,
) -> anyhow::Result<()> {
    let parts = if crds {
        vec![config]
    } else {
        vec!["manager", "rbac"]
    };
    for part in parts {
        let path = repository().join("config").join(part);
        control_plane
            .kubectl(&["apply", "-k", &path.to_string_lossy()])
            .await?;
    }
    if crds {
        control_plane
            .kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                "crd",
                "--selector",
                OF_AZWIB,
            ])
            .await?;
    }
    Ok(())
}

/// The CustomResourceDefinitions.
pub(super) fn crds() -> PathBuf {
    repository().join("config/crd")
}

/// The checkout that this package was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
        .to_owned()
}
