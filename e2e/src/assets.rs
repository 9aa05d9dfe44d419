//! The Go programs that the tests run: built once from the pinned modules in `e2e/go/` into the ignored `e2e/bin/`, and
//! reused until a module, a source of ours or a build flag changes.

mod kubernetes;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

pub use kubernetes::KubernetesVersion;

const LDFLAGS: &str = "-s -w";
/// Without it Helm reports a version of its own making. The number is that of the `require` line in `go/helm/go.mod`.
const HELM_LDFLAGS: &str = "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1";

/// How often a long build says that it is still going on.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Begins the names of folders that hold a build in progress.
const PARTIAL: &str = ".building-";

/// A directory with `etcd`, `kube-apiserver` and `kubectl`: the ecosystem's variable for ready binaries.
const READY_BINARIES: &str = "KUBEBUILDER_ASSETS";

/// A binary and the package that it is built from.
struct Program {
    name: &'static str,
    package: &'static str,
}

/// A Go module of ours below `e2e/go/`.
struct Module {
    folder: &'static str,
    /// What its binaries are made of, besides go.mod and go.sum.
    sources: &'static [&'static str],
    /// Build tags.
    tags: &'static str,
}

const CONTROL_PLANE: Module = Module {
    folder: "control-plane",
    sources: &[],
    tags: "",
};
const WEBHOOK: Module = Module {
    folder: "webhook",
    sources: &["main.go", "mlog/go.mod", "mlog/mlog.go"],
    tags: "",
};

const PROMLINT: Module = Module {
    folder: "promlint",
    sources: &["main.go"],
    tags: "",
};

const HELM: Module = Module {
    folder: "helm",
    sources: &[],
    tags: "",
};
const HELM_DOCS: Module = Module {
    folder: "helm-docs",
    sources: &[],
    tags: "",
};

const PROMETHEUS: Module = Module {
    folder: "prometheus",
    sources: &["compared.go", "main.go", "queries.go", "store.go"],
    // Nothing is discovered here, and the clients of all clouds would come along.
    tags: "remove_all_sd",
};

const KUBERNETES_PROGRAMS: &[Program] = &[
    Program {
        name: "kube-apiserver",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
    },
    Program {
        name: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
    },
    Program {
        name: "kubectl",
        package: "k8s.io/kubernetes/cmd/kubectl",
    },
];
const ETCD_PROGRAMS: &[Program] = &[Program {
    name: "etcd",
    package: "go.etcd.io/etcd/server/v3",
}];
const WEBHOOK_PROGRAMS: &[Program] = &[Program {
    name: "webhook",
    package: ".",
}];

const PROMLINT_PROGRAMS: &[Program] = &[Program {
    name: "promlint",
    package: ".",
}];

const PROMETHEUS_PROGRAMS: &[Program] = &[
    Program {
        name: "promtool",
        package: "github.com/prometheus/prometheus/cmd/promtool",
    },
    Program {
        name: "prometheus",
        package: ".",
    },
];

const HELM_PROGRAMS: &[Program] = &[Program {
    name: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
}];

const HELM_DOCS_PROGRAMS: &[Program] = &[Program {
    name: "helm-docs",
    package: "github.com/norwoodj/helm-docs/cmd/helm-docs",
}];

/// The programs of the local control plane.
#[derive(Debug, Clone)]
pub struct ControlPlaneAssets {
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    pub kube_controller_manager: PathBuf,
    pub kubectl: PathBuf,
}

/// The control plane's programs, of the version of Kubernetes that is asked for: from `KUBEBUILDER_ASSETS` what it has, the rest built. The first build takes minutes and
/// says so on standard error. Blocks.
///
/// # Errors
/// `go` is missing, or a build fails: with the end of its output.
pub fn control_plane() -> anyhow::Result<ControlPlaneAssets> {
    let ready = std::env::var_os(READY_BINARIES).map(PathBuf::from);
    let version = KubernetesVersion::asked()?;
    let kubernetes = Module {
        folder: version.folder,
        sources: &[],
        tags: "",
    };
    let mut kubernetes = kubernetes
        .binaries(KUBERNETES_PROGRAMS, &version.ldflags()?, ready.as_deref())?
        .into_iter();
    let mut etcd = CONTROL_PLANE
        .binaries(ETCD_PROGRAMS, LDFLAGS, ready.as_deref())?
        .into_iter();
    let mut next = || {
        kubernetes
            .next()
            .context("a program is missing from the list")
    };
    Ok(ControlPlaneAssets {
        kube_apiserver: next()?,
        kube_controller_manager: next()?,
        kubectl: next()?,
        etcd: etcd.next().context("a program is missing from the list")?,
    })
}

/// The azure-workload-identity webhook. Blocks.
///
/// # Errors
/// As for [`control_plane`].
pub fn webhook() -> anyhow::Result<PathBuf> {
    WEBHOOK.binary(WEBHOOK_PROGRAMS, LDFLAGS)
}

/// Prometheus' linter of metrics. Blocks.
///
/// # Errors
/// As for [`control_plane`].
pub fn promlint() -> anyhow::Result<PathBuf> {
    PROMLINT.binary(PROMLINT_PROGRAMS, LDFLAGS)
}

/// promtool, and the program that runs the queries of rules and dashboard in Prometheus' engine. Only the test of these needs them.
/// Blocks.
///
/// # Errors
/// As for [`control_plane`].
pub fn prometheus() -> anyhow::Result<[PathBuf; 2]> {
    let built = PROMETHEUS.binaries(PROMETHEUS_PROGRAMS, LDFLAGS, None)?;
    let built: Result<_, _> = built.try_into();
    built.map_err(|_| anyhow::anyhow!("a program is missing from the list"))
}

