//! What is kept of the API server's answers: of each kind of object what is read of it, and no more.
//!
//! Whoever reads another field has to name it here; of a binding's spec and status everything that its schema has is kept.

use std::borrow::Cow;
use std::sync::LazyLock;

use azwib_crds::{IdentityGrant, WorkloadIdentityBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference};
use kube::CustomResourceExt;
use serde_json::Value;

use crate::binding::FINALIZER;
use crate::binding::account::{self, OTHER_ANNOTATIONS, owner_reference_to};
use crate::binding::cleanup::deleted_binding::FORCE_DETACH;
use crate::binding::requests::RECONCILE_REQUESTED_AT;
use crate::kubeutil::FIELD_MANAGER;
use crate::kubeutil::cut::CutLayer;
use crate::kubeutil::cut::shape::{Fields, Items, Others, Shape, Verdict};
use crate::kubeutil::paths::of_resource;

/// Characters of a value that is only compared, or only there or not.
const VALUE: usize = 256;

/// Characters of a name: a qualified one has a prefix of 253 and a name of 63, and most have less.
const NAME: usize = 320;

/// The longest list of what a schema sets no bound to, or a smaller one: what was stored under another schema is seen, too.
const ITEMS: usize = 64;

/// Owner references that are read of an account, and of these to others than bindings; finalizers that are read of a binding.
const OWNERS: usize = 256;
const OTHER_OWNERS: usize = 4;
const FINALIZERS: usize = 64;

/// Managers of an account's fields that are looked at, and how many names of each that mean nothing to us.
const MANAGERS: usize = 32;
const OTHER_NAMES: usize = 8;

/// Labels of a namespace. Any of them may be the one that a grant selects by, and who may write labels there may write many.
const LABELS: usize = 1024;

/// Annotations of ours besides those that are known by name.
const OWN_ANNOTATIONS: usize = 8;

/// Cuts what a client is answered.
pub fn layer() -> CutLayer {
    CutLayer::new(shape)
}

/// What is kept of an answer for this path.
fn shape(path: &str) -> &'static Shape {
    static BINDING: LazyLock<Shape> = LazyLock::new(binding);
    static ACCOUNT: LazyLock<Shape> = LazyLock::new(account);
    static GRANT: LazyLock<Shape> = LazyLock::new(grant);
    static NAMESPACE: LazyLock<Shape> = LazyLock::new(namespace);
    static OTHER: Shape = Shape::Any;
    let Some((_, rest)) = of_resource(path) else {
        return &OTHER;
    };
    match *rest {
        ["namespaces", _] => &NAMESPACE,
        ["namespaces", _, resource, ..] | [resource, ..] => match resource {
            "workloadidentitybindings" => &BINDING,
            "identitygrants" => &GRANT,
            "serviceaccounts" => &ACCOUNT,
            "namespaces" => &NAMESPACE,
            _ => &OTHER,
        },
        [] => &OTHER,
    }
}

fn grant() -> Shape {
    answers(|| {
        fields([
            ("metadata", metadata([])),
            ("spec", of_crd::<IdentityGrant>("spec")),
            ("status", of_crd::<IdentityGrant>("status")),
        ])
    })
}

fn binding() -> Shape {
    let object = || {
        let of = of_crd::<WorkloadIdentityBinding>;
        let metadata = metadata([
            (
                "annotations",
                annotations(&[FORCE_DETACH, RECONCILE_REQUESTED_AT], OWN_ANNOTATIONS),
            ),
            ("finalizers", finalizers()),
        ]);
        fields([
            ("metadata", metadata),
            ("spec", of("spec")),
            ("status", of("status")),
        ])
    };
    answers(object)
}

fn account() -> Shape {
    let object = || {
        let names = || {
            let ours = account::ANNOTATIONS.into_iter();
            ours.chain(account::TRACKING_MARKS)
                .chain([account::MANAGED_BY])
        };
        let metadata = metadata([
            (
                "annotations",
                annotations(&names().collect::<Vec<_>>(), OWN_ANNOTATIONS),
            ),
            (
                "labels",
                annotations(&names().collect::<Vec<_>>(), OWN_ANNOTATIONS),
            ),
            ("ownerReferences", owner_references()),
            (
                "managedFields",
                managed_fields(&names().collect::<Vec<_>>()),
            ),
        ]);
        fields([("metadata", metadata), ("status", Shape::Text(VALUE))])
    };
    answers(object)
}

