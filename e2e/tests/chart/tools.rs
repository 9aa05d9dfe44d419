//! Helm and kustomize, run as a user runs them.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use azwib_e2e::assets;
use azwib_e2e::environment::repository;
use serde_json::Value;

use crate::objects::{Objects, objects};

/// The namespace that `config/` names.
pub(crate) const NAMESPACE: &str = "azwib-system";

/// Not the chart's name: an object that takes its name from the release would show.
pub(crate) const RELEASE: &str = "platform";

static HELM: LazyLock<PathBuf> = LazyLock::new(|| assets::helm().unwrap());
static KUBECTL: LazyLock<PathBuf> = LazyLock::new(|| assets::control_plane().unwrap().kubectl);

/// A search path that finds these tools first.
pub(crate) fn tools_path() -> OsString {
    let others = env::var_os("PATH").unwrap_or_default();
    let folders = [&*HELM, &*KUBECTL].map(|it| it.parent().unwrap().to_owned());
    env::join_paths(folders.into_iter().chain(env::split_paths(&others))).unwrap()
}

pub(crate) fn chart(name: &str) -> PathBuf {
    repository().join("config/charts").join(name)
}

/// Runs Helm without any settings of whoever runs the test.
pub(crate) fn helm(args: &[&str], stdin: &str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut helm = Command::new(&*HELM);
    helm.args(args)
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .env_remove("HELM_NAMESPACE");
    run(helm, stdin)
}

fn run(mut command: Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What ends without reading its input breaks the pipe, and says itself why.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// Standard output of a run that went well.
///
/// # Panics
/// It did not: with all that it said.
pub(crate) fn output(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What `helm template` renders of a chart with these values, as YAML, or what it says instead.
pub(crate) fn template(name: &str, values: &Value, more: &[&str]) -> Result<String, String> {
    let chart = chart(name);
    let mut args = vec!["template", RELEASE, chart.to_str().unwrap()];
    args.extend(["--namespace", NAMESPACE, "--values", "-"]);
    args.extend(more);
    let rendered = helm(&args, &values.to_string());
    if rendered.status.success() {
        Ok(String::from_utf8(rendered.stdout).unwrap())
    } else {
        Err(String::from_utf8(rendered.stderr).unwrap())
    }
}

/// The objects of the chart `azwib` with these values.
pub(crate) fn rendered(values: &Value) -> Objects {
    objects(&template("azwib", values, &[]).unwrap_or_else(|it| panic!("{values}: {it}")))
}

/// What kustomize renders from a folder of the repository, as YAML.
pub(crate) fn kustomized(folder: &str) -> String {
    let mut kubectl = Command::new(&*KUBECTL);
    kubectl.arg("kustomize").arg(repository().join(folder));
    output(run(kubectl, ""))
}

/// What refuses objects of the Prometheus operator that have a field it does not know; a line of JSON is an object.
pub(crate) fn known_to_prometheus_operator(lines: &str) -> Output {
    let monitors = assets::monitors().unwrap();
    run(Command::new(monitors), lines)
}
