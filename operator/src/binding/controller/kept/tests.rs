use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use serde_json::{Value, json};

use super::*;
use crate::binding::account::ExistingAccount;
use crate::kubeutil::cut::cut;

const BINDINGS: &str = "/apis/azwib.dev/v1alpha1/workloadidentitybindings";
const ACCOUNTS: &str = "/api/v1/serviceaccounts";

#[test]
fn of_a_map_in_a_schema_every_entry_is_kept_within_its_bounds() {
    let schema = json!({ "type": "object", "properties": {
        "labels": { "type": "object", "maxProperties": 40,
            "additionalProperties": { "type": "string", "maxLength": 63 } },
        "name": { "type": "string", "maxLength": 63 },
    }});
    let shape: &'static Shape = Box::leak(Box::new(of_schema(&schema)));
    let object = |labels: usize| {
        let labels = (0..labels).map(|at| (format!("example.com/{at:02}"), json!("v")));
        json!({ "labels": labels.collect::<serde_json::Map<_, _>>(), "name": "orders" })
    };
    let cut = |object: &Value| -> Value {
        serde_json::from_slice(&cut(shape, object.to_string().as_bytes())).unwrap()
    };
    assert_eq!(cut(&object(40)), object(40));
    let many = cut(&object(5000));
    assert!(
        many["labels"].as_object().unwrap().len() < 200,
        "{}",
        size(&many)
    );
}

fn kept(path: &str, answer: &Value) -> Value {
    let kept = cut(shape(path), answer.to_string().as_bytes());
    serde_json::from_slice(&kept).unwrap()
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// A megabyte of each of these, or as good as.
fn many(item: impl Fn(usize) -> Value) -> Value {
    let size = size(&item(10_000));
    (0..1_000_000 / size).map(item).collect()
}

fn many_labels() -> Value {
    let labels = (0..12_000).map(|n| (format!("label-{n}"), json!("v".repeat(63))));
    Value::Object(labels.collect())
}

fn status() -> Value {
    let condition = |type_: &str| {
        json!({ "type": type_, "status": "True", "reason": "Succeeded", "message": "all is well: ü \"\\ \u{1f600}",
            "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    json!({
        "observedGeneration": 3,
        "identity": { "resourceId": "/subscriptions/s", "clientId": "c", "principalId": "p", "tenantId": "t" },
        "serviceAccount": { "name": "orders", "origin": "Created" },
        "credentials": [{ "name": "n", "resourceId": "r", "issuer": "i", "subject": "s", "audience": "a", "origin": "Pending" }],
        "conditions": [condition("Ready"), condition("Stalled"), condition("somebody.else/Condition")],
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "deletionGracePeriodSeconds": 0,
            "finalizers": ["a.example/one", FINALIZER, "foregroundDeletion"],
            "annotations": { "azwib.dev/reconcile-requested-at": "now", "azwib.dev/force-detach": "true" },
        },
        "spec": {
            "identity": { "resourceId": "r", "name": "n", "resourceGroup": "g", "subscriptionId": "s" },
            "serviceAccount": { "name": "api", "role": "Additional", "creation": "WhenCredentialReady", "tokenExpirationSeconds": 7200 },
            "credential": { "audience": "a", "adoption": "Never" },
            "deletionPolicy": "Retain",
            "suspend": true,
        },
        "status": status(),
    })
}

fn account() -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "app.kubernetes.io/managed-by": "azwib", "azwib.dev/origin": "Created" },
            "annotations": { "azure.workload.identity/client-id": "c", "argocd.argoproj.io/tracking-id": "t" },
            "ownerReferences": [owner("orders", "u-1")],
            "managedFields": [
                entry("azwib", json!({ "f:annotations": { "f:azure.workload.identity/client-id": {} },
                    "f:labels": { "f:app.kubernetes.io/managed-by": {} },
                    "f:ownerReferences": { "k:{\"uid\":\"u-1\"}": {} } })),
                entry("argocd-controller", json!({ "f:annotations": { "f:azure.workload.identity/tenant-id": {} } })),
            ],
        },
    })
}

