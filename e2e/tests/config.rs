//! `config/` on a real API server: what is installed is accepted, is admitted where it should run, and may do just enough.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::Context;
use azwib_e2e::{ControlPlane, ControlPlaneOptions, wait::until};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authorization::v1::{
        ResourceAttributes, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
        SubjectAccessReview, SubjectAccessReviewSpec,
    },
    core::v1::Pod,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};

const NAMESPACE: &str = "azwib-system";
const OPERATOR: &str = "azwib-operator";
const BINDINGS: &str = "workloadidentitybindings.azwib.dev";

/// What controllers do in the background, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn two_operators_are_kept_apart_and_one_of_them_stays() -> anyhow::Result<()> {
    let control_plane = installed().await?;
    let client = control_plane.client().await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let spec = deployments.get(OPERATOR).await?.spec.unwrap();
    assert_eq!(spec.replicas, Some(2));
    let pod = spec.template.spec.unwrap();
    let spread = pod.topology_spread_constraints.unwrap_or_default();
    let keys: Vec<_> = spread.iter().map(|it| &*it.topology_key).collect();
    assert_eq!(
        keys,
        ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    );
    // The controller of Kubernetes counts the pods that the budget is about.
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client, NAMESPACE);
    let status = until("the budget to know both pods", LIMIT, async || {
        let status = budgets.get(OPERATOR).await?.status;
        Ok(status.filter(|it| it.expected_pods == 2))
    })
    .await?;
    assert_eq!(status.desired_healthy, 1, "{status:?}");
    Ok(())
}

#[tokio::test]
async fn the_default_configuration_is_accepted_and_its_pod_admitted_where_a_privileged_one_is_refused()
-> anyhow::Result<()> {
    let control_plane = installed().await?;
    let client = control_plane.client().await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let of_operator = ListParams::default().labels("app.kubernetes.io/component=operator");
    let pod = until("the operator's pod to be admitted", LIMIT, async || {
        Ok(pods.list(&of_operator).await?.items.pop())
    })
    .await?;
    let spec = pod.spec.context("a pod has a spec")?;
    assert_eq!(spec.service_account_name.as_deref(), Some(OPERATOR));

    let deployments: Api<Deployment> = Api::namespaced(client, NAMESPACE);
    let template = deployments.get(OPERATOR).await?.spec.unwrap().template;
    let mut privileged = serde_json::to_value(template)?;
    privileged["metadata"]["name"] = json!("privileged");
    privileged["spec"]["containers"][0]["securityContext"] = json!({ "privileged": true });
    let privileged: Pod = serde_json::from_value(privileged)?;
    match pods.create(&PostParams::default(), &privileged).await {
        Err(kube::Error::Api(refusal)) => {
            assert_eq!(refusal.code, 403, "{refusal:?}");
            let because = "violates PodSecurity \"restricted:latest\": privileged";
            assert!(refusal.message.contains(because), "{}", refusal.message);
        }
        other => panic!("a privileged pod is to be refused: {other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn the_template_of_an_overlay_sets_what_the_default_leaves_open() -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let rendered = control_plane
        .kubectl(&["kustomize", &folder("config/overlays/template")])
        .await?;
    let objects: Vec<Value> = serde_yaml_ng::Deserializer::from_str(&rendered)
        .map(serde::Deserialize::deserialize)
        .collect::<Result<_, _>>()?;
    let named = |kind| {
        objects.iter().find(|object| {
            object["kind"] == kind
                && object["metadata"]["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(OPERATOR))
        })
    };
    let settings = named("ConfigMap").context("no ConfigMap")?;
    let account = named("ServiceAccount").context("no ServiceAccount")?;
    let deployment = named("Deployment").context("no Deployment")?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let grants = &settings["data"]["AZWIB_GRANTS"];
    assert!(
        grants.is_null(),
        "what was there before is audited first: {grants}"
    );
    assert_eq!(
        container["envFrom"][0]["configMapRef"]["name"], settings["metadata"]["name"],
        "a change of a setting makes another name, and so rolls the Deployment"
    );
    assert_eq!(settings["data"]["AZWIB_AUTH"], "workload-identity");

    let placeholders = rendered
        .lines()
        .filter(|line| line.contains("REPLACE_WITH"));
    assert_eq!(
        placeholders.map(str::trim).collect::<Vec<_>>(),
        ["azure.workload.identity/client-id: REPLACE_WITH_CLIENT_ID_OF_THE_OPERATORS_IDENTITY"],
    );
    let annotations = &account["metadata"]["annotations"];
    assert!(annotations["azure.workload.identity/client-id"].is_string());
    Ok(())
}

fn manifest(file: &str) -> Value {
    serde_yaml_ng::from_str(&fs::read_to_string(folder(file)).unwrap()).unwrap()
}

/// Whether labels are among these.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selected = selector.as_object().unwrap();
    assert!(!selected.is_empty());
    let mut selected = selected.iter();
    selected.all(|(label, value)| labels.get(label) == Some(value))
}

#[test]
fn the_monitors_find_the_metrics_of_the_operator() {
    let deployment = manifest("config/manager/deployment.yaml");
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let ports = &template["spec"]["containers"][0]["ports"];
    let ports = ports.as_array().unwrap();
    let is_port = |name: &Value| ports.iter().any(|it| it["name"] == *name);

    let monitor = manifest("config/prometheus/pod_monitor/pod_monitor.yaml");
    assert!(selects(&monitor["spec"]["selector"]["matchLabels"], labels));
    assert!(is_port(&monitor["spec"]["podMetricsEndpoints"][0]["port"]));

    let service = manifest("config/prometheus/service.yaml");
    assert!(selects(&service["spec"]["selector"], labels));
    let port = &service["spec"]["ports"][0];
    assert!(is_port(&port["targetPort"]));
    let monitor = manifest("config/prometheus/service_monitor.yaml");
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    assert!(selects(selector, &service["metadata"]["labels"]));
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], port["name"]);
}

