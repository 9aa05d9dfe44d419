//! Traces: what a collector is sent of a binding's life, and that no collector holds anything up.
#![allow(clippy::unwrap_used, clippy::panic)]

mod collector;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use azwib_e2e::checks::secrets::SecretSearch;
use azwib_e2e::environment::{Namespace, PATIENCE};
use azwib_e2e::{Environment, OperatorProcess, wait};
use kube::ResourceExt;

use collector::{Collector, Span};

const REFERENCE: &str = include_str!("../../../docs/reference/traces.md");

/// What a collector asks for, in a variable of OpenTelemetry.
const KEY: &str = "key-of-the-collector-of-this-test";

/// How long the operator may take to end: what is left of traces is sent for five seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

async fn operator(
    env: &Environment,
    collector: &Collector,
    variables: &[(&str, &str)],
) -> anyhow::Result<OperatorProcess> {
    let flags = [&env.operator_flags()[..], &[collector.flag()]].concat();
    let variables = variables.iter();
    let variables: BTreeMap<_, _> = variables
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    env.operator_with(flags, variables, None).await
}

/// Makes a binding and waits until it is Ready.
async fn make_ready(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    Ok(())
}

/// The span that this one is below.
fn parent<'a>(spans: &'a [Span], span: &Span) -> &'a Span {
    let parent = spans.iter().find(|it| it.id == span.parent);
    let parent = parent.unwrap_or_else(|| panic!("nobody's: {span:?}"));
    assert_eq!(parent.trace, span.trace);
    parent
}

/// The first span of this name.
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

#[tokio::test]
async fn each_pass_is_a_span_and_its_requests_are_below_it() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let collector = Collector::start(&env).await?;
    env.records.note_secret(KEY)?;
    let header = format!("authorization=Bearer%20{KEY}");
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", header.as_str()),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=east"),
        ("POD_NAME", "azwib-operator-0"),
    ];
    let operator = operator(&env, &collector, &variables).await?;
    let shop = env.namespace("traces").await?;
    make_ready(&shop).await?;
    let uid = shop.bindings().get("orders").await?.uid().unwrap();
    // What is left is sent at the end.
    assert!(operator.terminate().await?.is_success());
    let spans = collector.spans();

    the_passes_are_told(&spans, shop.name(), &uid);
    let mut asked = BTreeSet::new();
    for method in ["GET", "PUT"] {
        let requests = shop.operator_requests(method, "orders").await?;
        asked.extend(requests.into_iter().filter_map(|it| it.request_id));
    }
    the_requests_to_azure_are_told(&spans, &asked);
    the_requests_to_the_api_server_are_told(&spans);
    for name in spans.iter().flat_map(|it| it.attributes.keys()) {
        let is_named = REFERENCE.contains(&format!("`{name}`"));
        assert!(is_named, "docs/reference/traces.md does not name {name}");
    }

    assert_eq!(collector.authorization(), format!("Bearer {KEY}"));
    let seen = env.control().secrets().await?;
    let secrets = seen.iter().map(|it| it.value.as_str());
    let search = SecretSearch::of(secrets.chain([KEY]));
    assert_eq!(
        search.findings(&collector.received()?),
        Vec::<String>::new()
    );
    assert_eq!(search.findings(&operator.log()?), Vec::<String>::new());
    // Lines look as they do without traces.
    assert!(!operator.log()?.contains("reconcile{"));
    Ok(())
}