/// Helm. Only the test of the charts needs it. Blocks.
///
/// # Errors
/// As for [`control_plane`].
pub fn helm() -> anyhow::Result<PathBuf> {
    HELM.binary(HELM_PROGRAMS, HELM_LDFLAGS)
}

/// helm-docs, which makes the README of a chart from the comments of its values. Blocks.
///
/// # Errors
/// As for [`control_plane`].
pub fn helm_docs() -> anyhow::Result<PathBuf> {
    HELM_DOCS.binary(HELM_DOCS_PROGRAMS, LDFLAGS)
}

impl Module {
    /// The path of its only program, which is built where it is missing.
    fn binary(&self, programs: &[Program], ldflags: &str) -> anyhow::Result<PathBuf> {
        let mut built = self.binaries(programs, ldflags, None)?;
        built.pop().context("a program is missing from the list")
    }

    /// The paths of the programs, in their order; what is missing is built.
    fn binaries(
        &self,
        programs: &[Program],
        ldflags: &str,
        ready: Option<&Path>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let target = bin_folder().join(format!("{}-{}", self.folder, self.hash(ldflags)?));
        let find = |program: &Program| {
            let given = ready
                .map(|folder| folder.join(program.name))
                .filter(|path| path.is_file());
            given.unwrap_or_else(|| target.join(program.name))
        };
        let paths: Vec<PathBuf> = programs.iter().map(find).collect();
        if paths.iter().all(|path| path.is_file()) {
            return Ok(paths);
        }
        fs::create_dir_all(&target)?;
        let lock = File::create(bin_folder().join(format!("{}.lock", self.folder)))?;
        if lock.try_lock().is_err() {
            say(&format!(
                "another process is building {}: waiting for it",
                self.folder
            ));
            lock.lock()?;
        }
        let missing: Vec<&Program> = programs
            .iter()
            .zip(&paths)
            .filter(|(_, path)| !path.is_file())
            .map(|(program, _)| program)
            .collect();
        if !missing.is_empty() {
            self.build(&missing, ldflags, &target)?;
        }
        Ok(paths)
    }

    /// Twelve digits that stand for everything a binary is made from.
    fn hash(&self, ldflags: &str) -> anyhow::Result<String> {
        let mut hash = Sha256::new_with_prefix([ldflags, self.tags].concat());
        for file in ["go.mod", "go.sum"].iter().chain(self.sources) {
            let path = self.path().join(file);
            hash.update(fs::read(&path).with_context(|| path.display().to_string())?);
        }
        Ok(hash
            .finalize()
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("go")
            .join(self.folder)
    }

    /// Builds into a temporary folder and moves each binary to its place in one step, so that none is ever half there.
    fn build(&self, programs: &[&Program], ldflags: &str, target: &Path) -> anyhow::Result<()> {
        let names = programs
            .iter()
            .map(|program| program.name)
            .collect::<Vec<_>>()
            .join(", ");
        remove_partial(target)?;
        let partial = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(target)?;
        // `-o` names a folder for several packages, and a file for one: etcd's main package is not called etcd.
        let output = match programs {
            [program] => partial.path().join(program.name).into_os_string(),
            _ => {
                let mut folder = OsString::from(partial.path());
                folder.push("/");
                folder
            }
        };
        let mut go = Command::new("go");
        go.current_dir(self.path())
            .args([
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-mod=readonly",
                "-tags",
                self.tags,
                "-ldflags",
                ldflags,
                "-o",
            ])
            .arg(output)
            .args(programs.iter().map(|program| program.package))
            // The installed Go as it is, for this machine, without a workspace or flags from outside.
            .envs([
                ("GOTOOLCHAIN", "local"),
                ("CGO_ENABLED", "0"),
                ("GOWORK", "off"),
                ("GOFLAGS", ""),
            ])
            .env_remove("GOOS")
            .env_remove("GOARCH");
        run_with_progress(go, &format!("building {names} from e2e/go/{}", self.folder))?;
        for program in programs {
            fs::rename(partial.path().join(program.name), target.join(program.name))?;
        }
        Ok(())
    }
}

/// What a build that was killed has left. Called under the lock.
fn remove_partial(target: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn bin_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bin")
}

/// Runs a command that takes long, with a line on standard error now and then.
fn run_with_progress(mut command: Command, what: &str) -> anyhow::Result<()> {
    say(&format!(
        "{what} (once; minutes when Go's build cache is cold)"
    ));
    let started = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    let child = match command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "{what}: `{program}` is not on PATH. The end-to-end tests build Kubernetes from source: install Go 1.26 or later"
        ),
        started => started.with_context(|| format!("starting {program}"))?,
    };
    let (done, finished) = channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let output = loop {
        match finished.recv_timeout(PROGRESS_INTERVAL) {
            Ok(output) => break output?,
            Err(RecvTimeoutError::Timeout) => {
                say(&format!("{what}: {} s", started.elapsed().as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{what}: its watcher is gone"),
        }
    };
    if !output.status.success() {
        bail!(
            "{what} failed with {}:\n{}",
            output.status,
            last_lines(&String::from_utf8_lossy(&output.stderr))
        );
    }
    say(&format!(
        "{what}: done after {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}

fn last_lines(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Straight to standard error: the test harness captures `eprintln!` and shows it only when a test fails.
fn say(message: &str) {
    let _ = writeln!(io::stderr(), "assets: {message}");
}