#[tokio::test]
async fn the_operator_may_do_what_is_listed_and_nothing_else() -> anyhow::Result<()> {
    let control_plane = installed().await?;
    let operator = control_plane
        .client_for_service_account(NAMESPACE, OPERATOR)
        .await?;
    let anybody = control_plane
        .client_for_service_account(NAMESPACE, "default")
        .await?;
    let granted = async |namespace| {
        let anybody = rules(&anybody, namespace).await?;
        let operator = rules(&operator, namespace).await?;
        anyhow::Ok(&operator - &anybody)
    };
    let everywhere = granted("shop").await?;
    assert_eq!(everywhere, rules_of_the_operator());
    let in_its_own_namespace = &granted(NAMESPACE).await? - &everywhere;
    let leases = ["create", "get", "update", "watch"];
    let leases = leases.map(|verb| format!("{verb} leases.coordination.k8s.io"));
    assert_eq!(in_its_own_namespace, leases.into());
    Ok(())
}

#[tokio::test]
async fn editors_of_a_namespace_may_write_bindings_and_viewers_may_read_them() -> anyhow::Result<()>
{
    let control_plane = installed().await?;
    let client = control_plane.client().await?;
    control_plane
        .kubectl(&["create", "namespace", "shop"])
        .await?;
    for role in ["admin", "edit", "view"] {
        let (user, role) = (format!("--user={role}"), format!("--clusterrole={role}"));
        let name = role.trim_start_matches('-').replace('=', "-");
        control_plane
            .kubectl(&["create", "rolebinding", &name, &role, &user, "-n", "shop"])
            .await?;
    }
    until("the roles to be aggregated", LIMIT, async || {
        let view = allowed(&client, "view", "get", "").await?;
        let edit = allowed(&client, "edit", "create", "").await?;
        let admin = allowed(&client, "admin", "create", "").await?;
        Ok((view && edit && admin).then_some(()))
    })
    .await?;
    for (user, verb, subresource, expected) in [
        ("admin", "delete", "", true),
        ("edit", "update", "", true),
        ("edit", "list", "", true),
        ("edit", "watch", "", true),
        ("edit", "delete", "", true),
        ("edit", "get", "status", true),
        ("edit", "update", "status", false),
        ("view", "watch", "", true),
        ("view", "create", "", false),
        ("view", "patch", "", false),
        ("nobody", "get", "", false),
    ] {
        let is = allowed(&client, user, verb, subresource).await?;
        assert_eq!(is, expected, "{user} {verb} {BINDINGS}/{subresource}");
    }
    Ok(())
}

/// A cluster with `config/default` applied as it is; a warning of the API server is an error.
async fn installed() -> anyhow::Result<ControlPlane> {
    let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
    let default = folder("config/default");
    control_plane
        .kubectl(&["apply", "--warnings-as-errors", "-k", &default])
        .await?;
    Ok(control_plane)
}

fn folder(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join(path).display().to_string()
}

/// What config/rbac gives the operator, as `verb resource.group`. That it uses all of it is for the checks after all tests.
fn rules_of_the_operator() -> BTreeSet<String> {
    let rules = [
        (BINDINGS, &["get", "list", "watch", "patch"][..]),
        (
            "workloadidentitybindings/status.azwib.dev",
            &["update", "patch"],
        ),
        ("identitygrants.azwib.dev", &["list", "watch"]),
        ("identitygrants/status.azwib.dev", &["patch"]),
        ("namespaces", &["get", "list", "watch"]),
        (
            "serviceaccounts",
            &["get", "list", "watch", "create", "patch"],
        ),
        ("events.events.k8s.io", &["create", "patch"]),
        ("leases.coordination.k8s.io", &["list"]),
        ("tokenreviews.authentication.k8s.io", &["create"]),
        ("subjectaccessreviews.authorization.k8s.io", &["create"]),
    ];
    rules
        .iter()
        .flat_map(|(resource, verbs)| verbs.iter().map(move |verb| format!("{verb} {resource}")))
        .collect()
}

/// Everything that the client's user may do in the namespace, as `verb resource.group`.
async fn rules(client: &Client, namespace: &str) -> anyhow::Result<BTreeSet<String>> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.into()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    let status = answer.status.context("a review has a status")?;
    assert!(!status.incomplete, "{status:?}");
    let mut allowed = BTreeSet::new();
    for rule in status.resource_rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let dot = if group.is_empty() { "" } else { "." };
                    allowed.insert(format!("{verb} {resource}{dot}{group}"));
                }
            }
        }
    }
    Ok(allowed)
}

/// Whether the user may do this to bindings of the namespace `shop`.
async fn allowed(
    client: &Client,
    user: &str,
    verb: &str,
    subresource: &str,
) -> anyhow::Result<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.into()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some("shop".into()),
                verb: Some(verb.into()),
                group: Some("azwib.dev".into()),
                resource: Some("workloadidentitybindings".into()),
                subresource: Some(subresource.into()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
