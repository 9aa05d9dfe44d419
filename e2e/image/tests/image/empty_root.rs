//! The unpacked image as the root of a process: nothing else of the machine's files can be seen in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use azwib_e2e::OperatorAccess;
use serde_json::Value;

use crate::name_server::NAME;
use crate::unpacked::Image;

/// Where volumes are mounted.
const VOLUME: &str = "/var/run/secrets/azwib";

/// The devices that every container has: <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#default-devices>.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Makes the root read-only, then it alone is to be seen: by user 65532, who has no capability and can get none. The namespaces do
/// what a container runtime does; the first argument is the root.
const CONFINE: &str = r#"
mount --bind "$0" "$0"
for device in "$0"/dev/*; do
  mount --bind "/dev/${device##*/}" "$device"
done
mount -o remount,bind,ro "$0"
exec setpriv --no-new-privs unshare --user --map-user=65532 --map-group=65532 --root="$0" --wd=/ -- "$@"
"#;

/// A root. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct EmptyRoot {
    folder: tempfile::TempDir,
}

impl EmptyRoot {
    /// With what is in the image, devices and nothing else.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn new(image: &Image) -> anyhow::Result<Self> {
        let root = Self {
            folder: image.unpack()?,
        };
        for device in DEVICES {
            root.mount(&format!("/dev/{device}"), "")?;
        }
        Ok(root)
    }

    /// The program and its arguments that run the image's entry point with these.
    pub(crate) fn command(&self, arguments: Vec<String>) -> (PathBuf, Vec<String>) {
        let root = self.folder.path().to_string_lossy().into_owned();
        let confined = ["--mount", "--", "/bin/sh", "-ec", CONFINE].map(str::to_owned);
        let entry_point = [root, "/azwib-operator".to_owned()];
        let all = confined.into_iter().chain(entry_point).chain(arguments);
        ("/usr/bin/unshare".into(), all.collect())
    }

    /// Puts a file where a kubelet would mount one, and gives its path in the root.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn mount(&self, path: &str, content: impl AsRef<[u8]>) -> anyhow::Result<String> {
        let path = Path::new(VOLUME).join(path);
        let inside = path.strip_prefix("/")?;
        let outside = self.folder.path().join(inside);
        fs::create_dir_all(outside.parent().context("no folder")?)?;
        fs::write(outside, content)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// The variables of an operator with this access. It reaches the API server by [`NAME`].
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn mount_access(
        &self,
        access: &OperatorAccess,
    ) -> anyhow::Result<[(String, String); 2]> {
        let mut kubeconfig: Value = serde_json::from_slice(&fs::read(access.kubeconfig())?)?;
        let cluster = &mut kubeconfig["clusters"][0]["cluster"];
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        let ca = fs::read(text(&cluster["certificate-authority"])?)?;
        cluster["certificate-authority"] = self.mount("api-server-ca.pem", ca)?.into();
        cluster["server"] = by_name(&text(&cluster["server"])?).into();
        let kubeconfig = self.mount("kubeconfig", kubeconfig.to_string())?;
        let [_, token] = access.secrets()?;
        let token = self.mount("token", token)?;
        Ok([
            ("KUBECONFIG".to_owned(), kubeconfig),
            ("AZURE_FEDERATED_TOKEN_FILE".to_owned(), token),
        ])
    }
}

/// The same address with a name to be resolved.
pub(crate) fn by_name(url: &str) -> String {
    url.replace("127.0.0.1", NAME)
}
