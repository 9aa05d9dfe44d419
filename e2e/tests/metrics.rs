//! What Prometheus scrapes from the operator.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Context;
use azwib_e2e::environment::interference::service_unavailable;
use azwib_e2e::environment::rule::Rule;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE};
use azwib_e2e::{Environment, EnvironmentOptions, OperatorProcess, assets, wait};
use kube::api::{Patch, PatchParams};
use serde_json::json;

const REFERENCE: &str = include_str!("../../docs/reference/metrics.md");

/// Waits until a scrape has all these samples, and returns it.
async fn shows(operator: &OperatorProcess, samples: &[String]) -> anyhow::Result<String> {
    wait::until(&format!("{samples:#?}"), PATIENCE, async || {
        let scrape = operator.metrics().await?;
        let lines: BTreeSet<_> = scrape.lines().collect();
        let all = samples.iter().all(|it| lines.contains(it.as_str()));
        Ok(all.then_some(scrape))
    })
    .await
}

fn bindings(condition: &str, status: &str, reason: &str, count: usize) -> String {
    format!(
        r#"azwib_bindings{{condition="{condition}",status="{status}",reason="{reason}"}} {count}"#
    )
}

fn of_identity(metric: &str, identity: &ManagedIdentity, value: usize) -> String {
    let identity = identity.resource_id().to_ascii_lowercase();
    format!(r#"azwib_{metric}{{identity="{identity}"}} {value}"#)
}

fn waiting(identity: &ManagedIdentity, waits_for: &str, value: usize) -> String {
    let identity = identity.resource_id().to_ascii_lowercase();
    format!(r#"azwib_waiting_bindings{{identity="{identity}",waits_for="{waits_for}"}} {value}"#)
}

/// The value of a metric that has no labels.
fn value(scrape: &str, metric: &str) -> anyhow::Result<f64> {
    let sample = scrape
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    Ok(sample.context(metric.to_owned())?.parse()?)
}

fn requests(outcome: &str, resource: &str, type_: &str, code: &str, count: usize) -> String {
    format!(
        r#"azure_{outcome}_requests_total{{resource="{resource}",requestType="{type_}",responseCode="{code}"}} {count}"#
    )
}

/// The metrics of a scrape: name and type, as Prometheus stores them, and what they mean.
fn described(scrape: &str) -> BTreeSet<(String, &str, &str)> {
    let named = |kind: &str| {
        let lines = scrape.lines().filter_map(move |line| {
            let (name, text) = line.strip_prefix(kind)?.split_once(' ')?;
            Some((name, text))
        });
        lines.collect::<BTreeMap<_, _>>()
    };
    let help = named("# HELP ");
    let with_suffix = |(name, type_)| {
        let suffix = match type_ {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let meaning: &str = help[name];
        (
            format!("{name}{suffix}"),
            type_,
            meaning.trim_end_matches('.'),
        )
    };
    named("# TYPE ").into_iter().map(with_suffix).collect()
}

/// They are there only with verification and once it has looked: e2e/tests/issuer waits for each of them.
const OF_VERIFICATION: [&str; 3] = [
    "azwib_issuer_keys_missing",
    "azwib_issuer_comparison_age_seconds",
    "azwib_issuer_proof_age_seconds",
];

/// The reference's metrics, but for those of verification.
fn documented() -> BTreeSet<(String, &'static str, &'static str)> {
    let (table, _) = REFERENCE.split_once("\n## Labels").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        (cells[0].trim_matches('`').to_owned(), cells[1], cells[2])
    })
    .filter(|(name, ..)| !OF_VERIFICATION.contains(&name.as_str()))
    .collect()
}

/// The remarks of Prometheus' own linter about a scrape, once it has read all of it.
fn linted(scrape: &str, flag: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let mut linter = Command::new(assets::promlint()?)
        .args(flag)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = linter.stdin.take().unwrap();
    stdin.write_all(scrape.as_bytes())?;
    drop(stdin);
    let output = linter.wait_with_output()?;
    let errors = String::from_utf8(output.stderr)?;
    anyhow::ensure!(output.status.success(), "{errors}\n{scrape}");
    let said = String::from_utf8(output.stdout)?;
    let mut lines = said.lines();
    let families = described(scrape).len();
    assert_eq!(
        lines.next(),
        Some(&*format!("{families} families")),
        "{scrape}"
    );
    Ok(lines.map(str::to_owned).collect())
}

/// The labels of these are named as Azure Service Operator names them, so that its dashboards show azwib, too.
fn known_remarks() -> BTreeSet<String> {
    let metrics = [
        "azure_failed_requests_total",
        "azure_requests_time_seconds",
        "azure_successful_requests_total",
        "azwib_azure_pauses",
        "azwib_azure_rate_limits",
        "azwib_unpublished_events_total",
    ];
    let remark =
        |metric| format!("{metric}: label names should be written in 'snake_case' not 'camelCase'");
    metrics.into_iter().map(remark).collect()
}

#[test]
fn the_linter_names_what_is_wrong_in_both_formats() -> anyhow::Result<()> {
    let text = "# HELP orders_served Of today.\n# TYPE orders_served counter\norders_served 1\n";
    let remarks = linted(text, None)?;
    let expected = "orders_served: counter metrics should have \"_total\" suffix";
    assert_eq!(remarks, [expected.to_owned()].into());
    let open = "# HELP orders_total Of today.\n# TYPE orders_total gauge\norders_total 1\n# EOF\n";
    let remarks = linted(open, Some("-openmetrics"))?;
    let expected = "orders_total: non-counter metrics should not have \"_total\" suffix";
    assert_eq!(remarks, [expected.to_owned()].into());
    for broken in [
        text.to_owned(),
        open.replace("gauge", "clock"),
        open.replace("orders_total 1", "orders_total one"),
    ] {
        assert!(linted(&broken, Some("-openmetrics")).is_err(), "{broken}");
    }
    Ok(())
}

/// Asks for fresh reads.
async fn refresh(shop: &Namespace<'_>, binding: &str, request: &str) -> anyhow::Result<()> {
    let annotation =
        json!({"metadata": {"annotations": {"azwib.dev/reconcile-requested-at": request}}});
    let bindings = shop.bindings();
    let patch = Patch::Merge(annotation);
    bindings
        .patch(binding, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_scrape_tells_of_slots_orphans_bindings_requests_and_passes() -> anyhow::Result<()> {
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let env = Environment::start(options).await?;
    let mut flags = env.operator_flags();
    flags.push("--credential-limit=2".to_owned());
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("scraped").await?;
    // What was created before it leads does not count among the times to Ready.
    wait::until("it to lead", PATIENCE, async || {
        let scrape = operator.metrics().await?;
        Ok(scrape.contains("workqueue_depth").then_some(()))
    })
    .await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();

    let spec = format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain");
    shop.bind("kept", &spec).await?;
    shop.ready("kept").await?;
    shop.bind_to("good", &orders).await?;
    shop.ready("good").await?;
    shop.bind_to("waits", &orders).await?;
    shop.failing("waits", "CredentialReady", "CredentialLimitReached")
        .await?;
    let (credential, identity) = ("federatedIdentityCredentials", "userAssignedIdentities");
    let scrape = shows(
        &operator,
        &[
            bindings("Ready", "True", "Succeeded", 2),
            bindings("CredentialReady", "False", "CredentialLimitReached", 1),
            of_identity("credential_slots_used", &orders, 2),
            of_identity("credential_slots_limit", &orders, 2),
            of_identity("orphaned_credentials", &orders, 0),
            requests("successful", credential, "PUT", "201", 2),
            waiting(&orders, "slot", 1),
            r#"azwib_sign_ins_total{result="success"} 1"#.to_owned(),
            "azwib_binding_ready_seconds_count 2".to_owned(),
            "azwib_oldest_deleting_seconds 0".to_owned(),
        ],
    )
    .await?;
    for sample in [
        "rest_client_requests_total{code=\"200\",method=\"GET\",host=\"127.0.0.1:",
        "azwib_sign_in_age_seconds ",
        "workqueue_depth{name=\"workloadidentitybinding\",controller=\"workloadidentitybinding\"} ",
        "azwib_azure_pauses{scope=\"subscription\",requestType=\"PUT\"} 0",
    ] {
        let shown = scrape.lines().any(|line| line.starts_with(sample));
        assert!(shown, "{sample}\n{scrape}");
    }
    // That one waits for a slot.
    wait::until("it to be old", PATIENCE, async || {
        let scrape = operator.metrics().await?;
        let age = value(&scrape, "azwib_oldest_not_ready_seconds")?;
        Ok((age >= 2.0).then_some(()))
    })
    .await?;
    // How many they are depends on how long all this took: who waits for a slot looks every minute.
    let reads = requests("successful", identity, "GET", "200", 1);
    assert!(scrape.contains(reads.trim_end_matches('1')), "{scrape}");
    assert!(scrape.contains(
        "controller_runtime_max_concurrent_reconciles{controller=\"workloadidentitybinding\"} 64"
    ));

    // Its credential stays, and no binding has to do with it any more.
    shop.unbind("kept").await?;
    shows(
        &operator,
        &[
            of_identity("orphaned_credentials", &orders, 1),
            bindings("Ready", "True", "Succeeded", 1),
        ],
    )
    .await?;

    let rule = Rule::no_events(&shop).await?;
    let outage = shop.outage(service_unavailable()).await?;
    refresh(&shop, "good", "1").await?;
    let unverified = "azwib_unverified_reconciles_total{controller=\"workloadidentitybinding\",reason=\"AzureUnavailable\"} 1";
    shows(
        &operator,
        &[
            unverified.to_owned(),
            bindings("Ready", "True", "Succeeded", 1),
            "azwib_unpublished_events_total{reason=\"AzureUnavailable\",responseCode=\"422\"} 1"
                .to_owned(),
        ],
    )
    .await?;
    outage.end().await?;
    rule.lift().await?;
    // A scrape is no snapshot: that one may have read the requests before the one that failed. The next has read them after.
    let scrape = operator.metrics().await?;
    assert_eq!(
        described(&scrape),
        documented(),
        "docs/reference/metrics.md"
    );
    for (accept, flag) in [
        (None, None),
        (
            Some("application/openmetrics-text; version=1.0.0"),
            Some("-openmetrics"),
        ),
    ] {
        let (_, scrape) = operator.scrape(accept).await?;
        let remarks = linted(&scrape, flag)?;
        assert_eq!(remarks, known_remarks(), "{flag:?}");
    }

    // Nothing is left of what is gone.
    shop.unbind("waits").await?;
    shop.unbind("good").await?;
    wait::until("the identity to be forgotten", PATIENCE, async || {
        let scrape = operator.metrics().await?;
        Ok((!scrape.contains("identity=\"/subscriptions")).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn metrics_can_be_turned_off() -> anyhow::Result<()> {
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let env = Environment::start(options).await?;
    let mut flags = env.operator_flags();
    flags.retain(|flag| !flag.starts_with("--metrics-bind-address"));
    flags.push("--metrics-bind-address=0".to_owned());
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    operator.probe_until("/readyz", 200, "ok").await?;
    let log = operator.log()?;
    let start = log.lines().find(|line| line.contains("azwib starts"));
    assert!(
        start.is_some_and(|line| !line.contains(" metrics=")),
        "{start:?}"
    );
    Ok(())
}

/// Samples by family: each family has its type and its meaning before its samples, and once.
fn parsed(scrape: &str, suffixes: fn(&str) -> &'static [&'static str]) -> BTreeMap<&str, usize> {
    let mut helped = BTreeSet::new();
    let mut families = BTreeMap::new();
    let mut current = None;
    for line in scrape.lines().filter(|line| *line != "# EOF") {
        if let Some((name, _)) = line
            .strip_prefix("# HELP ")
            .map(|it| it.split_once(' ').unwrap())
        {
            assert!(helped.insert(name), "{name} twice");
        } else if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, type_) = line.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} has no meaning");
            families.insert(name, 0);
            current = Some((name, suffixes(type_)));
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let (name, suffixes) = current.expect("a family");
            let sample = line.split(['{', ' ']).next().unwrap();
            let suffix = sample.strip_prefix(name);
            assert!(
                suffix.is_some_and(|it| suffixes.contains(&it)),
                "{line} of {name}"
            );
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            *families.get_mut(name).unwrap() += 1;
        }
    }
    families
}

#[tokio::test]
async fn a_scrape_gets_the_format_that_it_asks_for() -> anyhow::Result<()> {
    let env = Environment::start(EnvironmentOptions::default()).await?;
    let flags = env.operator_flags();
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("formats").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shows(&operator, &[bindings("Ready", "True", "Succeeded", 1)]).await?;

    let text = "text/plain; version=0.0.4; charset=utf-8";
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut names = Vec::new();
    for (accept, expected) in [
        (None, text),
        (Some("*/*"), text),
        (Some("text/plain;version=0.0.4"), text),
        (
            Some("application/openmetrics-text; version=1.0.0"),
            open_metrics,
        ),
    ] {
        let (type_, scrape) = operator.scrape(accept).await?;
        assert_eq!(type_, expected, "{accept:?}");
        let is_text = expected == text;
        assert_eq!(scrape.ends_with("\n# EOF\n"), !is_text, "{accept:?}");
        let families = parsed(
            &scrape,
            if is_text {
                |type_| match type_ {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "counter" | "gauge" => &[""],
                    _ => &[],
                }
            } else {
                |type_| match type_ {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "info" => &["_info"],
                    _ => &[],
                }
            },
        );
        let build = if is_text {
            "azwib_build_info"
        } else {
            "azwib_build"
        };
        assert_eq!(families.get(build), Some(&1), "{scrape}");
        names.push(families.len());
    }
    assert!(names.iter().all(|count| *count == names[0]), "{names:?}");
    Ok(())
}
