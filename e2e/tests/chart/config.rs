//! `config/` and the chart say the same, field by field.

use std::fs;
use std::path::{Component, Path};

use azwib_e2e::environment::repository;
use serde_json::{Value, json};

use crate::objects::{Objects, differences, objects};
use crate::tools::{
    NAMESPACE, RELEASE, known_to_prometheus_operator, kustomized, rendered, template,
};

/// The chart's objects without what Helm alone needs, which has to be there.
fn without_helms_own(mut objects: Objects) -> Objects {
    let version = env!("CARGO_PKG_VERSION");
    let own = [
        ("app.kubernetes.io/instance", RELEASE),
        ("app.kubernetes.io/managed-by", "Helm"),
        ("helm.sh/chart", &format!("azwib-{version}")),
    ];
    for (key, object) in &mut objects {
        let metadata = object["metadata"].as_object_mut().unwrap();
        let labels = metadata["labels"].as_object_mut().unwrap();
        for (label, value) in own {
            assert_eq!(labels.remove(label), Some(json!(value)), "{key}: {label}");
        }
        if key.starts_with("CustomResourceDefinition ") {
            let keep = json!({ "helm.sh/resource-policy": "keep" });
            assert_eq!(metadata.remove("annotations"), Some(keep), "{key}");
        }
    }
    objects
}

/// What kustomize renders, without the Namespace: Helm makes it by `--create-namespace`.
fn without_namespace(mut objects: Objects) -> Objects {
    let namespace = objects.remove(&format!("Namespace {NAMESPACE}"));
    assert!(namespace.is_some(), "{:?}", objects.keys());
    objects
}

fn assert_same(kustomized: Objects, chart: Objects) {
    assert!(kustomized.len() > 10, "{:?}", kustomized.keys());
    let differences = differences(&kustomized, &chart);
    assert!(
        differences.is_empty(),
        "from kustomize to the chart:\n{}",
        differences.join("\n")
    );
    assert_eq!(kustomized, chart);
}

#[test]
fn the_chart_renders_what_config_default_renders() {
    let chart = without_helms_own(rendered(&json!({})));
    assert_same(
        without_namespace(objects(&kustomized("config/default"))),
        chart,
    );
}

#[test]
fn the_template_of_an_overlay_is_the_chart_with_its_defaults() {
    let template = kustomized("config/overlays/template");
    let chart = without_helms_own(rendered(&json!({})));
    assert_same(without_namespace(objects(&template)), chart);
}

#[test]
fn the_value_openshift_is_the_overlay_openshift() {
    let chart = without_helms_own(rendered(&json!({ "openshift": true })));
    let overlay = kustomized("config/overlays/openshift");
    assert_same(without_namespace(objects(&overlay)), chart);
}

#[test]
fn the_chart_without_policies_is_the_overlay_before_1_30() {
    let values = json!({ "admissionPolicies": { "enabled": false } });
    let chart = template("azwib", &values, &["--kube-version", "1.29.0"]).unwrap();
    let overlay = kustomized("config/overlays/before-1.30");
    assert_same(
        without_namespace(objects(&overlay)),
        without_helms_own(objects(&chart)),
    );
}

fn is_the_default_and(folder: &str, values: &Value) {
    let mut kustomize = without_namespace(objects(&kustomized("config/default")));
    kustomize.extend(objects(&kustomized(folder)));
    assert_same(kustomize, without_helms_own(rendered(values)));
}

#[test]
fn service_monitor_and_alerts_are_those_of_config_prometheus() {
    let on = json!({ "enabled": true });
    is_the_default_and(
        "config/prometheus",
        &json!({ "serviceMonitor": on, "prometheusRule": on }),
    );
}

#[test]
fn the_pod_monitor_is_that_of_config_prometheus() {
    let token = json!({ "name": "azwib-metrics-token" });
    is_the_default_and(
        "config/prometheus/pod_monitor",
        &json!({ "podMonitor": { "enabled": true, "tokenSecret": token } }),
    );
}

