#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{binding_crd, crds};

fn definition() -> Value {
    serde_json::to_value(binding_crd()).unwrap()
}

/// What each definition says of its resource.
fn specs() -> Vec<Value> {
    let definitions = crds().map(|crd| serde_json::to_value(crd).unwrap());
    definitions.map(|it| it["spec"].clone()).to_vec()
}

fn schema(spec: &Value) -> &Value {
    &spec["versions"][0]["schema"]["openAPIV3Schema"]
}

/// A definition with these fields below `spec`.
fn with_fields(fields: Value) -> Value {
    let schema = json!({ "type": "object", "properties": {
        "spec": { "type": "object", "description": "What is\nwanted.", "required": ["must"], "properties": fields },
    }});
    json!({
        "group": "example.com",
        "scope": "Namespaced",
        "names": { "kind": "Thing", "plural": "things", "singular": "thing", "shortNames": ["th", "t"] },
        "versions": [{ "name": "v1", "schema": { "openAPIV3Schema": schema } }],
    })
}

/// The row of a field in the page of a definition that has it below `spec`.
fn row(name: &str, field: &Value) -> String {
    let page = markdown(&with_fields(json!({ name: field })));
    let start = format!("| `spec.{name}` |");
    let row = page.lines().find(|line| line.starts_with(&start));
    row.unwrap().to_owned()
}

#[test]
fn a_row_says_type_default_allowed_values_and_meaning() {
    for (field, expected) in [
        (
            json!({ "type": "string", "maxLength": 5, "description": "One\ntwo." }),
            "| string | | at most 5 characters | One two. |",
        ),
        (
            json!({ "type": "string", "default": "A", "enum": ["A", "B"], "description": "D." }),
            "| string | `A` | `A`, `B` | D. |",
        ),
        (
            json!({ "type": "string", "minLength": 1, "maxLength": 9, "pattern": "^(a|b)$", "description": "D." }),
            r"| string | | 1 to 9 characters; matches `^(a\|b)$` | D. |",
        ),
        (
            json!({ "type": "integer", "format": "int32", "minimum": 10.0, "maximum": 300.0, "default": 20 }),
            "| integer (int32) | `20` | 10 to 300 | |",
        ),
        (
            json!({ "type": "integer", "minimum": 0.0 }),
            "| integer | | at least 0 | |",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "maxItems": 3 }),
            "| list of string | | at most 3 items | |",
        ),
        (
            json!({ "type": "array", "items": { "type": "string", "maxLength": 7, "pattern": "^a" }, "minItems": 1, "maxItems": 3, "x-kubernetes-list-type": "set" }),
            "| list of string | | 1 to 3 items; each once; each item: at most 7 characters; matches `^a` | |",
        ),
        (
            json!({ "type": "array", "items": { "type": "object" }, "maxItems": 0 }),
            "| list of object | | at most 0 items | |",
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 7 }, "minProperties": 1, "maxProperties": 4 }),
            "| map of string | | 1 to 4 entries; each value: at most 7 characters | |",
        ),
        (
            json!({ "type": "array", "items": { "type": "object", "properties": {} }, "x-kubernetes-list-map-keys": ["name"] }),
            "| list of [objects](#specfield) | | each `name` once | |",
        ),
        (
            json!({ "type": "object", "default": {} }),
            "| [object](#specfield) | `{}` | | |",
        ),
    ] {
        assert_eq!(row("field", &field), format!("| `spec.field` {expected}"));
    }
}

#[test]
fn a_required_field_is_called_so_where_another_has_its_default() {
    let field = json!({ "type": "boolean" });
    assert_eq!(
        row("must", &field),
        "| `spec.must` | boolean | required | | |"
    );
    assert_eq!(row("may", &field), "| `spec.may` | boolean | | | |");
}

#[test]
fn the_resource_is_shown_with_all_its_names() {
    let page = markdown(&with_fields(json!({})));
    for row in [
        "| API version | `example.com/v1` |",
        "| kind | `Thing` |",
        "| short names | `th`, `t` |",
        "| scope | `Namespaced` |",
        "### Thing\n",
        "| `spec` | [object](#spec) | | | What is wanted. |",
        "### spec\n",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
}

#[test]
fn a_rule_is_shown_where_it_points_with_its_words_and_its_expression() {
    let shown = rule(
        "spec.a",
        &json!({ "rule": "self == oldSelf", "message": "is immutable" }),
    );
    assert_eq!(
        shown,
        "- `spec.a`, when it is changed: `is immutable`\n\n  ```cel\n  self == oldSelf\n  ```\n"
    );
    let of_all =
        json!({ "rule": "self.spec.a > 0", "message": "too small", "fieldPath": ".spec.a" });
    assert!(rule("", &of_all).starts_with("- `spec.a`: `too small`\n"));
}

#[test]
fn every_field_has_a_row_and_every_rule_its_words() {
    for spec in specs() {
        let page = markdown(&spec);
        walk("", schema(&spec), &mut |path, field| {
            let row = format!("| `{path}` |");
            assert!(!is_field(path) || page.contains(&row), "{path}");
            for rule in list(&field["x-kubernetes-validations"]) {
                assert!(page.contains(text(&rule["message"])), "{rule}");
                assert!(page.contains(text(&rule["rule"])), "{rule}");
            }
        });
        for column in list(&spec["versions"][0]["additionalPrinterColumns"]) {
            assert!(page.contains(text(&column["jsonPath"])), "{column}");
        }
    }
}

/// A keyword that comes new with a field is to be shown, or to be named here with a reason.
#[test]
fn the_page_leaves_out_no_kind_of_statement_that_the_schema_makes() {
    let shown = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    ];
    let left_out = [
        // Says who owns what under server-side apply, which is for tools.
        "x-kubernetes-map-type",
        // Of the items of a list that must be empty, so that its length is what they are refused for.
        "x-kubernetes-preserve-unknown-fields",
        // The kind.
        "title",
    ];
    let known: BTreeSet<_> = shown.into_iter().chain(left_out).collect();
    for spec in specs() {
        walk("", schema(&spec), &mut |path, field| {
            for keyword in field.as_object().into_iter().flat_map(Map::keys) {
                assert!(known.contains(keyword.as_str()), "{path}: {keyword}");
            }
            for rule in list(&field["x-kubernetes-validations"]) {
                let known = ["fieldPath", "message", "rule"];
                let keywords = rule.as_object().into_iter().flat_map(Map::keys);
                keywords.for_each(|it| assert!(known.contains(&it.as_str()), "{path}: {it}"));
            }
        });
    }
}

#[test]
fn only_what_stands_between_the_marker_comments_is_replaced() {
    let page = format!("# Mine\n\n{BEGIN}old{END}\n\nMine too.\n");
    let updated = updated_page(&page, &binding_crd()).unwrap();
    let generated = markdown(&definition()["spec"]);
    assert_eq!(
        updated,
        format!("# Mine\n\n{BEGIN}{generated}{END}\n\nMine too.\n")
    );
    assert_eq!(
        updated_page(&updated, &binding_crd()).as_deref(),
        Some(updated.as_str())
    );
    assert_eq!(updated_page("# No markers", &binding_crd()), None);
}
