use std::time::Duration;

use clap::Parser;

use super::*;

const TENANT: &str = "--azure-tenant-id=00000000-0000-0000-0000-000000000001";
const CLIENT: &str = "--azure-client-id=00000000-0000-0000-0000-000000000002";
const TOKEN: &str = "--azure-federated-token-file=/var/run/token";
const ALONE: &str = "--leader-elect=false";
const CUSTOM: [&str; 4] = [
    "--cloud=custom",
    "--authority-host=https://login.example",
    "--resource-manager-endpoint=https://arm.example",
    "--resource-manager-audience=https://arm.example/",
];

fn config(flags: &[&str]) -> Result<Config, String> {
    configured(&[&[ALONE], flags].concat())
}

fn configured(flags: &[&str]) -> Result<Config, String> {
    let minimal = [
        "azwib-operator",
        "--issuer=https://oidc.example/",
        TENANT,
        CLIENT,
        TOKEN,
    ];
    let cli =
        Cli::try_parse_from(minimal.iter().chain(flags)).map_err(|error| error.to_string())?;
    Config::from_cli(cli).map_err(|error| error.to_string())
}

fn refusal(flags: &[&str]) -> String {
    config(flags).map(|_| String::new()).unwrap_err()
}

fn without(flag: &str) -> String {
    let all = [
        "azwib-operator",
        "--issuer=https://oidc.example/",
        TENANT,
        CLIENT,
        TOKEN,
        ALONE,
    ];
    let cli = Cli::try_parse_from(all.iter().filter(|given| !given.starts_with(flag))).unwrap();
    Config::from_cli(cli).unwrap_err().to_string()
}

#[test]
fn the_minimum_is_an_issuer_and_a_workload_identity() {
    let config = config(&[]).unwrap();
    assert_eq!(
        config.settings.defaults.borrow().issuer.as_str(),
        "https://oidc.example/"
    );
    assert_eq!(config.settings.resync_period, Duration::from_secs(900));
    assert_eq!(config.settings.propagation_delay, Duration::from_secs(10));
    assert_eq!(
        config.cloud.resource_manager().as_str(),
        "https://management.azure.com/"
    );
    assert_eq!(config.health_probe_address.port(), 8081);
}

#[test]
fn a_missing_flag_is_named_with_its_variable() {
    assert!(without(CLIENT).contains("--azure-client-id is needed with --auth=workload-identity"));
    assert!(without(TENANT).contains("AZURE_TENANT_ID"));
    assert!(without(TOKEN).contains("AZURE_FEDERATED_TOKEN_FILE"));
}

#[test]
fn a_custom_cloud_needs_its_three_addresses() {
    let config = config(&CUSTOM).unwrap();
    assert_eq!(
        config.cloud.authority_host().as_str(),
        "https://login.example/"
    );
    for left_out in &CUSTOM[1..] {
        let flags: Vec<_> = CUSTOM
            .iter()
            .filter(|flag| *flag != left_out)
            .copied()
            .collect();
        let flag = left_out.split('=').next().unwrap();
        let variable = match flag {
            "--authority-host" => "AZURE_AUTHORITY_HOST",
            "--resource-manager-endpoint" => "AZWIB_RESOURCE_MANAGER_ENDPOINT",
            _ => "AZWIB_RESOURCE_MANAGER_AUDIENCE",
        };
        let refusal = refusal(&flags);
        assert!(refusal.contains(flag), "{flag}: {refusal}");
        assert!(refusal.contains(variable), "{flag}: {refusal}");
    }
    assert!(
        refusal(&CUSTOM[2..3])
            .contains("--resource-manager-endpoint only goes with --cloud=custom")
    );
}

#[test]
fn the_authority_of_another_cloud_is_refused_and_that_of_the_same_is_not() {
    let other = refusal(&["--authority-host=https://login.microsoftonline.us"]);
    assert!(other.contains("--authority-host"), "{other}");
    for same in [
        "https://login.microsoftonline.com",
        "https://login.microsoftonline.com/",
    ] {
        config(&[&format!("--authority-host={same}")]).unwrap();
    }
}

/// What is said of these flags, and of good values for those that are needed and not among them.
fn refused(flag: &str) -> String {
    let name = flag.split('=').next().unwrap();
    let needed = ["--issuer=https://oidc.example/", TENANT, CLIENT, TOKEN];
    let others = needed.iter().filter(|it| !it.starts_with(name));
    let flags = ["azwib-operator", flag].into_iter().chain(others.copied());
    let cli = Cli::try_parse_from(flags).map_err(|error| error.to_string());
    let config = cli.and_then(|cli| Config::from_cli(cli).map_err(|error| error.to_string()));
    config.map(|_| String::new()).expect_err(flag)
}

