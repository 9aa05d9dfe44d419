//! A chart as a whole: lint, package, version, README.

use std::fs;
use std::process::Command;

use azwib_e2e::assets;
use serde_json::{Value, json};

use crate::completeness::CHARTS;
use crate::objects::objects;
use crate::tools::{NAMESPACE, RELEASE, chart, helm, output, rendered, template};

fn metadata(name: &str) -> Value {
    let text = fs::read_to_string(chart(name).join("Chart.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

#[test]
fn the_version_of_a_chart_and_of_its_app_is_that_of_azwib() {
    for name in CHARTS {
        let metadata = metadata(name);
        for key in ["version", "appVersion"] {
            assert_eq!(metadata[key], env!("CARGO_PKG_VERSION"), "{name}: {key}");
        }
    }
}

#[test]
fn lint_finds_nothing_to_say_but_that_there_is_no_icon() {
    for name in CHARTS {
        let path = chart(name);
        let said = output(helm(&["lint", "--strict", path.to_str().unwrap()], ""));
        let findings: Vec<_> = said.lines().filter(|it| it.starts_with('[')).collect();
        assert_eq!(
            findings,
            ["[INFO] Chart.yaml: icon is recommended"],
            "{said}"
        );
    }
}

#[test]
fn a_packaged_chart_renders_what_its_folder_renders() {
    let folder = tempfile::tempdir().unwrap();
    let values = json!({ "grants": { "shop": {
        "identities": [{ "scope": "/subscriptions/00000000-0000-0000-0000-000000000000" }],
        "namespaces": { "names": ["shop"] },
    }}});
    for (name, values) in [("azwib", json!({})), ("azwib-grants", values)] {
        let path = chart(name);
        let to = folder.path().to_str().unwrap();
        output(helm(
            &["package", path.to_str().unwrap(), "--destination", to],
            "",
        ));
        let file = format!("{name}-{}.tgz", env!("CARGO_PKG_VERSION"));
        let package = folder.path().join(file);
        let args = ["template", RELEASE, package.to_str().unwrap()];
        let args = [&args[..], &["--namespace", NAMESPACE, "--values", "-"]].concat();
        let packaged = objects(&output(helm(&args, &values.to_string())));
        assert!(!packaged.is_empty());
        let of_folder = template(name, &values, &[]).unwrap();
        assert_eq!(packaged, objects(&of_folder), "{name}");
    }
}

#[test]
fn both_charts_can_be_part_of_another_one() {
    let umbrella = tempfile::tempdir().unwrap();
    let dependencies: Vec<_> = CHARTS
        .iter()
        .map(|name| {
            json!({
                "name": name,
                "version": env!("CARGO_PKG_VERSION"),
                "repository": format!("file://{}", chart(name).display()),
                "condition": format!("{name}.enabled"),
            })
        })
        .collect();
    let metadata = json!({ "apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": dependencies });
    fs::write(umbrella.path().join("Chart.yaml"), metadata.to_string()).unwrap();
    let path = umbrella.path().to_str().unwrap();
    output(helm(&["dependency", "update", path], ""));
    let values = json!({
        "global": { "region": "westeurope" },
        "azwib": { "enabled": true },
        "azwib-grants": { "enabled": true },
    });
    let args = ["template", RELEASE, path, "--namespace", NAMESPACE];
    let args = [&args[..], &["--values", "-"]].concat();
    let within = objects(&output(helm(&args, &values.to_string())));
    assert_eq!(within, rendered(&json!({})));
}

#[test]
fn the_readme_of_a_chart_is_made_from_the_comments_of_its_values() {
    let helm_docs = assets::helm_docs().unwrap();
    for name in CHARTS {
        let made = Command::new(&helm_docs)
            .args(["--dry-run", "--skip-version-footer", "--log-level=warning"])
            .arg("--sort-values-order=file")
            .arg("--chart-search-root")
            .arg(chart(name))
            .output()
            .unwrap();
        let made = output(made);
        let there = fs::read_to_string(chart(name).join("README.md")).unwrap();
        assert!(
            made.trim_end() == there.trim_end(),
            "{name}/README.md is old: run `make chart-docs`"
        );
    }
}

/// What `helm install` says at its end.
fn notes(name: &str, values: &Value) -> String {
    let path = chart(name);
    let args = [
        "install",
        RELEASE,
        path.to_str().unwrap(),
        "--dry-run=client",
    ];
    let args = [&args[..], &["--namespace", NAMESPACE, "--values", "-"]].concat();
    let said = output(helm(&args, &values.to_string()));
    said.split_once("NOTES:").unwrap().1.to_owned()
}

#[test]
fn the_notes_name_the_settings_that_are_missing_and_those_only() {
    let client = json!({ "auth": { "clientId": "00000000-0000-0000-0000-000000000001" } });
    let missing = "DOES NOT START YET";
    let without = notes("azwib", &json!({}));
    assert!(without.contains(missing), "{without}");
    assert!(without.contains("  auth.clientId: "), "{without}");
    assert!(
        !without.contains("  issuer: "),
        "it has a default: {without}"
    );
    assert!(!notes("azwib", &client).contains(missing));
    let of_node = json!({ "auth": { "method": "managed-identity" } });
    assert!(!notes("azwib", &of_node).contains(missing));
}

#[test]
fn the_notes_say_in_which_order_everything_is_removed() {
    let said = notes("azwib", &json!({}));
    let steps = [
        "kubectl delete workloadidentitybindings.azwib.dev --all --all-namespaces --wait",
        "helm uninstall <release of azwib-grants>",
        "helm uninstall platform --namespace azwib-system",
        "kubectl delete crd workloadidentitybindings.azwib.dev identitygrants.azwib.dev",
        "kubectl delete namespace azwib-system",
    ];
    let places: Vec<_> = steps.iter().map(|step| said.find(step).unwrap()).collect();
    assert!(places.is_sorted(), "{said}");
    assert!(!said.contains("crds.keep IS FALSE"), "{said}");
    let deleting = notes("azwib", &json!({ "crds": { "keep": false } }));
    assert!(deleting.contains("crds.keep IS FALSE"), "{deleting}");
    assert!(!deleting.contains("The CustomResourceDefinitions stay"));
}
