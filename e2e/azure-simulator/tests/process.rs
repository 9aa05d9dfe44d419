//! The simulator as a process of its own.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const SUBSCRIPTION: &str = "22222222-2222-4222-8222-222222222222";
const PRINCIPAL: &str = "33333333-3333-4333-8333-333333333333:s3cret";

fn simulator(state_dir: &TempDir, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_azure-simulator"));
    command
        .args(["--state-dir", state_dir.path().to_str().unwrap()])
        .args(["--tenant", TENANT, "--subscription", SUBSCRIPTION])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Killed when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(state_dir: &TempDir, more: &[&str]) -> (Self, Value) {
        let mut child = simulator(state_dir, more).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        (Self(child), serde_json::from_str(&line).unwrap())
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.0.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }
}

#[tokio::test]
async fn it_prints_its_addresses_and_ends_well_when_told_to() {
    let state_dir = TempDir::new().unwrap();
    for signal in ["-TERM", "-INT"] {
        let flags = [
            "--resource-group",
            "rg-a",
            "--resource-group",
            "rg-b",
            "--service-principal",
            PRINCIPAL,
        ];
        let (mut running, addresses) = Running::start(&state_dir, &flags);
        let fields: Vec<&String> = addresses.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["arm", "ca", "control", "entra", "issuer"]);
        let ca = std::fs::read(addresses["ca"].as_str().unwrap()).unwrap();
        let http = reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
            .build()
            .unwrap();
        let url = |name: &str| addresses[name].as_str().unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", PRINCIPAL.split_once(':').unwrap().0),
            ("client_secret", PRINCIPAL.split_once(':').unwrap().1),
            ("scope", "https://management.azure.com/.default"),
        ];
        let token = http
            .post(format!("{}/{TENANT}/oauth2/v2.0/token", url("entra")))
            .form(&form);
        let token: Value = token.send().await.unwrap().json().await.unwrap();
        let groups = http
            .get(format!(
                "{}/subscriptions/{SUBSCRIPTION}/resourcegroups?api-version=2022-09-01",
                url("arm")
            ))
            .bearer_auth(token["access_token"].as_str().unwrap());
        let groups: Value = groups.send().await.unwrap().json().await.unwrap();
        assert_eq!(groups["value"].as_array().unwrap().len(), 2);
        let log = http
            .get(format!("{}/requests", url("control")))
            .send()
            .await
            .unwrap();
        assert_eq!(
            log.json::<Value>().await.unwrap().as_array().unwrap().len(),
            2
        );

        running.signal(signal);
        let status = running.0.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        // The access log names paths, and neither the token nor the secret.
        let mut text = String::new();
        std::io::Read::read_to_string(&mut running.0.stderr.take().unwrap(), &mut text).unwrap();
        assert!(text.contains("/resourcegroups"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("eyJ"), "{text}");
    }
}

#[test]
fn its_ca_outlives_it() {
    let state_dir = TempDir::new().unwrap();
    let ca = |addresses: Value| std::fs::read(addresses["ca"].as_str().unwrap()).unwrap();
    let (first, addresses) = Running::start(&state_dir, &[]);
    let first_ca = ca(addresses);
    drop(first);
    let (_second, addresses) = Running::start(&state_dir, &[]);
    assert_eq!(ca(addresses), first_ca);
}

#[test]
fn a_wrong_flag_is_named() {
    let state_dir = TempDir::new().unwrap();
    for (flags, what) in [
        (["--service-principal", "no-colon"], "CLIENT_ID:SECRET"),
        (["--service-principal", "no-guid:secret"], "not a GUID"),
        (["--latency", "soon"], "--latency"),
        (["--control-address", "0.0.0.0:0"], "loopback"),
        (["--trusted-ca", "/nowhere.pem"], "/nowhere.pem"),
    ] {
        let output = simulator(&state_dir, &flags).output().unwrap();
        assert!(!output.status.success(), "{flags:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(what), "{flags:?}: {text}");
    }
}

#[tokio::test]
async fn the_settings_of_the_model_can_be_given_on_the_command_line() {
    let state_dir = TempDir::new().unwrap();
    let flags = ["--tunables", r#"{"pageSize": 7, "throttling": {}}"#];
    let (_running, addresses) = Running::start(&state_dir, &flags);
    let url = format!("{}/tunables", addresses["control"].as_str().unwrap());
    let tunables: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(tunables["pageSize"], 7);
    assert_eq!(
        tunables["throttling"]["provider"]["put"]["resource"]["perMinute"],
        15
    );
    let refused = simulator(&state_dir, &["--tunables", r#"{"pagesize": 7}"#])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("pagesize"), "{stderr}");
}
