//! The Go programs that the tests run: built once from the pinned modules in `e2e/go/` into the ignored `e2e/bin/`, and
//! reused until a module, a source of ours or a build flag changes.

mod build;
mod kubernetes;

use std::path::PathBuf;

use anyhow::Context;

use self::build::{Module, Program};

pub use kubernetes::KubernetesVersion;

const LDFLAGS: &str = "-s -w";
/// Without it Helm reports a version of its own making. The number is that of the `require` line in `go/helm/go.mod`.
const HELM_LDFLAGS: &str = "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1";

/// A directory with `etcd`, `kube-apiserver` and `kubectl`: the ecosystem's variable for ready binaries.
const READY_BINARIES: &str = "KUBEBUILDER_ASSETS";

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

const MONITORS: Module = Module {
    folder: "monitors",
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

const MONITORS_PROGRAMS: &[Program] = &[Program {
    name: "monitors",
    package: ".",
}];

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

/// What refuses objects of the Prometheus operator that it does not know. Only the test of the charts needs it. Blocks.
///
/// # Errors
/// As for [`control_plane`].
pub fn monitors() -> anyhow::Result<PathBuf> {
    MONITORS.binary(MONITORS_PROGRAMS, LDFLAGS)
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