fn the_passes_are_told(spans: &[Span], namespace: &str, uid: &str) {
    let mut changed = BTreeSet::new();
    for pass in spans.iter().filter(|it| it.name == "reconcile") {
        assert!(pass.parent.is_empty() && !pass.failed, "{pass:?}");
        for (attribute, expected) in [
            ("k8s.namespace.name", namespace),
            ("azwib.binding.name", "orders"),
            ("azwib.binding.uid", uid),
        ] {
            assert_eq!(pass.get(attribute), expected);
        }
        for (attribute, expected) in [
            ("service.name", "azwib-operator"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", "azwib-operator-0"),
            ("k8s.cluster.name", "east"),
        ] {
            assert_eq!(pass.resource[attribute], expected);
        }
        let outcome = pass.get("azwib.outcome");
        assert!(["done", "waits"].contains(&outcome), "{pass:?}");
        let written = pass.get("azwib.changed").split(',');
        changed.extend(written.filter(|it| !it.is_empty()));
    }
    let all = ["credential", "finalizer", "serviceaccount", "status"];
    assert_eq!(Vec::from_iter(changed), all);
}

/// Each of them, by the id that Azure has given it.
fn the_requests_to_azure_are_told(spans: &[Span], asked: &BTreeSet<String>) {
    let mut told = BTreeSet::new();
    for span in spans {
        let template = span.get("url.template");
        if !template.starts_with("/subscriptions/{subscription}/") {
            continue;
        }
        assert!(span.is_client && !span.failed, "{span:?}");
        assert_eq!(parent(spans, span).name, "reconcile");
        let correlation = span.get("azwib.azure.correlation_id");
        assert!(!correlation.is_empty(), "{span:?}");
        told.insert(span.get("azure.service.request.id").to_owned());
    }
    assert_eq!(told, *asked);

    let put = named(spans, "PUT federatedIdentityCredentials");
    assert_eq!(put.get("http.request.method"), "PUT");
    assert_eq!(put.get("http.response.status_code"), "201");
    assert_eq!(put.get("server.address"), "127.0.0.1");
    let pass = parent(spans, put);
    let changed = pass.get("azwib.changed");
    assert!(changed.contains("credential"), "{pass:?}");
    named(spans, "LIST federatedIdentityCredentials");
    let sign_in = named(spans, "sign in");
    assert_eq!(sign_in.get("url.template"), "/{tenant}/oauth2/v2.0/token");
    assert!(!sign_in.get("azure.service.request.id").is_empty());
}

fn the_requests_to_the_api_server_are_told(spans: &[Span]) {
    const BINDING: &str =
        "/apis/azwib.dev/v1alpha1/namespaces/{namespace}/workloadidentitybindings/{name}";
    const ACCOUNT: &str = "/api/v1/namespaces/{namespace}/serviceaccounts/{name}";
    let status = format!("{BINDING}/status");
    for (name, template) in [
        ("PATCH workloadidentitybindings", BINDING),
        ("PUT workloadidentitybindings/status", &status),
        ("PATCH serviceaccounts", ACCOUNT),
    ] {
        let request = named(spans, name);
        assert_eq!(request.get("url.template"), template);
        let code = request.get("http.response.status_code");
        assert!(code.starts_with("20"), "{request:?}");
        assert_eq!(parent(spans, request).name, "reconcile");
    }
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_once_and_gets_traces_when_it_takes_them()
-> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let collector = Collector::start(&env).await?;
    collector.answer(503);
    let operator = operator(&env, &collector, &[]).await?;
    let shop = env.namespace("traces-refused").await?;
    make_ready(&shop).await?;
    let told = "takes no traces; they are lost until it does error=\"it answered 503\"";
    operator.logs(told).await?;
    collector.answer(200);
    let what = "traces to be taken again";
    wait::until(what, PATIENCE, async || {
        Ok((!collector.spans().is_empty()).then_some(()))
    })
    .await?;
    operator.logs("the collector takes traces again").await?;
    assert_eq!(operator.log()?.matches(told).count(), 1);
    assert!(operator.terminate().await?.is_success());
    Ok(())
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_neither_bindings_nor_the_end() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let collector = Collector::start(&env).await?;
    collector.hang();
    let operator = operator(&env, &collector, &[]).await?;
    let shop = env.namespace("traces-hang").await?;
    make_ready(&shop).await?;
    operator
        .logs("error=\"no answer from 127.0.0.1 in time\"")
        .await?;
    let asked = Instant::now();
    assert!(operator.terminate().await?.is_success());
    assert!(asked.elapsed() < ENDS_WITHIN, "{:?}", asked.elapsed());
    Ok(())
}

#[tokio::test]
async fn the_sampler_of_opentelemetry_decides_which_passes_are_sent() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let collector = Collector::start(&env).await?;
    let variables = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ];
    let operator = operator(&env, &collector, &variables).await?;
    let shop = env.namespace("traces-sampled").await?;
    make_ready(&shop).await?;
    assert!(operator.terminate().await?.is_success());
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
    Ok(())
}