fn owner(name: &str, uid: &str) -> Value {
    json!({ "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "name": name, "uid": uid })
}

fn entry(manager: &str, metadata: Value) -> Value {
    json!({ "manager": manager, "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": { "f:metadata": metadata } })
}

fn existing(account: &Value) -> ExistingAccount {
    let account: PartialObjectMeta<ServiceAccount> =
        serde_json::from_value(account.clone()).unwrap();
    ExistingAccount::of(&account.metadata)
}

#[test]
fn everything_that_is_read_of_an_object_is_kept() {
    assert_eq!(kept(BINDINGS, &binding()), binding());
    assert_eq!(kept(ACCOUNTS, &account()), account());
}

#[test]
fn what_the_type_of_a_binding_has_is_kept() {
    let readable: WorkloadIdentityBinding = serde_json::from_value(binding()).unwrap();
    let of_kept: WorkloadIdentityBinding =
        serde_json::from_value(kept(BINDINGS, &binding())).unwrap();
    assert_eq!(of_kept, readable);
    // A field that is new has to be in the example above.
    assert_eq!(json!(readable.spec), binding()["spec"]);
    assert_eq!(json!(readable.status), binding()["status"]);
}

#[test]
fn objects_are_cut_alike_wherever_they_come_from() {
    for (path, object) in [(BINDINGS, binding()), (ACCOUNTS, account())] {
        let mut large = object.clone();
        large["metadata"]["selfLink"] = json!("x".repeat(1_000_000));
        let page = json!({ "metadata": { "resourceVersion": "7", "continue": "c" }, "items": [large, large] });
        let kept_page = kept(path, &page);
        assert_eq!(kept_page["items"], json!([object, object]));
        assert_eq!(kept_page["metadata"], page["metadata"]);
        let event = kept(path, &json!({ "type": "MODIFIED", "object": large }));
        assert_eq!(event, json!({ "type": "MODIFIED", "object": object }));
    }
}

#[test]
fn a_refusal_is_kept_also_in_a_watch() {
    let refusal = json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 409,
        "message": "conflict", "reason": "Conflict",
        "details": { "causes": [{ "reason": "FieldManagerConflict", "field": ".f", "message": "conflict with \"helm\"" }] } });
    for path in [
        BINDINGS,
        ACCOUNTS,
        "/api/v1/namespaces/shop",
        "/api/v1/namespaces/shop/serviceaccounts/orders",
        "/apis/events.k8s.io/v1/namespaces/shop/events",
    ] {
        assert_eq!(kept(path, &refusal), refusal, "{path}");
    }
    let event = json!({ "type": "ERROR", "object": refusal });
    assert_eq!(kept(ACCOUNTS, &event), event);
}

#[test]
fn of_an_object_of_any_size_a_bounded_part_is_kept() {
    let text = json!("x".repeat(250_000));
    let labels = many_labels();
    let owners = many(|n| owner("orders", &n.to_string()));
    let managers = many(|n| {
        entry(
            &format!("manager-{n}"),
            json!({ "f:labels": { "f:a": {} } }),
        )
    });
    let owned = Value::Object(
        (0..6_000)
            .map(|n| (format!("k:{{\"uid\":\"{n}\"}}"), json!({})))
            .collect(),
    );
    let owned_by_many =
        (0..20).map(|n| entry(&format!("m{n}"), json!({ "f:ownerReferences": owned })));
    let owned_by_many: Value = owned_by_many.collect();
    for (path, object) in [(BINDINGS, binding()), (ACCOUNTS, account())] {
        for (field, value) in [
            ("labels", labels.clone()),
            ("annotations", labels.clone()),
            (
                "annotations",
                json!({ "azwib.dev/reconcile-requested-at": text, "azure.workload.identity/client-id": text,
                "kubectl.kubernetes.io/last-applied-configuration": text }),
            ),
            (
                "finalizers",
                many(|n| json!(format!("example.com/finalizer-{n}"))),
            ),
            ("ownerReferences", owners.clone()),
            ("managedFields", managers.clone()),
            ("managedFields", owned_by_many.clone()),
            (
                "managedFields",
                json!([entry(
                    "azwib",
                    json!({ "f:labels": labels, "f:ownerReferences": owned })
                )]),
            ),
        ] {
            let mut object = object.clone();
            object["metadata"][field] = value;
            let kept = size(&kept(path, &object));
            assert!(kept < 64 * 1024, "{path} {field}: {kept}");
        }
    }
}

