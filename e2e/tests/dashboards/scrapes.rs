//! The stored scrapes, against what two replicas of today show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Context;
use azure_simulator::control::api::FaultAction;
use azwib_e2e::environment::interference::{Outage, service_unavailable};
use azwib_e2e::environment::rule::Rule;
use azwib_e2e::environment::{Namespace, PATIENCE};
use azwib_e2e::{Environment, OperatorProcess, wait};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::{file, writes};

const REPLICAS: [&str; 2] = ["azwib-operator-one", "azwib-operator-two"];

/// The scrapes by the names of their files.
type Scrapes = BTreeMap<String, String>;

async fn start(env: &Environment) -> anyhow::Result<OperatorProcess> {
    let mut flags = env.operator_flags();
    flags.extend(
        [
            "--leader-elect",
            "--leader-election-namespace=azwib-system",
            "--credential-limit=2",
            "--stalled-after=1s",
            // No longer than a write is given to settle.
            "--request-timeout=2s",
            // The API server is away for a while, and the first replica leads on.
            "--leader-elect-lease-duration=20s",
            "--leader-elect-renew-deadline=15s",
        ]
        .map(str::to_owned),
    );
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    Ok(operator)
}

/// Waits until a scrape has samples that begin with these.
async fn shows(operator: &OperatorProcess, samples: &[&str]) -> anyhow::Result<()> {
    wait::until(&format!("{samples:?}"), PATIENCE, async || {
        let scrape = operator.metrics().await?;
        let shown = |sample: &&str| scrape.lines().any(|line| line.starts_with(*sample));
        Ok(samples.iter().all(shown).then_some(()))
    })
    .await
}

/// How many requests of this replica to the API server had no answer.
async fn unanswered(operator: &OperatorProcess) -> anyhow::Result<u64> {
    let scrape = operator.metrics().await?;
    let unanswered = scrape
        .lines()
        .filter(|line| line.starts_with("rest_client_requests_total{code=\"<error>\""));
    let counts = unanswered.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>());
    Ok(counts.sum::<Result<_, _>>()?)
}

