//! The environment of these tests, whose operator reaches the API server through a proxy, and what one crash plays in.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use azure_simulator::control::api::RequestRecord;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE};
use azwib_e2e::{ApiProxy, Environment, EnvironmentOptions, OperatorProcess, wait};
use futures::future::try_join_all;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// Longer than an operator takes to start and to write, unless the machine is very busy.
pub(crate) const SETTLE_TIME: Duration = Duration::from_secs(3);

/// What is to be repaired is looked at when a test asks for it: no pass comes in between by itself.
const RESYNC_PERIOD: Duration = Duration::from_secs(3600);

/// Every binding of a story may be held at a request to Azure.
const REQUESTS_IN_FLIGHT: usize = 100;

const LIST: &str = "FederatedIdentityCredentials_List";

/// The grant of each case.
pub(crate) const GRANT: &str = "it";

static STAGE: OnceCell<Stage> = OnceCell::const_new();

/// The environment that the tests share.
pub(crate) struct Stage {
    pub(crate) env: Environment,
    pub(crate) proxy: ApiProxy,
    operator: Mutex<Option<OperatorProcess>>,
}

impl Stage {
    pub(crate) async fn shared() -> anyhow::Result<&'static Self> {
        STAGE.get_or_try_init(Self::new).await
    }

    async fn new() -> anyhow::Result<Self> {
        let options = EnvironmentOptions {
            start_operator: false,
            grants: Some("enforce"),
            operator_flags: vec![
                format!("--resync-period={}s", RESYNC_PERIOD.as_secs()),
                "--propagation-delay=1s".to_owned(),
                "--revocation-grace=1s".to_owned(),
                format!("--write-settle-time={}s", SETTLE_TIME.as_secs()),
                format!("--azure-requests-in-flight={REQUESTS_IN_FLIGHT}"),
            ],
            ..EnvironmentOptions::default()
        };
        let env = Environment::start(options).await?;
        let proxy = ApiProxy::start(&env.control_plane)?;
        Ok(Self {
            env,
            proxy,
            operator: Mutex::default(),
        })
    }

    /// The operator, for one test at a time.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn {
            stage: self,
            operator: self.operator.lock().await,
        }
    }

    /// The operator's requests to Azure for these cases, each with its own.
    pub(crate) async fn requests(
        &self,
        cases: &[&Case],
    ) -> anyhow::Result<Vec<Vec<RequestRecord>>> {
        let all = self.env.control().requests().await?;
        let of_operator: Vec<_> = all
            .into_iter()
            .filter(|it| it.caller == Some(self.env.operator_client_id()))
            .collect();
        let of_case = |case: &&Case| {
            let group = format!("{}/", case.shop.resource_group_id()).to_ascii_lowercase();
            let own = of_operator.iter().filter(|it| {
                it.id > case.mark.request && it.path.to_ascii_lowercase().starts_with(&group)
            });
            own.cloned().collect()
        };
        Ok(cases.iter().map(of_case).collect())
    }

    /// Has these bindings looked at anew, and waits until that has begun: the passes before it are over by then.
    pub(crate) async fn looked_at_again(&self, cases: &[&Case]) -> anyhow::Result<()> {
        let listings = async || {
            let requests = self.requests(cases).await?;
            let count = |own: &Vec<RequestRecord>| {
                let ended = own.iter().filter(|it| it.ended.is_some());
                ended.filter(|it| it.operation == LIST).count()
            };
            anyhow::Ok(requests.iter().map(count).collect::<Vec<_>>())
        };
        let before = listings().await?;
        try_join_all(cases.iter().map(|case| case.request_reconcile())).await?;
        wait::until("the bindings to be looked at again", PATIENCE, async || {
            let now = listings().await?;
            let all = before.iter().zip(&now).all(|(before, now)| now > before);
            Ok(all.then_some(()))
        })
        .await
    }
}

/// The right to start and to kill the operator.
pub(crate) struct Turn<'a> {
    stage: &'a Stage,
    operator: MutexGuard<'a, Option<OperatorProcess>>,
}

impl Turn<'_> {
    /// Starts the operator, which then reaches the API server through the proxy. One that a failed test has left is
    /// ended first.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        if self.operator.is_some() {
            self.kill().await?;
        }
        let env = &self.stage.env;
        let access = env.operator_access().await?.through(&self.stage.proxy)?;
        let flags = env.operator_flags();
        let started = env.operator_with_access(access, flags, BTreeMap::new(), None);
        *self.operator = Some(started.await?);
        Ok(())
    }

    /// Ends the operator at once (SIGKILL).
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let operator = self.operator.take().context("no operator is running")?;
        operator.kill().await.map(drop)
    }
}

/// A namespace in which one story plays: it has one identity and, in time, one binding, both called `orders`.
pub(crate) struct Case {
    pub(crate) shop: Namespace<'static>,
    pub(crate) orders: ManagedIdentity,
    /// What came before the story does not count.
    pub(crate) mark: Mark,
}

/// A moment in the logs of the proxy and of the simulator.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    /// Calls before it.
    pub(crate) calls: usize,
    /// The last request before it.
    pub(crate) request: u64,
}

impl Mark {
    pub(crate) async fn now(stage: &Stage) -> anyhow::Result<Self> {
        let requests = stage.env.control().requests().await?;
        Ok(Self {
            calls: stage.proxy.calls().len(),
            request: requests.last().map_or(0, |last| last.id),
        })
    }
}

impl Case {
    pub(crate) async fn new(stage: &'static Stage, purpose: &str) -> anyhow::Result<Self> {
        let shop = stage.env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        shop.grant_all(GRANT).await?;
        Ok(Self {
            shop,
            orders,
            mark: Mark::default(),
        })
    }

    /// Makes the binding.
    pub(crate) async fn bind(&self) -> anyhow::Result<()> {
        let binding = serde_json::from_value(json!({
            "metadata": { "name": "orders" },
            "spec": { "identity": { "resourceId": self.orders.resource_id() } },
        }))?;
        let parameters = PostParams::default();
        self.shop.bindings().create(&parameters, &binding).await?;
        Ok(())
    }

    /// Asks the operator for a fresh look.
    pub(crate) async fn request_reconcile(&self) -> anyhow::Result<()> {
        let now = Timestamp::now().to_string();
        self.merge(
            json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": now } } }),
        )
        .await
    }

    /// Merges this into the binding.
    pub(crate) async fn merge(&self, patch: Value) -> anyhow::Result<()> {
        let parameters = PatchParams::default();
        let bindings = self.shop.bindings();
        bindings
            .patch("orders", &parameters, &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}
