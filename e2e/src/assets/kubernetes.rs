//! The versions of Kubernetes that the tests run against, each built from a module of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// Names the minor version, as `1.36`; `make KUBERNETES=…` sets it.
const ASKED: &str = "AZWIB_KUBERNETES";

/// The minor versions and their folders below `e2e/go/`, the newest first: that one is taken where none is asked for.
const VERSIONS: [(&str, &str); 4] = [
    ("1.36", "control-plane"),
    ("1.35", "control-plane-1.35"),
    ("1.34", "control-plane-1.34"),
    ("1.33", "control-plane-1.33"),
];

/// A version of Kubernetes, as its module pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesVersion {
    pub(super) folder: &'static str,
    /// As in the module: `v1.36.4`.
    pub full: String,
}

impl KubernetesVersion {
    /// The version that is asked for.
    ///
    /// # Errors
    /// There is no module for it.
    pub fn asked() -> anyhow::Result<Self> {
        let asked = std::env::var(ASKED).unwrap_or_default();
        Self::of_minor(&asked, |folder| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
            let path = path.join(folder).join("go.mod");
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        })
    }

    fn of_minor(
        asked: &str,
        go_mod: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let found = match asked {
            "" => VERSIONS.first(),
            asked => VERSIONS.iter().find(|(minor, _)| *minor == asked),
        };
        let Some((_, folder)) = found else {
            let known = VERSIONS.map(|(minor, _)| minor).join(", ");
            bail!("the tests have no Kubernetes {asked}: set KUBERNETES to one of {known}")
        };
        let go_mod = go_mod(folder)?;
        let pinned = go_mod.lines().find_map(|line| {
            let line = line.trim().trim_start_matches("require ");
            line.strip_prefix("k8s.io/kubernetes ")
        });
        let pinned = pinned.and_then(|it| it.split_whitespace().next());
        let full = pinned.with_context(|| format!("e2e/go/{folder}/go.mod pins no Kubernetes"))?;
        let full = full.to_owned();
        Ok(Self { folder, full })
    }

    /// Clients parse the version that discovery and kubectl report; without these flags it is a placeholder that they refuse.
    pub(super) fn ldflags(&self) -> anyhow::Result<String> {
        let full = &self.full;
        let mut numbers = full.trim_start_matches('v').split('.');
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
            bail!("{full} is no version of Kubernetes")
        };
        let component = "k8s.io/component-base/version";
        Ok(format!(
            "-s -w -X {component}.gitVersion={full} -X {component}.gitMajor={major} -X {component}.gitMinor={minor} \
             -X k8s.io/client-go/pkg/version.gitVersion={full}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_a_module_that_pins_it_and_another_one_is_refused() {
        for (minor, folder) in VERSIONS {
            let version = KubernetesVersion::of_minor(minor, |folder| {
                let path = format!("{}/go/{folder}/go.mod", env!("CARGO_MANIFEST_DIR"));
                Ok(fs::read_to_string(path)?)
            });
            let version = version.unwrap();
            assert_eq!(version.folder, folder);
            assert!(
                version.full.starts_with(&format!("v{minor}.")),
                "{version:?}"
            );
            assert!(!version.full.contains(' '), "{version:?}");
            let number = minor.trim_start_matches("1.");
            let flags = version.ldflags().unwrap();
            assert!(flags.contains(&format!("gitMinor={number} ")), "{flags}");
        }
        let error = KubernetesVersion::of_minor("1.12", |_| Ok(String::new())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the tests have no Kubernetes 1.12: set KUBERNETES to one of 1.36, 1.35, 1.34, 1.33"
        );
    }
}
