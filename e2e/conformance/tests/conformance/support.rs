//! A simulator, a token, and the tool as a process.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use azure_simulator::control::ControlClient;
use azure_simulator::control::api::{Fault, FaultAction, Hold, HoldState, Latency, Matcher, When};
use azure_simulator::{ServicePrincipal, Simulator, SimulatorConfig};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::{Uuid, uuid};

pub(crate) const SUBSCRIPTION: Uuid = uuid!("22222222-2222-4222-8222-222222222222");
const TENANT: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
const OWNER: Uuid = uuid!("33333333-3333-4333-8333-333333333333");
const SECRET: &str = "secret-of-the-owner";
/// As Azure is: two requests that are sent at once overlap.
const WRITE_MILLISECONDS: u64 = 40;

/// A running simulator, and a folder with a token of an owner of the subscription.
pub(crate) struct Azure {
    simulator: Simulator,
    pub(crate) control: ControlClient,
    http: Client,
    folder: TempDir,
}

/// What the tool printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// What `--json` wrote.
    pub(crate) json: Value,
}

/// Keys take a moment to make: all tests share those of one folder.
async fn state_dir() -> PathBuf {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _making = MAKING.lock().await;
    if DIRECTORY.get().is_none() {
        let directory = TempDir::new().unwrap();
        let config = SimulatorConfig {
            state_dir: Some(directory.path().to_owned()),
            ..SimulatorConfig::default()
        };
        drop(Simulator::start(config).await.unwrap());
        DIRECTORY.set(directory).unwrap();
    }
    DIRECTORY.get().unwrap().path().to_owned()
}

impl Azure {
    pub(crate) async fn start() -> Self {
        let config = SimulatorConfig {
            state_dir: Some(state_dir().await),
            tenant: TENANT,
            subscription: SUBSCRIPTION,
            service_principals: vec![ServicePrincipal {
                client_id: OWNER,
                secret: Some(SECRET.to_owned()),
            }],
            ..SimulatorConfig::default()
        };
        let simulator = Simulator::start(config).await.unwrap();
        let ca = std::fs::read(simulator.ca_path()).unwrap();
        let http = Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(Certificate::from_pem(&ca).unwrap())
            .no_proxy()
            .build()
            .unwrap();
        let azure = Self {
            control: ControlClient::new(simulator.control_url()),
            simulator,
            http,
            folder: TempDir::new().unwrap(),
        };
        let overlapping = Latency {
            matcher: path("**/single-writer/federatedIdentityCredentials/*"),
            milliseconds: WRITE_MILLISECONDS,
            jitter_milliseconds: 0,
        };
        azure.control.set_latencies(&[overlapping]).await.unwrap();
        azure
    }

