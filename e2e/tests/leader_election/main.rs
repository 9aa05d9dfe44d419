//! Several operators, of which one leads: nobody writes twice, and nobody writes without the Lease.
//!
//! The tests share an environment and take turns with it. Leases are short, so that no test waits for what takes seconds in
//! production. At its end each test is judged by what the API server and Azure have seen of it ([`judge`]).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_server;
mod clocks;
mod evidence;
mod hooks;
mod judge;
mod lease;
mod partition;
mod renewals;
mod rollout;
mod takeover;
mod under_way;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use azure_simulator::control::api::{NewIdentity, RequestRecord};
use azwib_e2e::api_proxy::{CallMatcher, Slow};
use azwib_e2e::environment::{ManagedIdentity, Namespace};
use azwib_e2e::supervisor::Exit;
use azwib_e2e::wait::{PATIENCE, until};
use azwib_e2e::{ApiProxy, Environment, OperatorOptions, OperatorProcess};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::time::sleep;

use self::evidence::Evidence;

const LEASE: &str = "azwib-operator";
const LEASE_DURATION: Duration = Duration::from_secs(3);
const RENEW_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// What a busy machine adds to everything.
const SLACK: Duration = Duration::from_secs(3);

static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();
/// How many were started: each has a log of its own.
static STARTED: AtomicUsize = AtomicUsize::new(0);
/// What a test that failed has left running.
static LEFT: std::sync::Mutex<Vec<OperatorProcess>> = std::sync::Mutex::new(Vec::new());
static TURN: Mutex<()> = Mutex::const_new(());

/// Processes that a test may start. Each has a managed identity of its own, and a token of its own for the API server.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// What differs between tests.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    /// Each process reaches the API server by a proxy of its own.
    proxies: bool,
    /// A request to Azure may be under way for 5 s in place of 2 s, longer than a lease. A write settles in 6 s then.
    long_requests: bool,
}

/// Two operators, called `one` and `two`, in an environment without any other.
struct Operators {
    env: &'static Environment,
    options: Options,
    client: Client,
    running: BTreeMap<&'static str, OperatorProcess>,
    proxies: BTreeMap<&'static str, ApiProxy>,
    evidence: Evidence,
    _turn: MutexGuard<'static, ()>,
}

impl Operators {
    /// The first of them leads, and the other one waits and is ready.
    async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// The same behind proxies.
    async fn behind_proxies() -> anyhow::Result<Self> {
        let proxies = true;
        Self::start_with(Options {
            proxies,
            ..Options::default()
        })
        .await
    }

    async fn start_with(options: Options) -> anyhow::Result<Self> {
        let turn = TURN.lock().await;
        let env = ENVIRONMENT.get_or_try_init(environment).await?;
        let left = std::mem::take(&mut *LEFT.lock().unwrap());
        for operator in left {
            operator.kill().await?;
        }
        let mut operators = Self {
            env,
            options,
            client: env.client().await?,
            running: BTreeMap::new(),
            proxies: BTreeMap::new(),
            evidence: Evidence::from_now_on(identities()?),
            _turn: turn,
        };
        operators.run("one").await?;
        operators.until_led_by("one").await?;
        operators.run("two").await?;
        operators
            .of("two")
            .probe_until("/readyz", 200, "ok")
            .await?;
        Ok(operators)
    }

    /// Starts one more process.
    async fn run(&mut self, name: &'static str) -> anyhow::Result<()> {
        let access = self.env.operator_access().await?;
        self.evidence.knows(name, access.credential()?);
        let access = if self.options.proxies {
            let proxy = ApiProxy::start(&self.env.control_plane)?;
            let access = access.through(&proxy)?;
            self.proxies.insert(name, proxy);
            access
        } else {
            access
        };
        let mut args = self.env.operator_flags();
        let own = format!("--azure-client-id={}", identities()?[name].client_id);
        args.retain(|it| !it.starts_with("--azure-client-id="));
        let request_timeout = if self.options.long_requests {
            args.retain(|it| !it.starts_with("--write-settle-time="));
            args.push("--write-settle-time=6s".to_owned());
            "--request-timeout=5s"
        } else {
            "--request-timeout=2s"
        };
        args.extend([
            own,
            "--leader-elect".to_owned(),
            "--leader-election-namespace=azwib-system".to_owned(),
            request_timeout.to_owned(),
            format!(
                "--leader-elect-lease-duration={}ms",
                LEASE_DURATION.as_millis()
            ),
            format!(
                "--leader-elect-renew-deadline={}ms",
                RENEW_DEADLINE.as_millis()
            ),
            format!("--leader-elect-retry-period={}ms", RETRY_PERIOD.as_millis()),
        ]);
        let log = format!("{name}-{}.log", STARTED.fetch_add(1, Ordering::Relaxed));
        let operator = OperatorProcess::start(
            &self.env.control_plane,
            OperatorOptions {
                access: Some(access),
                args,
                env: [("POD_NAME".to_owned(), name.to_owned())].into(),
                log_file: Some(self.env.control_plane.directory().join(log)),
                ..OperatorOptions::default()
            },
        )
        .await?;
        self.running.insert(name, operator);
        Ok(())
    }