#[test]
fn what_cannot_be_is_refused_by_the_name_of_its_flag() {
    for (flag, what_to_do) in [
        ("--issuer=http://oidc.example", "https"),
        ("--cloud=germany", "usgovernment"),
        ("--authority-host=login.example", "--authority-host"),
        (
            "--resource-manager-endpoint=http://arm.example",
            "--resource-manager-endpoint",
        ),
        ("--auth=password", "workload-identity"),
        ("--auth=client-secret", "--azure-client-secret-file"),
        ("--azure-client-id=orders", "--azure-client-id"),
        ("--resync-period=often", "15m"),
        ("--resync-period=0s", "--resync-period: 0s is out of range"),
        ("--propagation-delay=2h", "out of range"),
        (
            "--credential-limit=21",
            "--credential-limit: 21 is out of range: give 1 to 20",
        ),
        (
            "--max-concurrent-reconciles=0",
            "--max-concurrent-reconciles",
        ),
        (
            "--max-concurrent-reconciles=many",
            "--max-concurrent-reconciles",
        ),
        ("--health-probe-bind-address=localhost", ":8081"),
        ("--metrics-bind-address=true", "--metrics-bind-address"),
        ("--default-subscription=mine", "--default-subscription"),
        ("--default-resource-group=a/b", "--default-resource-group"),
        ("--log-format=xml", "json"),
    ] {
        let refusal = refused(flag);
        let name = flag.split('=').next().unwrap();
        assert!(refusal.contains(what_to_do), "{flag}: {refusal}");
        let is_of_another = flag == "--auth=client-secret";
        assert!(refusal.contains(name) || is_of_another, "{flag}: {refusal}");
    }
}

#[test]
fn metrics_can_be_turned_off_as_in_controller_runtime() {
    let on = config(&["--auth=managed-identity"]).unwrap();
    assert_eq!(on.metrics.unwrap().address.port(), 8443);
    let off = config(&["--auth=managed-identity", "--metrics-bind-address=0"]);
    assert!(off.unwrap().metrics.is_none());
}

#[test]
fn metrics_are_served_by_https_unless_they_are_told_otherwise() {
    let certificate = |flags: &[&str]| {
        let flags = [&["--auth=managed-identity"], flags].concat();
        config(&flags).unwrap().metrics.unwrap().certificate
    };
    assert_eq!(certificate(&[]), Some(Source::SelfSigned));
    assert_eq!(certificate(&["--metrics-secure"]), Some(Source::SelfSigned));
    assert_eq!(certificate(&["--metrics-secure=false"]), None);
    let folder = Source::Folder("/etc/azwib/metrics".into());
    let given = certificate(&["--metrics-cert-path=/etc/azwib/metrics"]);
    assert_eq!(given, Some(folder));
    let refusal = refusal(&[
        "--auth=managed-identity",
        "--metrics-secure=false",
        "--metrics-cert-path=/etc/azwib/metrics",
    ]);
    let expected = "--metrics-cert-path=/etc/azwib/metrics only goes with https";
    assert!(refusal.contains(expected), "{refusal}");
}

#[test]
fn a_client_secret_is_read_without_its_line_end_and_never_printed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "s3cr3t-value\n").unwrap();
    let file = format!("--azure-client-secret-file={}", path.display());
    let config = config(&["--auth=client-secret", &file]).unwrap();
    let AuthConfig::ClientSecret { secret, .. } = &config.auth else {
        panic!("{:?}", config.auth)
    };
    assert_eq!(secret.secret(), "s3cr3t-value");
    assert!(!format!("{config:?}").contains("s3cr3t"));
    std::fs::write(&path, "\n").unwrap();
    assert!(refusal(&["--auth=client-secret", &file]).contains("is empty"));
}

#[test]
fn an_issuer_that_entra_cannot_reach_is_refused_with_the_way_to_another() {
    let with = |issuer: &str, more: &[&str]| {
        let issuer = format!("--issuer={issuer}");
        let flags = ["azwib-operator", &issuer, TENANT, CLIENT, TOKEN, ALONE];
        let cli = Cli::try_parse_from(flags.iter().chain(more)).unwrap();
        Config::from_cli(cli).map_err(|error| error.to_string())
    };
    for issuer in [
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc",
        "https://localhost:6443",
        "https://oidc.shop.internal/",
        "https://oidc.corp.internal/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://oidc/",
    ] {
        let refusal = with(issuer, &[]).unwrap_err();
        for part in [
            "--issuer",
            issuer,
            "az aks show",
            "az connectedk8s show",
            "--service-account-issuer",
            "--allow-private-issuer",
        ] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
        let allowed = with(issuer, &["--allow-private-issuer"]).unwrap();
        assert_eq!(allowed.settings.defaults.borrow().issuer.as_str(), issuer);
    }
    // Entra reads over https, whatever is allowed.
    let refusal = with("http://oidc.example/", &["--allow-private-issuer"]).unwrap_err();
    assert!(
        refusal.contains("does not begin with https://"),
        "{refusal}"
    );
    assert!(refusal.contains("az aks show"), "{refusal}");
    with("https://oidc.example/", &[]).unwrap();
}

