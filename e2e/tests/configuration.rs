//! A configuration that cannot work: the operator says which flag or file, and ends. Nothing else needs to run for that.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use azwib_e2e::environment::repository;
use azwib_e2e::supervisor::{Command, Exit, Process, Supervisor, binary_beside};
use azwib_e2e::wait;

/// Far more than it takes to read flags and files.
const PATIENCE: Duration = Duration::from_secs(10);

const KUBECONFIG: &str = r#"{
  "apiVersion": "v1", "kind": "Config", "current-context": "local",
  "clusters": [{"name": "local", "cluster": {"server": "https://127.0.0.1:1"}}],
  "users": [{"name": "operator", "user": {"token": "none"}}],
  "contexts": [{"name": "local", "context": {"cluster": "local", "user": "operator"}}]
}"#;

/// What an operator is given: good values, of which a test spoils one.
struct Start {
    supervisor: Supervisor,
    flags: BTreeMap<&'static str, String>,
    env: BTreeMap<String, String>,
}

impl Start {
    fn new() -> anyhow::Result<Self> {
        let supervisor = Supervisor::start()?;
        let token = write(
            supervisor.directory(),
            "token",
            "an.assertion.of-kubernetes",
        )?;
        let kubeconfig = write(supervisor.directory(), "kubeconfig", KUBECONFIG)?;
        let guid = "00000000-0000-0000-0000-000000000001";
        let flags = [
            ("issuer", "https://oidc.example/"),
            ("cloud", "custom"),
            ("authority-host", "https://127.0.0.1:1"),
            ("resource-manager-endpoint", "https://127.0.0.1:1"),
            ("resource-manager-audience", "https://management.azure.com"),
            ("auth", "workload-identity"),
            ("azure-client-id", guid),
            ("azure-tenant-id", guid),
            ("azure-federated-token-file", &token.to_string_lossy()),
            ("health-probe-bind-address", "127.0.0.1:0"),
            ("metrics-bind-address", "127.0.0.1:0"),
            ("leader-elect", "false"),
        ];
        Ok(Self {
            flags: flags.map(|(flag, value)| (flag, value.to_owned())).into(),
            env: [("KUBECONFIG".to_owned(), kubeconfig.to_string_lossy().into())].into(),
            supervisor,
        })
    }

    async fn start(&self) -> anyhow::Result<Process> {
        let flags = self.flags.iter();
        let command = Command {
            program: binary_beside("azwib-operator", "cargo build --workspace --bins")?,
            args: flags
                .map(|(flag, value)| format!("--{flag}={value}"))
                .collect(),
            env: self.env.clone(),
            stdin: None,
            stdout: None,
            log: self.supervisor.directory().join("operator.log"),
        };
        self.supervisor.spawn(command).await
    }

    /// It does not start, and says why with these words.
    async fn is_refused(&self, words: &[&str]) -> anyhow::Result<()> {
        let process = self.start().await?;
        let exit = tokio::time::timeout(PATIENCE, process.wait_exit()).await;
        let said = fs::read_to_string(process.log_file())?;
        let exit = exit.with_context(|| format!("it runs, and says {said}"))??;
        assert!(matches!(exit, Exit::Code(1 | 2)), "{exit}: {said}");
        for word in words {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        assert!(!said.contains("assertion.of-kubernetes"), "{said}");
        Ok(())
    }
}

fn write(directory: &Path, name: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, content)?;
    Ok(path)
}

#[tokio::test]
async fn the_values_that_the_tests_below_spoil_are_good() -> anyhow::Result<()> {
    let start = Start::new()?;
    let process = start.start().await?;
    wait::until("the operator to start", PATIENCE, async || {
        let said = fs::read_to_string(process.log_file())?;
        Ok(said.contains("azwib starts").then_some(()))
    })
    .await?;
    assert_eq!(process.exit(), None);
    Ok(())
}