    fn proxy(&self, name: &str) -> &ApiProxy {
        &self.proxies[name]
    }

    fn of(&self, name: &str) -> &OperatorProcess {
        &self.running[name]
    }

    /// Ends a process at once.
    async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let operator = self.running.remove(name).context("it runs")?;
        operator.kill().await.map(drop)
    }

    /// Asks a process to stop.
    async fn stop(&mut self, name: &str) -> anyhow::Result<Exit> {
        let operator = self.running.remove(name).context("it runs")?;
        operator.terminate().await
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), "azwib-system")
    }

    async fn spec(&self) -> anyhow::Result<LeaseSpec> {
        let lease = self.leases().get_opt(LEASE).await?;
        Ok(lease.and_then(|lease| lease.spec).unwrap_or_default())
    }

    /// Waits until this process holds the Lease, and says how long that took.
    async fn until_led_by(&self, name: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let what = format!("{name} to lead");
        let led = until(&what, PATIENCE, async || {
            let holder = self.spec().await?.holder_identity.unwrap_or_default();
            let is_holder = holder.starts_with(&format!("{name}_"));
            let knows = self.leads(name).await?;
            Ok((is_holder && knows).then_some(()))
        });
        led.await.with_context(|| {
            let tails = self.running.iter();
            let tails = tails.map(|(name, it)| format!("{name}:\n{}", it.log_tail()));
            tails.collect::<Vec<_>>().join("\n")
        })?;
        Ok(began.elapsed())
    }

    /// Waits until one of the processes leads, and says which.
    async fn until_led(&self) -> anyhow::Result<&'static str> {
        until("somebody to lead", PATIENCE, async || {
            let holder = self.spec().await?.holder_identity.unwrap_or_default();
            for name in self.running.keys() {
                if holder.starts_with(&format!("{name}_")) && self.leads(name).await? {
                    return Ok(Some(*name));
                }
            }
            Ok(None)
        })
        .await
    }

    /// The writes that a process has sent to an identity.
    async fn writes_of(
        &self,
        name: &str,
        shop: &Namespace<'_>,
        identity: &str,
    ) -> anyhow::Result<Vec<RequestRecord>> {
        let mut writes = shop.operator_requests("PUT", identity).await?;
        writes.extend(shop.operator_requests("DELETE", identity).await?);
        let own = identities()?[name].client_id;
        writes.retain(|it| it.caller == Some(own));
        Ok(writes)
    }

    /// Waits until a process has listed the credentials of an identity.
    async fn until_listed_by(
        &self,
        name: &str,
        shop: &Namespace<'_>,
        identity: &str,
    ) -> anyhow::Result<()> {
        let own = identities()?[name].client_id;
        let what = format!("{name} to list {identity}");
        until(&what, PATIENCE, async || {
            let reads = shop.operator_requests("GET", identity).await?;
            let listed = reads.iter().any(|it| {
                let of_credentials = it.path.ends_with("/federatedIdentityCredentials");
                it.caller == Some(own) && of_credentials && it.ended.is_some()
            });
            Ok(listed.then_some(()))
        })
        .await
    }

    /// Whether a process says that it leads.
    async fn leads(&self, name: &str) -> anyhow::Result<bool> {
        let Some(operator) = self.running.get(name) else {
            return Ok(false);
        };
        let scrape = operator.metrics().await?;
        let status = "leader_election_master_status{name=\"azwib-operator\"} ";
        let line = scrape.lines().find_map(|line| line.strip_prefix(status));
        Ok(line.context("it does not say whether it leads")? == "1")
    }

    /// Somebody changes the Lease.
    async fn patch(&self, spec: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let how = PatchParams::default();
        self.leases().patch(LEASE, &how, &patch).await?;
        Ok(())
    }

    /// Ends all, leaves the Lease to the next test, and judges what they have done.
    async fn end(mut self) -> anyhow::Result<()> {
        while let Some((_, operator)) = self.running.pop_first() {
            assert_eq!(
                operator.terminate().await?,
                Exit::Code(0),
                "{}",
                operator.log_tail()
            );
        }
        let case = self.evidence.collect(self.env).await?;
        eprintln!("{}", case.summary());
        let found = case.judge(RENEW_DEADLINE);
        assert!(found.is_empty(), "{}", found.join("\n"));
        Ok(())
    }
}