#[test]
fn what_decides_is_kept_among_a_megabyte_of_what_does_not() {
    let mut large = account();
    let crowd = many(
        |n| json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": n.to_string() }),
    );
    large["metadata"]["ownerReferences"] = crowd.clone();
    large["metadata"]["labels"] = many_labels();
    // Of more than are read of one manager, the rest may be anybody's: such a manager counts as a keeper itself.
    let openshift = (1..OTHER_ANNOTATIONS).map(|n| (format!("f:openshift.io/{n}"), json!({})));
    let openshift = Value::Object(openshift.collect());
    large["metadata"]["managedFields"] =
        json!([entry("openshift", json!({ "f:annotations": openshift }))]);
    let mut decisive = account();
    // One owner that is none of our bindings is told of.
    let owners = decisive["metadata"]["ownerReferences"].as_array_mut();
    owners.unwrap().insert(0, crowd[0].clone());
    for field in ["ownerReferences", "managedFields"] {
        let more = decisive["metadata"][field].as_array().unwrap().clone();
        large["metadata"][field]
            .as_array_mut()
            .unwrap()
            .extend(more);
    }
    for (name, value) in decisive["metadata"]["labels"].as_object().unwrap() {
        large["metadata"]["labels"][name] = value.clone();
    }
    assert_eq!(existing(&kept(ACCOUNTS, &large)), existing(&large));
    assert_eq!(existing(&large), existing(&decisive));

    let mut large = binding();
    let finalizers = large["metadata"]["finalizers"].as_array_mut().unwrap();
    finalizers.splice(0..0, (0..9_000).map(|n| json!(format!("example.com/{n}"))));
    let kept = kept(BINDINGS, &large);
    let kept = kept["metadata"]["finalizers"].as_array().unwrap().clone();
    assert!(kept.contains(&json!(FINALIZER)), "{}", kept.len());
    // Written back like this, it would take the others off: the API server refuses it for its name.
    assert!(
        kept.contains(&json!("…")) && kept.len() == FINALIZERS + 2,
        "{}",
        kept.len()
    );
}

#[test]
fn a_value_that_is_cut_still_shows_when_it_changes() {
    let requested = |last: &str| {
        let mut binding = binding();
        let value = format!("{}{last}", "x".repeat(100_000));
        binding["metadata"]["annotations"]["azwib.dev/reconcile-requested-at"] = json!(value);
        kept(BINDINGS, &binding)["metadata"]["annotations"].clone()
    };
    assert_eq!(requested("a"), requested("a"));
    assert_ne!(requested("a"), requested("b"));
}

#[test]
fn a_binding_that_cannot_be_read_is_none_afterwards_either_and_says_so_in_few_words() {
    let huge = "x".repeat(1_000_000);
    for (pointer, value) in [
        ("/spec/identity", json!(7)),
        ("/spec/serviceAccount/name", json!([1, 2])),
        ("/spec/deletionPolicy", json!(huge)),
        ("/spec/suspend", json!({ "a": 1 })),
        ("/status/credentials", json!("none")),
        ("/status/conditions/0/lastTransitionTime", json!(huge)),
    ] {
        let mut object = binding();
        *object.pointer_mut(pointer).unwrap() = value;
        let kept = kept(BINDINGS, &object);
        let guarded: DeserializeGuard<WorkloadIdentityBinding> =
            serde_json::from_value(kept).unwrap();
        let error = guarded.0.unwrap_err().error;
        assert!(error.len() < 2000, "{pointer}: {}", error.len());
    }
}
