use std::collections::BTreeMap;

use clap::Parser as _;
use conformance::cli::{Arguments, ProbeName};
use conformance::plan;

use crate::support::Azure;

#[tokio::test]
async fn a_dry_run_sends_nothing_and_asks_for_no_token() {
    let azure = Azure::start().await;
    let asked = azure.path("asked");
    let command = format!("touch {}; echo token", asked.display());
    let outcome = azure
        .run_with(&command, &["--dry-run", "--throttling"])
        .await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for said in [
        "nothing is sent now",
        "new-identity",
        "throttling",
        "requests",
        "minutes",
        "free of charge",
    ] {
        assert!(outcome.stdout.contains(said), "{said}: {}", outcome.stdout);
    }
    assert!(!asked.exists());
    assert!(azure.control.requests().await.unwrap().is_empty());
    // Without a subscription too: it can be read before there is one.
    let bare = Arguments::try_parse_from(["conformance", "--dry-run"]).unwrap();
    assert!(plan::text(&bare).contains("limit"));
}

/// Where a request goes, as the plan words it.
fn kind(path: &str) -> &'static str {
    let path = path.to_lowercase();
    let ends = |end: &str| path.rsplit('/').nth(1) == Some(end);
    match () {
        () if path.ends_with("/locks") => "locks",
        () if ends("locks") => "lock",
        () if path.ends_with("/federatedidentitycredentials") => "credentials",
        () if ends("federatedidentitycredentials") => "credential",
        () if ends("userassignedidentities") => "identity",
        () if ends("resourcegroups") => "group",
        () => "something else",
    }
}

fn planned_kind(path: &str) -> &'static str {
    match path.rsplit('/').next() {
        Some("locks") => "locks",
        Some("federatedIdentityCredentials") => "credentials",
        Some("{group}") => "group",
        _ if path.contains("/locks/") => "lock",
        _ if path.contains("/federatedIdentityCredentials/") => "credential",
        _ => "identity",
    }
}

#[tokio::test]
async fn nothing_is_sent_that_the_dry_run_does_not_name() {
    let azure = Azure::start().await;
    let flags = [
        "conformance",
        "--dry-run",
        "--regions=westus",
        "--throttling",
    ];
    let arguments = Arguments::try_parse_from(flags).unwrap();
    let mut planned: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let probes = arguments.probes();
    let requests = probes
        .iter()
        .flat_map(|name| plan::requests(*name, &arguments));
    for request in requests.chain(plan::of_the_group()) {
        let key = (request.method.to_owned(), planned_kind(request.path));
        *planned.entry(key).or_default() += request.at_most;
    }
    let outcome = azure.run(&flags[2..]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let mut sent: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for request in azure.control.requests().await.unwrap() {
        if request.operation != "Token" {
            *sent
                .entry((request.method, kind(&request.path)))
                .or_default() += 1;
        }
    }
    for (key, count) in &sent {
        let most = planned.get(key).copied().unwrap_or(0);
        assert!(*count <= most, "{key:?}: {count} sent, {most} planned");
    }
    let never: Vec<_> = planned
        .keys()
        .filter(|key| !sent.contains_key(*key))
        .collect();
    assert!(never.is_empty(), "planned and not sent: {never:?}");
}

#[test]
fn a_probe_alone_brings_what_it_needs() {
    let alone =
        Arguments::try_parse_from(["conformance", "--dry-run", "--only=page-size"]).unwrap();
    let requests = plan::requests(ProbeName::PageSize, &alone);
    assert!(requests.iter().any(|it| it.method == "PUT"), "{requests:?}");
}
