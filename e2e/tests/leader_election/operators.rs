//! The processes of a test.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use azure_simulator::control::api::{NewIdentity, RequestRecord};
use azwib_e2e::{ApiProxy, OperatorAccess, OperatorOptions};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::evidence::Evidence;
use super::*;

static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();
/// How many were started: each has a log of its own.
static STARTED: AtomicUsize = AtomicUsize::new(0);
/// What a test that failed has left running.
static LEFT: std::sync::Mutex<Vec<OperatorProcess>> = std::sync::Mutex::new(Vec::new());
static TURN: Mutex<()> = Mutex::const_new(());

/// Processes that a test may start. Each has a managed identity of its own, and a token of its own for the API server.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// How long a request to Azure may be under way, as a rule.
const SHORT: Duration = Duration::from_secs(2);

/// Longer than a lease.
pub(super) const LONG: Duration = Duration::from_secs(5);

/// The same on a slow machine, with time for a few steps. A deletion is settled by time alone, so tests wait for that.
pub(super) const LONGER: Duration = Duration::from_secs(20);

/// Longer than a test takes until it lets a request go, however slow the machine is.
pub(super) const PATIENT: Duration = Duration::from_secs(120);

/// What differs between tests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// Each process reaches the API server by a proxy of its own.
    pub(super) proxies: bool,
    /// How long a request to Azure may be under way, if not [`SHORT`].
    pub(super) requests: Option<Duration>,
    /// After how long a write is settled, if not a second later than that.
    pub(super) settles: Option<Duration>,
    /// Further flags, in place of the usual ones of the same name.
    pub(super) flags: &'static [&'static str],
}

impl Options {
    fn requests(&self) -> Duration {
        self.requests.unwrap_or(SHORT)
    }

    /// A write is settled so long after it was sent, where no read shows what became of it.
    fn settles_in(&self) -> Duration {
        self.settles
            .unwrap_or(self.requests() + Duration::from_secs(1))
    }
}

/// Two operators, called `one` and `two`, in an environment without any other.
pub(super) struct Operators {
    pub(super) env: &'static Environment,
    options: Options,
    pub(super) client: Client,
    /// Also one that stands still. A process that is not among them when a test fails would go on beside the next test.
    pub(super) running: BTreeMap<&'static str, OperatorProcess>,
    proxies: BTreeMap<&'static str, ApiProxy>,
    evidence: Evidence,
    _turn: MutexGuard<'static, ()>,
}

impl Operators {
    /// The first of them leads, and the other one waits and is ready.
    pub(super) async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// The same behind proxies.
    pub(super) async fn behind_proxies() -> anyhow::Result<Self> {
        let proxies = true;
        Self::start_with(Options {
            proxies,
            ..Options::default()
        })
        .await
    }

    /// The same where a request to Azure may be under way for so long.
    pub(super) async fn with_requests(requests: Duration) -> anyhow::Result<Self> {
        Self::start_with(Options {
            requests: Some(requests),
            ..Options::default()
        })
        .await
    }

    pub(super) async fn start_with(options: Options) -> anyhow::Result<Self> {
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
    pub(super) async fn run(&mut self, name: &'static str) -> anyhow::Result<()> {
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
        let (requests, settles_in) = (self.options.requests(), self.options.settles_in());
        let mut own_flags = vec![
            format!("--azure-client-id={}", identities()?[name].client_id),
            format!("--write-settle-time={}s", settles_in.as_secs()),
        ];
        own_flags.extend(self.options.flags.iter().map(ToString::to_string));
        for flag in own_flags {
            let name = flag.split('=').next().unwrap_or_default();
            args.retain(|it| it.split('=').next() != Some(name));
            args.push(flag);
        }
        args.extend([
            "--leader-elect".to_owned(),
            "--leader-election-namespace=azwib-system".to_owned(),
            format!("--request-timeout={}s", requests.as_secs()),
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

    /// After how long a write is settled.
    pub(super) fn settles_in(&self) -> Duration {
        self.options.settles_in()
    }

    /// What shows this token is no process of the test's.
    pub(super) fn leaves_out(&mut self, access: &OperatorAccess) -> anyhow::Result<()> {
        self.evidence.leaves_out(access.credential()?);
        Ok(())
    }

    pub(super) fn proxy(&self, name: &str) -> &ApiProxy {
        &self.proxies[name]
    }

    pub(super) fn of(&self, name: &str) -> &OperatorProcess {
        &self.running[name]
    }

    /// Ends a process at once.
    pub(super) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.of(name).kill().await?;
        self.running.remove(name);
        Ok(())
    }

    /// Asks a process to stop.
    pub(super) async fn stop(&mut self, name: &str) -> anyhow::Result<Exit> {
        let exit = self.of(name).terminate().await?;
        self.running.remove(name);
        Ok(exit)
    }

    pub(super) fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), "azwib-system")
    }

    pub(super) async fn spec(&self) -> anyhow::Result<LeaseSpec> {
        let lease = self.leases().get_opt(LEASE).await?;
        Ok(lease.and_then(|lease| lease.spec).unwrap_or_default())
    }

    /// Waits until this process holds the Lease, and says how long that took.
    pub(super) async fn until_led_by(&self, name: &str) -> anyhow::Result<Duration> {
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
    pub(super) async fn until_led(&self) -> anyhow::Result<&'static str> {
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
    pub(super) async fn writes_of(
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
    pub(super) async fn until_listed_by(
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
    pub(super) async fn leads(&self, name: &str) -> anyhow::Result<bool> {
        let Some(operator) = self.running.get(name) else {
            return Ok(false);
        };
        let scrape = operator.metrics().await?;
        let status = "leader_election_master_status{name=\"azwib-operator\"} ";
        let line = scrape.lines().find_map(|line| line.strip_prefix(status));
        Ok(line.context("it does not say whether it leads")? == "1")
    }

    /// Somebody changes the Lease.
    pub(super) async fn patch(&self, spec: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let how = PatchParams::default();
        self.leases().patch(LEASE, &how, &patch).await?;
        Ok(())
    }

    /// Ends all, leaves the Lease to the next test, and judges what they have done.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        for operator in self.running.values() {
            let exit = operator.terminate().await?;
            assert_eq!(exit, Exit::Code(0), "{}", operator.log_tail());
        }
        self.running.clear();
        let case = self.evidence.collect(self.env).await?;
        eprintln!("{}", case.summary());
        // Else the judges have nothing to look at.
        let seen = (case.terms().len(), case.to_azure(), case.to_cluster());
        assert!(seen.0 > 0 && seen.1 > 0 && seen.2 > 0, "{}", case.summary());
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