/// One for each stage that can refuse a value. The unit tests of the configuration have the others.
#[tokio::test]
async fn a_value_that_cannot_be_is_refused_by_the_name_of_its_flag() -> anyhow::Result<()> {
    for (flag, value, what_to_do) in [
        ("no-such-flag", "1", "--help"),
        ("cloud", "germany", "usgovernment"),
        ("credential-limit", "21", "give 1 to 20"),
        ("issuer", "https://localhost:6443", "az aks show"),
        ("azure-tenant-id", "../common", "--azure-tenant-id"),
        ("log-level", "azwib=loud", "azwib_operator=debug"),
        (
            "otlp-endpoint",
            "collector.monitoring:4317",
            "OTLP over http",
        ),
        ("leader-elect", "true", "--leader-election-namespace"),
    ] {
        let mut start = Start::new()?;
        start.flags.insert(flag, value.to_owned());
        start
            .is_refused(&[&format!("--{flag}"), what_to_do])
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_flag_that_is_missing_is_named() -> anyhow::Result<()> {
    let mut start = Start::new()?;
    start.flags.remove("azure-client-id");
    let words = ["--azure-client-id", "AZURE_CLIENT_ID"];
    start.is_refused(&words).await
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_its_flag() -> anyhow::Result<()> {
    let files = tempfile::tempdir()?;
    let missing = files.path().join("missing");
    let directory = files.path().to_owned();
    let empty = write(files.path(), "empty", "\n")?;
    let text = write(files.path(), "no-ca.pem", "this is no certificate\n")?;
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = write(files.path(), "broken-ca.pem", broken)?;
    for (flag, path, why) in [
        ("azure-federated-token-file", &missing, "No such file"),
        ("azure-federated-token-file", &directory, "directory"),
        ("azure-federated-token-file", &empty, "is empty"),
        ("ca-file", &missing, "No such file"),
        ("ca-file", &directory, "directory"),
        ("ca-file", &empty, "does not hold certificates"),
        ("ca-file", &text, "does not hold certificates"),
        ("ca-file", &broken, "does not hold certificates"),
    ] {
        let mut start = Start::new()?;
        let path = path.to_string_lossy().into_owned();
        start.flags.insert(flag, path.clone());
        start
            .is_refused(&[&format!("--{flag}"), &path, why])
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_secret_that_cannot_be_read_is_named_with_its_flag() -> anyhow::Result<()> {
    let mut start = Start::new()?;
    start.flags.insert("auth", "client-secret".to_owned());
    start.is_refused(&["--azure-client-secret-file"]).await?;
    let missing = start.supervisor.directory().join("missing");
    let missing = missing.to_string_lossy().into_owned();
    start
        .flags
        .insert("azure-client-secret-file", missing.clone());
    start
        .is_refused(&["--azure-client-secret-file", &missing, "No such file"])
        .await
}

#[tokio::test]
async fn a_certificate_of_the_metrics_that_cannot_be_used_is_named() -> anyhow::Result<()> {
    let mut start = Start::new()?;
    let folder = start.supervisor.directory().to_owned();
    let folder = folder.to_string_lossy();
    start.flags.insert("metrics-cert-path", folder.to_string());
    let certificate = format!("{folder}/tls.crt");
    let missing = ["--metrics-cert-path", &certificate, "No such file"];
    start.is_refused(&missing).await?;
    let authority = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    write(
        start.supervisor.directory(),
        "tls.crt",
        &authority.cert.pem(),
    )?;
    let other = rcgen::KeyPair::generate()?;
    write(
        start.supervisor.directory(),
        "tls.key",
        &other.serialize_pem(),
    )?;
    start
        .is_refused(&[
            "--metrics-cert-path",
            "tls.key is no key for the certificate in",
            &certificate,
        ])
        .await?;
    start.flags.insert("metrics-secure", "false".to_owned());
    start
        .is_refused(&["--metrics-cert-path", "only goes with https"])
        .await
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_flag() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let mut start = Start::new()?;
    let address = taken.local_addr()?.to_string();
    start
        .flags
        .insert("health-probe-bind-address", address.clone());
    start
        .is_refused(&["--health-probe-bind-address", &address, "in use"])
        .await
}

#[tokio::test]
async fn a_kubeconfig_that_leads_nowhere_is_named() -> anyhow::Result<()> {
    let mut start = Start::new()?;
    let missing = start.supervisor.directory().join("missing");
    let missing = missing.to_string_lossy().into_owned();
    start.env.insert("KUBECONFIG".to_owned(), missing.clone());
    start.is_refused(&["KUBECONFIG", &missing]).await
}

#[tokio::test]
async fn the_placeholder_of_the_manifests_is_no_client_id() -> anyhow::Result<()> {
    let manifest = fs::read_to_string(repository().join("config/rbac/service_account.yaml"))?;
    let annotation = "azure.workload.identity/client-id: ";
    let placeholder = manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix(annotation))
        .expect("the manifest names the operator's identity");
    let mut start = Start::new()?;
    start.flags.remove("azure-client-id");
    start
        .env
        .insert("AZURE_CLIENT_ID".to_owned(), placeholder.to_owned());
    start.is_refused(&["--azure-client-id"]).await
}
