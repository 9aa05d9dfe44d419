//! The root of a container: its image's program, its volumes, devices and the libraries of this machine, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::spec::{Identity, spec};
use super::volumes::Volumes;

/// Where the program lies in every image of the node, as in azwib's own (docs/image.md).
pub(super) const ENTRY_POINT: &str = "/azwib-operator";

/// The devices that every container has: <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#default-devices>.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What the tests' operator is linked with, where this machine has it. The image's own is static and needs none of it.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Mounts what the container sees, then runs a command. It runs in a mount namespace of its own.
///
/// Arguments: the root, `ro` or `rw`, then source, target and `ro` or `rw` of each mount, `--`, variables and the command.
const MOUNT: &str = r#"
root=$1 mode=$2
shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
  mount --rbind "$1" "$root$2"
  if [ "$3" = ro ]; then mount -o remount,bind,ro "$root$2"; fi
  shift 3
done
shift
if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root"; fi
exec env -i "$@"
"#;

/// Something that is mounted.
#[derive(Debug)]
struct Mount {
    source: PathBuf,
    /// An absolute path in the root.
    target: String,
    read_only: bool,
}

/// A root with its mounts.
#[derive(Debug)]
pub(super) struct Root {
    folder: PathBuf,
    mounts: Vec<Mount>,
}

impl Root {
    /// Makes the root of a container in a folder; again where one is there.
    ///
    /// # Errors
    /// A mount names no volume of the pod, or the disk is full.
    pub(super) fn new(
        folder: PathBuf,
        program: &Path,
        pod: &Pod,
        container: &Container,
        volumes: &Volumes,
    ) -> anyhow::Result<Self> {
        let of_machine = |path: String| Mount {
            source: path.clone().into(),
            target: path,
            read_only: true,
        };
        let libraries = LIBRARIES.map(str::to_owned).into_iter();
        let mut mounts: Vec<_> = libraries
            .filter(|it| Path::new(it).is_dir())
            .map(of_machine)
            .collect();
        let devices = DEVICES.map(|it| format!("/dev/{it}")).into_iter();
        mounts.extend(devices.map(|path| Mount {
            read_only: false,
            ..of_machine(path)
        }));
        mounts.push(Mount {
            source: program.to_owned(),
            target: ENTRY_POINT.to_owned(),
            read_only: true,
        });
        mounts.extend(mounts_of(pod, container, volumes)?);
        for mount in &mounts {
            let target = folder.join(mount.target.trim_start_matches('/'));
            if mount.source.is_dir() {
                fs::create_dir_all(&target)
            } else {
                fs::create_dir_all(target.parent().unwrap_or(&folder))
                    .and_then(|()| fs::write(&target, ""))
            }
            .with_context(|| target.display().to_string())?;
        }
        Ok(Self { folder, mounts })
    }

    /// The arguments of a shell that runs this command line in the root, with these variables (`NAME=value`) and no other, as this
    /// identity.
    pub(super) fn shell(
        &self,
        identity: Identity,
        variables: impl Iterator<Item = String>,
        command_line: Vec<String>,
    ) -> Vec<String> {
        let mode = |read_only: bool| if read_only { "ro" } else { "rw" }.to_owned();
        let root = self.folder.to_string_lossy().into_owned();
        let mut all = vec!["-ec".to_owned(), MOUNT.to_owned(), "mount".to_owned()];
        all.extend([root.clone(), mode(identity.read_only_root)]);
        for mount in &self.mounts {
            let source = mount.source.to_string_lossy().into_owned();
            all.extend([source, mount.target.clone(), mode(mount.read_only)]);
        }
        all.push("--".to_owned());
        all.extend(variables);
        if !identity.may_gain_privileges {
            all.extend(["/usr/bin/setpriv", "--no-new-privs", "--"].map(str::to_owned));
        }
        // The user of the pod is whoever runs the tests, under another number, and has no capability.
        all.extend([
            "/usr/bin/unshare".to_owned(),
            "--user".to_owned(),
            format!("--map-user={}", identity.user),
            format!("--map-group={}", identity.group),
            format!("--root={root}"),
            "--wd=/".to_owned(),
            "--".to_owned(),
        ]);
        all.extend(command_line);
        all
    }
}

/// The container's own mounts. What a kubelet fills by itself can only be read.
fn mounts_of(pod: &Pod, container: &Container, volumes: &Volumes) -> anyhow::Result<Vec<Mount>> {
    let declared = spec(pod)?.volumes.iter().flatten();
    let writable: BTreeSet<_> = declared
        .clone()
        .filter(|it| it.empty_dir.is_some())
        .map(|it| &it.name)
        .collect();
    let names: BTreeSet<_> = declared.map(|it| &it.name).collect();
    let mounts = container.volume_mounts.iter().flatten().map(|mount| {
        let is_declared = names.contains(&mount.name);
        anyhow::ensure!(is_declared, "the pod has no volume {:?}", mount.name);
        Ok(Mount {
            source: volumes.folder(&mount.name),
            target: mount.mount_path.clone(),
            read_only: mount.read_only == Some(true) || !writable.contains(&mount.name),
        })
    });
    mounts.collect()
}