fn namespace() -> Shape {
    answers(|| {
        let annotations = annotations(&[FORCE_DETACH], OWN_ANNOTATIONS);
        // Grants select by any of them.
        let labels = Shape::Fields(Fields {
            known: vec![],
            others: Some(Others {
                shape: Box::new(Shape::Text(VALUE)),
                at_most: LABELS,
                named: |_| true,
            }),
        });
        let metadata = metadata([("annotations", annotations), ("labels", labels)]);
        fields([("metadata", metadata), ("status", Shape::Text(VALUE))])
    })
}

/// What the schema of a kind has of a part of it.
fn of_crd<K: CustomResourceExt>(part: &str) -> Shape {
    let schema = serde_json::to_value(K::crd()).unwrap_or_default();
    let properties = "/spec/versions/0/schema/openAPIV3Schema/properties";
    let schema = schema.pointer(&format!("{properties}/{part}"));
    schema.map_or(Shape::Any, of_schema)
}

/// The objects of a kind as they come in answers: one of them, a list, the line of a watch, or what says why there is none.
fn answers(object: impl Fn() -> Fields) -> Shape {
    let mut answer = object();
    let types = || {
        [
            ("apiVersion", Shape::Text(NAME)),
            ("kind", Shape::Text(NAME)),
        ]
    };
    let typed = || {
        let mut object = object();
        object.known.extend(known(types()));
        object.known.extend(known(refusal()));
        Shape::Fields(object)
    };
    answer.known.extend(known(types()));
    answer.known.extend(known(refusal()));
    answer.known.extend(known([
        ("items", Shape::list(typed())),
        ("type", Shape::Text(VALUE)),
        ("object", typed()),
    ]));
    Shape::Fields(answer)
}

