//! The demo: all of it brought up on this machine, `examples/` applied, and a pod's token exchanged for an Azure token.

mod guest;
pub(crate) mod progress;
mod report;

use std::{collections::BTreeSet, io::Write, process::ExitCode, time::Duration};

use anyhow::{Context, bail, ensure};
use azwib_crds::{ResolvedIdentity, WorkloadIdentityBinding};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use tokio::signal::unix::{SignalKind, signal};

use self::guest::Guest;
use self::progress::Progress;
use crate::{
    Environment, EnvironmentOptions, ProjectedToken, Webhook,
    environment::{condition, observed},
    examples,
    wait::until,
    workload::AccessToken,
};

/// The example whose pod is looked at.
const SHOWN: &str = "01-minimal.yaml";

/// One of the flags by which the demo's operator differs from one in production, where the default is 10 s: the simulator has no
/// replicas that a credential must spread to.
const PROPAGATION_DELAY: &str = "--propagation-delay=1s";

/// The other one: in production a credential whose grant is gone works on for 5 minutes.
const REVOCATION_GRACE: &str = "--revocation-grace=5s";

/// What the pod asks a token for: Azure Key Vault.
const SCOPE: &str = "https://vault.azure.net/.default";

/// A few seconds are usual; a machine that compiles on all cores at once takes a multiple.
const PATIENCE: Duration = Duration::from_secs(120);

/// Exit code of a program that an interrupt has ended: 128 and SIGINT's number.
const INTERRUPTED: u8 = 130;

/// All that runs, and what was seen of it.
struct Demo {
    environment: Environment,
    /// As `kubectl get azwib -A -o wide` prints them.
    bindings: String,
    /// The pod of [`SHOWN`].
    pod: Pod,
    token: ProjectedToken,
    /// The identity that its ServiceAccount is bound to.
    identity: ResolvedIdentity,
    /// What a binding of another namespace said, without a grant, with one, and without it again.
    guest: Guest,
    access: AccessToken,
}

/// Runs the demo; `once`: until all is shown, otherwise until an interrupt. Nothing that it started is left when it returns.
pub fn run(once: bool) -> ExitCode {
    let mut progress = Progress::new();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into(), &progress),
    };
    let outcome = runtime.block_on(show(once, &mut progress));
    // A build of the control plane that an interrupt has overtaken is not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| fail(&error, &progress))
}

fn fail(error: &anyhow::Error, progress: &Progress) -> ExitCode {
    progress.note(&format!("failed while {}", progress.step()));
    progress.note(&explain(error));
    ExitCode::FAILURE
}

/// What went wrong with its causes in one line, and below it the logs that came along.
fn explain(error: &anyhow::Error) -> String {
    let (logs, causes): (Vec<_>, Vec<_>) = error
        .chain()
        .map(ToString::to_string)
        .partition(|message| message.contains('\n'));
    let causes = Some(causes.join(": ")).filter(|causes| !causes.is_empty());
    causes
        .into_iter()
        .chain(logs)
        .collect::<Vec<_>>()
        .join("\n")
}