static IDENTITIES: OnceLock<BTreeMap<&'static str, NewIdentity>> = OnceLock::new();

/// An environment in which Azure can tell the processes apart.
async fn environment() -> anyhow::Result<Environment> {
    let env = Environment::without_operator().await?;
    let mut identities = BTreeMap::new();
    for name in NAMES {
        let called = format!("azwib-operator-{name}");
        identities.insert(name, env.further_identity(&called).await?);
    }
    let _ = IDENTITIES.set(identities);
    Ok(env)
}

/// The managed identity that each process signs in as.
fn identities() -> anyhow::Result<&'static BTreeMap<&'static str, NewIdentity>> {
    IDENTITIES.get().context("the environment has not started")
}

impl Drop for Operators {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.running);
        LEFT.lock().unwrap().extend(left.into_values());
    }
}

/// A binding that is Ready, and its identity.
async fn settled<'a>(
    operators: &Operators,
    purpose: &str,
) -> anyhow::Result<(Namespace<'a>, ManagedIdentity)> {
    let env: &'static Environment = operators.env;
    let shop = env.namespace(purpose).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    Ok((shop, orders))
}

/// The most bindings of [`while_busy`].
const BUSY: usize = 100;

/// Between two of them.
const BUSY_EVERY: Duration = Duration::from_millis(100);

/// Binds one identity after the other while something happens, so that there is always something to write. All of them get
/// Ready, and each is written once.
async fn while_busy<T>(
    shop: &Namespace<'_>,
    purpose: &str,
    what: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut bound = Vec::new();
    let busy = async {
        loop {
            if bound.len() == BUSY {
                std::future::pending::<()>().await;
            }
            let name = format!("{purpose}-{}", bound.len());
            let identity = shop.identity(&name).await?;
            let binding = serde_json::from_value(json!({
                "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "metadata": { "name": name },
                "spec": { "identity": { "resourceId": identity.resource_id() } },
            }))?;
            bound.push(name);
            let how = PostParams::default();
            shop.bindings().create(&how, &binding).await?;
            sleep(BUSY_EVERY).await;
        }
    };
    let came_of_it = tokio::select! {
        failed = busy => return failed,
        came_of_it = what => came_of_it?,
    };
    // The last one may not be there yet.
    bound.pop();
    for name in bound {
        shop.ready(&name).await?;
        assert_eq!(shop.operator_writes(&name).await?, 1, "{name}");
    }
    Ok(came_of_it)
}

/// How many credentials of an identity were deleted. A DELETE that found nothing is none: the next leader makes sure of a deletion
/// that it has not seen.
async fn deleted(shop: &Namespace<'_>, identity: &str) -> anyhow::Result<usize> {
    let deletions = shop.operator_requests("DELETE", identity).await?;
    Ok(deletions.iter().filter(|it| it.status == Some(200)).count())
}

/// What never comes while a test runs.
const HANGS: Slow = Slow {
    by: Duration::from_secs(3600),
    lands: false,
};

/// The calls that renew the Lease, or take it.
fn renewals() -> CallMatcher {
    CallMatcher {
        method: "PUT".to_owned(),
        path: format!("/apis/coordination.k8s.io/v1/namespaces/azwib-system/leases/{LEASE}"),
    }
}

fn signal(operator: &OperatorProcess, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(operator.pid().cast_signed()).context("a process id")?;
    Ok(kill_process(pid, signal)?)
}

/// Whoever leads now makes one more binding Ready, and what was settled before was written once.
async fn works(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    works_beside(shop, name, 1).await
}

/// The same where so many writes to the first identity were in order.
async fn works_beside(shop: &Namespace<'_>, name: &str, writes: usize) -> anyhow::Result<()> {
    let identity = shop.identity(name).await?;
    shop.bind_to(name, &identity).await?;
    shop.ready(name).await?;
    assert_eq!(shop.operator_writes(name).await?, 1, "{name}");
    assert_eq!(shop.operator_writes("orders").await?, writes);
    Ok(())
}