    /// A token as the simulator's Entra gives it to a client of which it knows the secret.
    pub(crate) async fn token_of(&self, client: Uuid, secret: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &client.to_string()),
            ("client_secret", secret),
            ("scope", scope),
        ];
        let url = format!("{}/{TENANT}/oauth2/v2.0/token", self.simulator.entra_url());
        let answer = self.http.post(url).form(&form).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A token of the owner.
    pub(crate) async fn token(&self) -> String {
        self.token_for("https://management.azure.com").await
    }

    /// A token of the owner for an audience.
    pub(crate) async fn token_for(&self, audience: &str) -> String {
        let scope = format!("{audience}/.default");
        self.token_of(OWNER, SECRET, &scope).await
    }

    /// Writes a token into a file, as `az` prints it. Returns the command that prints it.
    pub(crate) fn prints(&self, name: &str, token: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, json!({"accessToken": token}).to_string()).unwrap();
        format!("cat {}", path.display())
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tool with a token command and these flags besides, which may be other ones than are usual here.
    pub(crate) fn tool(&self, token_command: &str, flags: &[&str]) -> Command {
        let usual = [
            ("--resource-manager", self.simulator.arm_url().to_owned()),
            ("--ca-file", self.simulator.ca_path().display().to_string()),
            ("--subscription", SUBSCRIPTION.to_string()),
            ("--json", self.path("report.json").display().to_string()),
            ("--token-command", token_command.to_owned()),
            ("--poll-interval", "50ms".to_owned()),
            ("--patience", "20s".to_owned()),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
        command.args(flags);
        for (name, value) in usual {
            if !flags.iter().any(|flag| flag.starts_with(name)) {
                command.arg(format!("{name}={value}"));
            }
        }
        command
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts the tool as the owner.
    pub(crate) async fn start_tool(&self, flags: &[&str]) -> Child {
        let command = self.prints("token.json", &self.token().await);
        self.tool(&command, flags).spawn().unwrap()
    }

    /// Runs the tool as the owner, to its end.
    pub(crate) async fn run(&self, flags: &[&str]) -> Outcome {
        let child = self.start_tool(flags).await;
        self.outcome(child.wait_with_output().await.unwrap())
    }

    /// Runs the tool with a token command, to its end.
    pub(crate) async fn run_with(&self, token_command: &str, flags: &[&str]) -> Outcome {
        let output = self.tool(token_command, flags).output().await.unwrap();
        self.outcome(output)
    }

    pub(crate) fn outcome(&self, output: Output) -> Outcome {
        let report = std::fs::read(self.path("report.json")).unwrap_or_default();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            json: serde_json::from_slice(&report).unwrap_or_default(),
        }
    }

    /// What Resource Manager answers to the owner.
    pub(crate) async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let url = format!("{}{path}?api-version=2022-09-01", self.simulator.arm_url());
        let answer = self.http.get(url).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The names of all resource groups.
    pub(crate) async fn groups(&self) -> Vec<String> {
        let path = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups");
        let (_, list) = self.get(&path, &self.token().await).await;
        let groups = list["value"].as_array().unwrap().iter();
        groups
            .map(|group| group["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Holds the first request to a path, runs the tool until it is held, and sends the tool a signal. Returns what the tool
    /// did then.
    pub(crate) async fn interrupt(&self, matcher: Matcher, signal: &str) -> Outcome {
        let hold = Hold {
            matcher,
            nth: 1,
            when: When::BeforeEffect,
        };
        let hold = self.control.add_hold(&hold).await.unwrap();
        let child = self.start_tool(&[]).await;
        let patience = Duration::from_secs(60);
        let state = self.control.wait_for_hold(hold, patience).await.unwrap();
        assert_eq!(state, HoldState::Reached);
        send_signal(&child, signal);
        self.outcome(child.wait_with_output().await.unwrap())
    }
}

pub(crate) fn send_signal(child: &Child, signal: &str) {
    let status = std::process::Command::new("kill")
        .args([signal, &child.id().unwrap().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// A fault: this answer, without an effect.
pub(crate) fn respond(matcher: Matcher, status: u16, code: &str) -> Fault {
    Fault {
        matcher,
        skip: 0,
        times: None,
        when: When::BeforeEffect,
        action: FaultAction::Respond {
            status,
            code: code.to_owned(),
            message: "No.".to_owned(),
            headers: Vec::new(),
            body: None,
        },
    }
}

pub(crate) fn path(glob: &str) -> Matcher {
    Matcher {
        path: Some(glob.to_owned()),
        ..Matcher::default()
    }
}

pub(crate) fn operation(name: &str) -> Matcher {
    Matcher {
        operation: Some(name.to_owned()),
        ..Matcher::default()
    }
}

impl Outcome {
    /// The facts with this verdict.
    pub(crate) fn facts(&self, verdict: &str) -> Vec<&str> {
        let facts = self.json["facts"].as_array().unwrap().iter();
        facts
            .filter(|fact| fact["verdict"] == verdict)
            .map(|fact| fact["fact"].as_str().unwrap())
            .collect()
    }
}