async fn show(once: bool, progress: &mut Progress) -> anyhow::Result<ExitCode> {
    let interrupted = interruption()?;
    tokio::pin!(interrupted);
    let started = tokio::select! {
        demo = Demo::start(progress) => Some(demo?),
        () = &mut interrupted => None,
    };
    let Some(demo) = started else {
        progress.note("interrupted: everything that was started is gone");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    progress.begin("showing what came of it");
    print(&demo.report())?;
    if !once {
        print(&demo.invitation()?)?;
        interrupted.await;
    }
    progress.begin("ending everything that was started");
    drop(demo);
    progress.note("all of it is gone");
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Ends when the process is told to end, by the terminal or otherwise. From the call on, signals do not kill.
fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

impl Demo {
    async fn start(progress: &mut Progress) -> anyhow::Result<Self> {
        let options = EnvironmentOptions {
            operator_flags: vec![
                PROPAGATION_DELAY.to_owned(),
                REVOCATION_GRACE.to_owned(),
                "--log-level=info".to_owned(),
            ],
            // As installed: on a cluster without bindings grants are required from the start.
            grants: None,
            keep_records: false,
            ..EnvironmentOptions::default()
        };
        let environment =
            Environment::start_with_progress(options, |step| progress.begin(step)).await?;
        progress.begin("starting the azure-workload-identity webhook");
        let webhook = environment.start_webhook().await?;

        progress.begin("creating the managed identities that examples/ name in the simulator");
        for identity in examples::create_identities(&environment).await? {
            progress.note(&format!("  {}", identity.name()));
        }
        progress.begin("applying the examples: kubectl apply -k examples");
        let folder = examples::folder().display().to_string();
        let kubectl = async |args: &[&str]| environment.control_plane.kubectl(args).await;
        kubectl(&["apply", "-k", &folder]).await?;
        progress.begin("waiting until the bindings are Ready");
        let identity = await_bindings(&environment, progress).await?;
        let bindings = kubectl(&["get", "azwib", "-A", "-o", "wide"]).await?;

        progress.begin("waiting for a pod of the minimal example, admitted by the webhook");
        let pod = await_pod(&environment, &webhook).await?;
        progress.note(&format!("  pod {}", pod.name_any()));
        progress.begin("exchanging the token of the pod's projected volume for an Azure token");
        let token = ProjectedToken::of_pod(&environment.client().await?, &pod).await?;
        let access = token.exchange(SCOPE, environment.ca()).await?.granted()?;
        let claims = access.claims()?;
        ensure!(
            claims["appid"] == identity.client_id
                && claims["oid"].as_str() == identity.principal_id.as_deref(),
            "the token is of another identity: {claims}"
        );
        let id = identity.resource_id.clone().unwrap_or_default();
        let guest = Guest::invite(&environment, &id, progress).await?;
        Ok(Self {
            environment,
            guest,
            bindings,
            pod,
            token,
            identity,
            access,
        })
    }
}

/// Waits until every binding of `examples/` is Ready; gives the identity of the one that is shown.
async fn await_bindings(
    environment: &Environment,
    progress: &Progress,
) -> anyhow::Result<ResolvedIdentity> {
    let (namespace, name) = shown("WorkloadIdentityBinding")?;
    let expected = examples::of_kind("WorkloadIdentityBinding")?.len();
    let bindings: Api<WorkloadIdentityBinding> = Api::all(environment.client().await?);
    let mut ready = BTreeSet::new();
    let mut waiting = Vec::new();
    let outcome = until("the bindings to be Ready", PATIENCE, async || {
        let all = bindings.list(&ListParams::default()).await?.items;
        for binding in all.iter().filter(|binding| is_ready(binding)) {
            let name = full_name(binding);
            if ready.insert(name.clone()) {
                progress.note(&format!("  {name} is Ready"));
            }
        }
        let found = all
            .iter()
            .find(|binding| full_name(binding) == format!("{namespace}/{name}"))
            .and_then(|binding| binding.status.clone()?.identity);
        waiting = all.into_iter().filter(|it| !is_ready(it)).collect();
        environment.check_operator().await?;
        Ok(found.filter(|_| ready.len() == expected && waiting.is_empty()))
    })
    .await;
    match outcome {
        Ok(identity) => Ok(identity),
        Err(error) => {
            let waiting: Vec<_> = waiting.iter().map(why).collect();
            let log = environment.operator_log_tail().await;
            bail!(
                "{error:#}\nnot Ready: {}\n{}",
                waiting.join("; "),
                log.trim_end()
            )
        }
    }
}

/// Waits for the pod that the controllers made of the Deployment that is shown.
async fn await_pod(environment: &Environment, webhook: &Webhook) -> anyhow::Result<Pod> {
    let (namespace, name) = shown("Deployment")?;
    let pods: Api<Pod> = Api::namespaced(environment.client().await?, &namespace);
    let labels = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
    until("the pod", PATIENCE, async || {
        Ok(pods.list(&labels).await?.items.into_iter().next())
    })
    .await
    .with_context(|| webhook.process().log_tail())
}

/// Namespace and name of the object of this kind in the example that is shown.
fn shown(kind: &str) -> anyhow::Result<(String, String)> {
    let object = examples::document(SHOWN, kind)?;
    let field = |name: &str| {
        let value = object["metadata"][name].as_str().map(str::to_owned);
        value.with_context(|| format!("the {kind} of {SHOWN} has no {name}"))
    };
    Ok((field("namespace")?, field("name")?))
}

fn full_name(binding: &WorkloadIdentityBinding) -> String {
    format!(
        "{}/{}",
        binding.namespace().unwrap_or_default(),
        binding.name_any()
    )
}

fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    observed(binding) && condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
}

/// What a binding says of itself.
fn why(binding: &WorkloadIdentityBinding) -> String {
    let ready = condition(binding, "Ready");
    let says = ready.map_or_else(
        || "no status yet".to_owned(),
        |ready| format!("{}: {}", ready.reason, ready.message),
    );
    format!("{} ({says})", full_name(binding))
}