/// Azure is away while this Ready binding is looked at, of which no event can tell, until counters count both. Azure stays away until
/// what is returned is ended.
async fn azure_is_away(
    shop: &Namespace<'_>,
    binding: &str,
    leader: &OperatorProcess,
) -> anyhow::Result<Outage> {
    let no_events = Rule::no_events(shop).await?;
    let counted = |scrape: &str, metric: &str| -> u64 {
        let of = scrape.lines().filter(|line| line.starts_with(metric));
        of.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    let metrics = [
        "azwib_unverified_reconciles_total{",
        "azwib_unpublished_events_total{",
    ];
    let before = leader.metrics().await?;
    let outage = shop.outage(service_unavailable()).await?;
    let asked = json!({ "azwib.dev/reconcile-requested-at": uuid::Uuid::new_v4() });
    let asked = json!({ "metadata": { "annotations": asked } });
    shop.bindings()
        .patch(binding, &PatchParams::default(), &Patch::Merge(asked))
        .await?;
    wait::until("both to be counted", PATIENCE, async || {
        let scrape = leader.metrics().await?;
        let mut grown = metrics
            .iter()
            .map(|it| counted(&scrape, it) > counted(&before, it));
        Ok(grown.all(|it| it).then_some(()))
    })
    .await?;
    no_events.lift().await?;
    Ok(outage)
}

/// The API server is away until a request of this replica had no answer.
async fn api_server_is_away(env: &Environment, leader: &OperatorProcess) -> anyhow::Result<()> {
    let cluster = &env.control_plane;
    let before = unanswered(leader).await?;
    cluster.stop_api_server().await?;
    wait::until("a request without an answer", PATIENCE, async || {
        Ok((unanswered(leader).await? > before).then_some(()))
    })
    .await?;
    cluster.start_api_server().await?;
    leader.probe_until("/readyz", 200, "ok").await?;
    Ok(())
}

/// Two scrapes of each replica, with something of everything in between.
async fn taken() -> anyhow::Result<Scrapes> {
    let env = Environment::without_operator().await?;
    let one = start(&env).await?;
    shows(&one, &["workqueue_depth{"]).await?;
    let replicas = [one, start(&env).await?];
    let leader = &replicas[0];
    let mut scrapes = Scrapes::new();
    let mut take = async |part: &str| -> anyhow::Result<()> {
        for (name, replica) in REPLICAS.iter().zip(&replicas) {
            let scrape = replica.metrics().await?;
            scrapes.insert(format!("{name}.{part}.txt"), scrape);
        }
        Ok(())
    };

    let shop = env.namespace("dashboards").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let missing = shop.identity_id("missing");
    shop.bind("missing", &format!("identity: {{resourceId: {missing}}}"))
        .await?;
    shop.failing("missing", "IdentityResolved", "IdentityNotFound")
        .await?;
    let stalled = "azwib_bindings{condition=\"Stalled\",status=\"True\"";
    shows(leader, &[stalled]).await?;
    azure_is_away(&shop, "orders", leader).await?.end().await?;
    api_server_is_away(&env, leader).await?;
    take("first").await?;

    let id = orders.resource_id();
    let retained = format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain");
    shop.bind("retained", &retained).await?;
    shop.ready("retained").await?;
    shop.unbind("retained").await?;
    shop.bind_to("waits", &orders).await?;
    shop.failing("waits", "CredentialReady", "CredentialLimitReached")
        .await?;
    let invoices = shop.identity("invoices").await?;
    shop.bind_to("invoices", &invoices).await?;
    shop.ready("invoices").await?;
    let throttled = FaultAction::Respond {
        status: 429,
        code: "TooManyRequests".to_owned(),
        message: "Too many requests.".to_owned(),
        headers: vec![("Retry-After".to_owned(), "120".to_owned())],
        body: None,
    };
    let put = shop.requests_to("PUT", "invoices");
    let throttling = env.outage(put, throttled).await?;
    shop.bind_to("more-invoices", &invoices).await?;
    let limited = "azwib_azure_rate_limits{scope=\"identity\",requestType=\"PUT\"} 1";
    shows(leader, &[limited]).await?;
    let outage = azure_is_away(&shop, "invoices", leader).await?;
    // Its credential cannot be deleted meanwhile.
    let bindings = shop.bindings();
    bindings.delete("orders", &DeleteParams::default()).await?;
    wait::until("the deletion to take a while", PATIENCE, async || {
        let scrape = leader.metrics().await?;
        let mut lines = scrape.lines();
        let age = lines.find_map(|line| line.strip_prefix("azwib_oldest_deleting_seconds "));
        Ok((age.context("no age")?.parse::<f64>()? >= 2.0).then_some(()))
    })
    .await?;
    take("second").await?;
    outage.end().await?;
    throttling.end().await?;
    Ok(scrapes)
}

/// Names and types of the metrics of scrapes, with the names of their labels.
fn shape(scrapes: &Scrapes) -> BTreeSet<String> {
    let mut shape = BTreeSet::new();
    for line in scrapes.values().flat_map(|scrape| scrape.lines()) {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            shape.insert(family.to_owned());
        } else if !line.starts_with('#') {
            let sample = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            // Values have no `="` in them.
            let labels = labels.split("=\"").filter_map(|it| it.rsplit(',').next());
            let labels: Vec<_> = labels.filter(|it| !it.contains('"')).collect();
            shape.insert(format!("{name} {}", labels.join(" ")));
        }
    }
    shape
}

#[tokio::test]
async fn the_stored_scrapes_have_the_metrics_and_labels_of_today() -> anyhow::Result<()> {
    let folder = file("e2e/tests/dashboards/scrapes");
    let taken = taken().await?;
    if writes() {
        for (name, scrape) in &taken {
            fs::write(folder.join(name), scrape)?;
        }
    }
    let stored = taken
        .keys()
        .map(|name| Ok((name.clone(), fs::read_to_string(folder.join(name))?)));
    let stored = stored.collect::<anyhow::Result<Scrapes>>()?;
    let (stored, taken) = (shape(&stored), shape(&taken));
    let gone: Vec<_> = stored.difference(&taken).collect();
    let new: Vec<_> = taken.difference(&stored).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "make test-dashboards WRITE=1 takes them again; gone: {gone:?}, new: {new:?}"
    );
    Ok(())
}