fn elected(flags: &[&str]) -> Result<Election, String> {
    configured(flags).map(|config| config.election)
}

#[test]
fn a_lease_is_asked_for_unless_that_is_switched_off() {
    let namespace = "--leader-election-namespace=azwib-system";
    for flags in [&[namespace][..], &["--leader-elect", namespace]] {
        let election = elected(flags).unwrap();
        assert_eq!(election.namespace.as_deref(), Some("azwib-system"));
        assert!(election.takes_part);
        assert_eq!(election.timings, crate::leader::Timings::default());
    }
    assert!(!config(&[]).unwrap().election.takes_part);
}

#[test]
fn outside_of_a_cluster_the_lease_needs_a_namespace() {
    let refusal = elected(&[]).unwrap_err();
    assert!(refusal.contains("--leader-election-namespace"), "{refusal}");
    assert!(refusal.contains("--leader-elect=false"), "{refusal}");
    for name in ["Shop", "-a", "a-", "a/b", "a.b"] {
        let flag = format!("--leader-election-namespace={name}");
        let refusal = elected(&[&flag]).unwrap_err();
        assert!(refusal.contains("--leader-election-namespace"), "{refusal}");
    }
}

#[test]
fn the_times_of_a_lease_have_an_order() {
    for (flags, expected) in [
        (
            &["--leader-elect-retry-period=10s"][..],
            "--leader-elect-retry-period (10s) has to be shorter than --leader-elect-renew-deadline (10s)",
        ),
        (
            &["--leader-elect-lease-duration=9s"],
            "--leader-elect-renew-deadline (10s) has to be shorter than --leader-elect-lease-duration (9s)",
        ),
        (&["--leader-elect-lease-duration=3m"], "give 2s to 2m"),
        (&["--leader-elect-lease-duration=1s"], "give 2s to 2m"),
        (
            &["--leader-elect-retry-period=6s"],
            "--leader-elect-retry-period (6s) is too long: give at most 5s",
        ),
        (
            &["--leader-elect-renew-deadline=14s"],
            "--leader-elect-renew-deadline (14s) is too near to --leader-elect-lease-duration (15s): give at most 13s 500ms",
        ),
        (&["--leader-elect-retry-period=0s"], "give 100ms to 2m"),
        (
            &["--write-settle-time=29s"],
            "--write-settle-time (29s) has to be at least --request-timeout (30s)",
        ),
    ] {
        let namespace = "--leader-election-namespace=azwib-system";
        let flags: Vec<_> = flags.iter().copied().chain([namespace]).collect();
        let refusal = elected(&flags).unwrap_err();
        assert!(refusal.contains(expected), "{refusal}");
    }
    assert!(
        config(&["--write-settle-time=29s"]).is_ok(),
        "it is the only one"
    );
}

#[cfg(feature = "otlp")]
#[test]
fn traces_go_to_an_address_that_was_checked_or_nowhere() {
    for none in [&[][..], &["--otlp-endpoint="]] {
        assert_eq!(config(none).unwrap().collector, None);
    }
    let given = config(&["--otlp-endpoint=http://collector.monitoring:4318"]).unwrap();
    let expected = Collector::parse("http://collector.monitoring:4318").unwrap();
    assert_eq!(given.collector, Some(expected));
    let refused = refusal(&["--otlp-endpoint=collector.monitoring:4317"]);
    assert!(
        refused.starts_with("--otlp-endpoint: \"collector.monitoring:4317\""),
        "{refused}"
    );
}

#[test]
fn the_issuer_is_asked_of_the_api_server_unless_it_is_given() {
    for flag in ["--issuer=", "--issuer=auto", "--issuer"] {
        let config = match flag {
            "--issuer" => without_issuer(&[]),
            _ => without_issuer(&[flag]),
        };
        assert_eq!(config.issuer.asked, Asked::Auto, "{flag}");
        let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        assert_eq!(config.issuer.token_file, PathBuf::from(token));
        let defaults = config.settings.defaults.borrow();
        assert!(defaults.unknown_issuer.is_some() && defaults.issuer.is_of_nobody());
    }
    let config = without_issuer(&["--service-account-token-file=/a/b"]);
    assert_eq!(config.issuer.token_file, PathBuf::from("/a/b"));
    let given = configured(&[ALONE]).unwrap();
    assert!(given.settings.defaults.borrow().unknown_issuer.is_none());
}

fn without_issuer(flags: &[&str]) -> Config {
    let needed = ["azwib-operator", TENANT, CLIENT, TOKEN, ALONE];
    let cli = Cli::try_parse_from(needed.iter().chain(flags)).unwrap();
    Config::from_cli(cli).unwrap()
}