#[test]
fn an_overlay_that_is_filled_in_is_the_chart_with_the_same_values() {
    let folder = tempfile::tempdir_in(repository().join("config/overlays")).unwrap();
    let template = repository().join("config/overlays/template/kustomization.yaml");
    let (issuer, client) = (
        "https://oidc.example/shop/",
        "00000000-0000-0000-0000-000000000001",
    );
    let subscription = "00000000-0000-0000-0000-000000000000";
    let template = fs::read_to_string(template).unwrap();
    assert!(template.contains(issuer), "{template}");
    let filled_in = template
        .replace("REPLACE_WITH_CLIENT_ID_OF_THE_OPERATORS_IDENTITY", client)
        .replace("  # - AZWIB_", "  - AZWIB_")
        .replace("# images:", "images:")
        .replace("# - name: ghcr.io", "- name: ghcr.io")
        .replace("#   new", "  new");
    fs::write(folder.path().join("kustomization.yaml"), filled_in).unwrap();
    let values = json!({
        "issuer": issuer,
        "auth": { "clientId": client },
        "defaults": { "subscription": subscription, "resourceGroup": "rg-shop" },
        "image": { "repository": "registry.example/azwib-operator", "tag": env!("CARGO_PKG_VERSION") },
    });
    let overlay = kustomized(&within_repository(folder.path()));
    assert!(overlay.contains("rg-shop") && overlay.contains("registry.example"));
    assert_same(
        without_namespace(objects(&overlay)),
        without_helms_own(rendered(&values)),
    );
}

fn within_repository(path: &Path) -> String {
    let root = repository().canonicalize().unwrap();
    let path = path.canonicalize().unwrap();
    let below = path.strip_prefix(root).unwrap();
    assert!(
        below
            .components()
            .all(|it| matches!(it, Component::Normal(_)))
    );
    below.to_str().unwrap().to_owned()
}

#[test]
fn an_operator_under_another_name_and_namespace_is_named_in_roles_and_policies() {
    let values = json!({ "serviceAccount": { "name": "federation" } });
    let yaml = template("azwib", &values, &["--namespace", "platform-system"]).unwrap();
    let all = objects(&yaml);
    assert!(!yaml.contains("azwib-system"), "{yaml}");
    assert!(!yaml.contains(":azwib-operator"), "{yaml}");
    let user = "system:serviceaccount:platform-system:federation";
    assert_eq!(yaml.matches(user).count(), 3, "one for each policy");
    for key in [
        "ClusterRoleBinding azwib-operator",
        "RoleBinding azwib-operator-leader-election",
    ] {
        let subject: &Value = &all[key]["subjects"][0];
        let expected = json!({ "kind": "ServiceAccount", "name": "federation", "namespace": "platform-system" });
        assert_eq!(*subject, expected, "{key}");
    }
}

/// By the types of the Prometheus operator: the API server drops a field that the kind does not have, and says nothing.
#[test]
fn monitors_and_alerts_have_the_fields_that_their_kinds_have() {
    let of_chart = [
        json!({
            "prometheusRule": { "enabled": true },
            "serviceMonitor": { "enabled": true, "interval": "30s" },
        }),
        json!({ "podMonitor": { "enabled": true, "interval": "30s", "tokenSecret": { "name": "token" } } }),
    ];
    let is_theirs = |object: &Value| {
        let version = object["apiVersion"].as_str().unwrap();
        version.starts_with("monitoring.coreos.com/")
    };
    let lines = |objects: Objects| -> Vec<String> {
        let theirs = objects.into_values().filter(is_theirs);
        theirs.map(|it| it.to_string()).collect()
    };
    let of_config = ["config/prometheus", "config/prometheus/pod_monitor"].map(kustomized);
    let of_config = of_config.iter().flat_map(|it| lines(objects(it)));
    let of_chart = of_chart.iter().flat_map(|it| lines(rendered(it)));
    let all: Vec<_> = of_config.chain(of_chart).collect();
    let taken = known_to_prometheus_operator(&all.join("\n"));
    let said = String::from_utf8(taken.stderr).unwrap();
    assert!(taken.status.success(), "{said}");
    assert_eq!(all.len(), 6, "{all:?}");
    // One with a slip in it is refused.
    let slip = all[0].replacen("\"spec\":{", "\"spec\":{\"slip\":1,", 1);
    let refused = known_to_prometheus_operator(&slip);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("spec.slip"), "{said}");
}