/// What a `Status` of the API server has besides `kind`, `metadata` and `status`.
fn refusal() -> [(&'static str, Shape); 4] {
    ["message", "reason", "code", "details"].map(|name| (name, Shape::Any))
}

/// What is read of the metadata of any object, and of a list's, and what more is read of this kind's.
fn metadata<const N: usize>(more: [(&'static str, Shape); N]) -> Shape {
    let texts = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "remainingItemCount",
    ];
    let mut metadata = fields(texts.map(|name| (name, Shape::Text(NAME))));
    // The API server's own, and given back to it as it is.
    metadata
        .known
        .extend(known([("continue", Shape::Text(4096))]));
    metadata.known.extend(known(more));
    Shape::Fields(metadata)
}

/// Labels or annotations: those of these names, and our own.
fn annotations(names: &[&'static str], own: usize) -> Shape {
    let names = names.iter().map(|name| (*name, Shape::Text(VALUE)));
    Shape::Fields(Fields {
        known: names.map(|(name, shape)| (name.into(), shape)).collect(),
        others: Some(Others {
            shape: Box::new(Shape::Text(VALUE)),
            at_most: own,
            named: |name| name.starts_with(b"azwib.dev/"),
        }),
    })
}

/// All of them, as they are written back as a whole. Where there are more, the last one is none that the API server would
/// take: it refuses to have the list written without those that are missing.
fn finalizers() -> Shape {
    Shape::Items(Items {
        shape: Box::new(Shape::Text(NAME)),
        at_most: usize::MAX,
        judge: Some(|kept, finalizer| {
            let is_ours = serde_json::from_slice::<Cow<'_, str>>(finalizer)
                .is_ok_and(|finalizer| finalizer == FINALIZER);
            match kept {
                _ if is_ours => Verdict::Keep,
                ..FINALIZERS => Verdict::Keep,
                FINALIZERS => Verdict::Replace("\"…\"".into()),
                _ => Verdict::Drop,
            }
        }),
    })
}

/// Those to bindings, and some to others.
fn owner_references() -> Shape {
    let names = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let reference = fields(names.map(|name| (name, Shape::Text(NAME))));
    Shape::Items(Items {
        shape: Box::new(Shape::Fields(reference)),
        at_most: OWNERS,
        judge: Some(|kept, reference| {
            let reference = serde_json::from_slice::<OwnerReference>(reference);
            let is_ours = reference.is_ok_and(|it| it == owner_reference_to(&it.name, &it.uid));
            if is_ours || kept < OTHER_OWNERS {
                Verdict::Keep
            } else {
                Verdict::Drop
            }
        }),
    })
}

/// Who owns what of an account: all of what our manager does, and of the others enough to tell what they do.
fn managed_fields(names: &[&'static str]) -> Shape {
    let owned = || {
        let names = names.iter().map(|name| format!("f:{name}"));
        Shape::Fields(Fields {
            known: names.map(|name| (name.into(), Shape::Text(0))).collect(),
            others: Some(names_of_others(OTHER_ANNOTATIONS)),
        })
    };
    let references = Fields {
        known: vec![],
        others: Some(names_of_others(OWNERS)),
    };
    let mut metadata = fields([
        ("f:annotations", owned()),
        ("f:labels", owned()),
        ("f:ownerReferences", Shape::Fields(references)),
    ]);
    metadata.others = Some(names_of_others(OTHER_NAMES));
    let mut all = fields([("f:metadata", Shape::Fields(metadata))]);
    all.others = Some(names_of_others(OTHER_NAMES));
    let texts = [
        "manager",
        "operation",
        "apiVersion",
        "time",
        "fieldsType",
        "subresource",
    ];
    let mut entry = fields(texts.map(|name| (name, Shape::Text(NAME))));
    entry
        .known
        .extend(known([("fieldsV1", Shape::Fields(all))]));
    Shape::Items(Items {
        shape: Box::new(Shape::Fields(entry)),
        at_most: usize::MAX,
        judge: Some(judge_manager),
    })
}

/// The first names that mean nothing to us, without what is below them.
fn names_of_others(at_most: usize) -> Others {
    Others {
        shape: Box::new(Shape::Text(0)),
        at_most,
        named: |_| true,
    }
}

/// Which owner references another manager owns is of no interest, and there may be many.
fn judge_manager(kept: usize, entry: &[u8]) -> Verdict {
    let Ok(mut entry) = serde_json::from_slice::<ManagedFieldsEntry>(entry) else {
        return Verdict::Drop;
    };
    if entry.manager.as_deref() == Some(FIELD_MANAGER) {
        return Verdict::Keep;
    }
    if kept >= MANAGERS {
        return Verdict::Drop;
    }
    let owned = entry.fields_v1.as_mut();
    let references = owned.and_then(|fields| fields.0.pointer_mut("/f:metadata/f:ownerReferences"));
    let Some(references) = references.and_then(Value::as_object_mut) else {
        return Verdict::Keep;
    };
    references.clear();
    serde_json::to_vec(&entry).map_or(Verdict::Drop, Verdict::Replace)
}

/// Everything that a schema names.
fn of_schema(schema: &Value) -> Shape {
    let bound = |name: &str| {
        let bound = schema.get(name).and_then(Value::as_u64);
        bound.and_then(|it| usize::try_from(it).ok())
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let properties = properties.into_iter().flatten();
            Shape::Fields(Fields {
                known: properties
                    .map(|(name, schema)| (name.clone().into(), of_schema(schema)))
                    .collect(),
                others: schema.get("additionalProperties").map(|schema| Others {
                    shape: Box::new(of_schema(schema)),
                    at_most: bound("maxProperties").unwrap_or(0).max(ITEMS),
                    named: |_| true,
                }),
            })
        }
        Some("array") => {
            let items = schema.get("items").map_or(Shape::Any, of_schema);
            Shape::items(items, bound("maxItems").unwrap_or(0).max(ITEMS))
        }
        _ => Shape::Text(bound("maxLength").unwrap_or(VALUE)),
    }
}

fn fields<const N: usize>(fields: [(&'static str, Shape); N]) -> Fields {
    Fields {
        known: known(fields).collect(),
        others: None,
    }
}

fn known<const N: usize>(
    fields: [(&'static str, Shape); N],
) -> impl Iterator<Item = (Cow<'static, str>, Shape)> {
    fields.into_iter().map(|(name, shape)| (name.into(), shape))
}

#[cfg(test)]
mod tests;
